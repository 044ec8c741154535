// Up to six samples side by side, each with its colour and its dash.
import { ask, of } from "./ask.js";
import { DASHES, SERIES, colour, draw, withUnit } from "./charts.js";
import { controls, query } from "./population.js";
import { count, empty, figure, make, table } from "./words.js";

export const title = "Samples";

const MOST = 6;
const chosen = new Set();
let parts;

export function mount(section, page) {
  parts = {
    controls: controls(page),
    list: make("fieldset", { className: "samples-list" }),
    chart: make("div", { className: "chart tall", role: "img" }),
    table: make("div"),
  };
  section.append(
    make("div", { className: "head" }, make("div", {}, make("h1", {}, "Samples side by side"), make("p", { className: "lead" }, "Choose up to six.")), parts.controls.element),
    parts.list, make("div", { className: "panel" }, parts.chart), make("div", { className: "panel" }, parts.table));
}

export async function update(section, page, signal) {
  parts.controls.sync();
  const known = page.now.samples.filter((one) => one.particles);
  if (!known.length) return void parts.table.replaceChildren(empty("No sample yet."));
  for (const name of chosen) if (!known.some((one) => one.sample === name)) chosen.delete(name);
  if (!chosen.size) for (const one of byTime(known).slice(0, 3)) chosen.add(one.sample);
  showList(known, page);
  const names = known.map((one) => one.sample).filter((name) => chosen.has(name));
  const answers = await Promise.all(names.map((name) => ask(of(name, `population?${query(page.settings)}`), signal)));
  parts.table.replaceChildren(table("Figures of the samples", [withUnit(answers[0].name, answers[0].unit), "mean", "SD", "D10", "D50", "D90", "particles", "micrographs"],
    answers.map((one, index) => [names[index], ...["mean", "sd", "d10", "d50", "d90"].map((key) => figure(one.figures[key])), count(one.particles), count(one.micrographs)])));
  await draw(parts.chart, answers.map((one, index) => ({
    type: "scatter", mode: "lines", name: names[index], x: one.smooth.x, y: one.smooth.y,
    line: { color: colour(SERIES[index]), width: 3, dash: DASHES[index] }, hovertemplate: `%{x:.4g}<extra>${names[index].replace(/[<>&]/g, "")}</extra>`,
  })), {
    x: { title: withUnit(answers[0].name, answers[0].unit) }, y: { title: `${page.settings.weighting} density`, rangemode: "tozero" }, showlegend: true,
    label: `Distributions of ${names.length} samples`,
  });
}

const byTime = (known) => [...known].sort((a, b) => (b.last_analysed_at ?? "").localeCompare(a.last_analysed_at ?? ""));

function showList(known, page) {
  const full = chosen.size >= MOST;
  const names = known.map((one) => one.sample).filter((name) => chosen.has(name));
  const state = JSON.stringify([known.map((one) => [one.sample, one.particles]), names]);
  if (parts.list.dataset.state === state) return;
  const focused = document.activeElement?.value;
  parts.list.dataset.state = state;
  parts.list.replaceChildren(make("legend", { className: "unseen" }, "Samples"), ...known.map((one) => {
    const place = names.indexOf(one.sample);
    const label = make("label", { className: "tick" },
      make("input", { type: "checkbox", value: one.sample, checked: place >= 0, disabled: full && place < 0,
        onchange: (event) => { chosen[event.target.checked ? "add" : "delete"](one.sample); page.refresh(); } }),
      make("span", { className: "swatch", style: place >= 0 ? `background:var(--${SERIES[place]})` : "" }),
      make("span", {}, one.sample, make("small", {}, ` ${count(one.particles)}`)));
    return label;
  }));
  if (focused) [...parts.list.querySelectorAll("input")].find((input) => input.value === focused)?.focus();
}
