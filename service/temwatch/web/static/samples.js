// Up to six samples overlaid, each with its colour and dash.
import { getJson, sampleUrl } from "./api.js";
import { DASHES, SERIES, colour, densityLabel, draw, plain, withUnit } from "./charts.js";
import { controls, query } from "./population.js";
import { empty, make, table } from "./dom.js";
import { count, estimate, interval } from "./format.js";

export const title = "Samples";

const MAX_SAMPLES = 6;
const WIDE = 4; // where medians differ by a larger factor, the axis is logarithmic
const chosen = new Map(); // index of the series by sample: a sample keeps its colour while it is shown
const ROUND = [-3, -2, -1, 0, 1, 2, 3, 4, 5, 6].flatMap((power) => [1, 2, 5].map((digit) => Number(`${digit}e${power}`)));
let parts;

function choose(name) {
  const taken = new Set(chosen.values());
  chosen.set(name, SERIES.findIndex((_, place) => !taken.has(place)));
}

const swatch = (place) => make("span", { className: "swatch", style: place === undefined ? "" : `background:var(--${SERIES[place]})` });

export function mount(section, page) {
  parts = {
    controls: controls(page),
    list: make("fieldset", { className: "samples-list" }),
    chart: make("div", { className: "chart tall", role: "img" }),
    table: make("div"),
  };
  section.append(
    make("div", { className: "head" }, make("div", {}, make("h1", {}, "Compare samples"), make("p", { className: "lead" }, "Select up to six.")), parts.controls.element),
    parts.list, make("div", { className: "panel" }, parts.chart), make("div", { className: "panel" }, parts.table));
}

export async function update(section, page, signal) {
  parts.controls.sync();
  const known = page.state.samples.filter((one) => one.particles);
  if (!known.length) return void parts.table.replaceChildren(empty("No sample yet."));
  for (const name of chosen.keys()) if (!known.some((one) => one.sample === name)) chosen.delete(name);
  if (!chosen.size) {
    const latest = byTime(known).slice(0, 3);
    for (const one of known) if (latest.includes(one)) choose(one.sample);
  }
  showList(known, page);
  const names = known.map((one) => one.sample).filter((name) => chosen.has(name));
  const answers = await Promise.all(names.map((name) => getJson(sampleUrl(name, `population?${query(page.settings)}`), signal)));
  parts.table.replaceChildren(table("Statistics of the samples", [withUnit(answers[0].name, answers[0].unit), "mean", "95 % interval", "SD", "D10", "D50", "D90", "particles", "micrographs"],
    answers.map((one, index) => [make("span", { className: "tick" }, swatch(chosen.get(names[index])), names[index]), estimate(one.figures.mean), interval(one.figures.mean), ...["sd", "d10", "d50", "d90"].map((key) => estimate(one.figures[key])), count(one.particles), count(one.micrographs)])));
  // on a logarithmic axis the density is multiplied by x
  const medians = answers.map((one) => one.figures.d50.value).filter((value) => value > 0);
  const wide = Math.max(...medians) > WIDE * Math.min(...medians);
  const lowest = (one) => (wide ? one.figures.d10.value / WIDE : -Infinity);
  await draw(parts.chart, answers.map((one, index) => {
    const kept = one.smooth.x.map((x, at) => [x, one.smooth.y[at]]).filter(([x]) => x > lowest(one));
    const place = chosen.get(names[index]);
    return { type: "scatter", mode: "lines", name: plain(names[index]), x: kept.map(([x]) => x), y: kept.map(([x, y]) => (wide ? x * y : y)),
      line: { color: colour(SERIES[place]), width: 3, dash: DASHES[place] }, hovertemplate: `%{x:.4g}<extra>${plain(names[index])}</extra>` };
  }), {
    x: { title: withUnit(answers[0].name, answers[0].unit), ...(wide ? { type: "log", tickvals: ROUND, ticktext: ROUND.map(String) } : {}) },
    y: { title: wide ? `${page.settings.weighting} density per unit of ln(${answers[0].name})` : densityLabel(page.settings.weighting, answers[0].unit), rangemode: "tozero" }, showlegend: true,
    label: `Distributions of ${names.length} samples`,
  });
}

const byTime = (known) => [...known].sort((a, b) => (b.last_analysed_at ?? "").localeCompare(a.last_analysed_at ?? ""));

function showList(known, page) {
  const full = chosen.size >= MAX_SAMPLES;
  const state = JSON.stringify([known.map((one) => [one.sample, one.particles]), [...chosen]]);
  if (parts.list.dataset.state === state) return;
  const focused = document.activeElement?.value;
  parts.list.dataset.state = state;
  parts.list.replaceChildren(make("legend", { className: "unseen" }, "Samples"), ...known.map((one) => {
    const place = chosen.get(one.sample);
    const label = make("label", { className: "tick" },
      make("input", { type: "checkbox", value: one.sample, checked: place !== undefined, disabled: full && place === undefined,
        onchange: (event) => {
          if (event.target.checked) choose(one.sample);
          else chosen.delete(one.sample);
          page.refresh();
        } }),
      swatch(place),
      make("span", {}, one.sample, make("small", {}, ` ${count(one.particles)}`)));
    return label;
  }));
  if (focused) [...parts.list.querySelectorAll("input")].find((input) => input.value === focused)?.focus();
}
