// Up to six samples overlaid, each with its colour and dash, and how each differs from one of them.
import { getJson, sampleUrl, withFilter } from "./api.js";
import { DASHES, SERIES, colour, densityLabel, draw, logAxis, plain, withUnit } from "./charts.js";
import { controls, query } from "./population.js";
import { saveLinks } from "./axis.js";
import { empty, make, options, table } from "./dom.js";
import { FEWEST_FIELDS, count, digits, estimate, interval, probability } from "./format.js";

export const title = "Compare";

const MAX_SAMPLES = 6;
const WIDE = 4; // where medians differ by a larger factor, the axis is logarithmic
const chosen = new Map(); // index of the series by sample: a sample keeps its colour while it is shown
let parts;
let reference = "";

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
    files: make("div"),
    table: make("div"),
    reference: make("select", { onchange: (event) => {
      reference = event.target.value;
      page.refresh();
    } }),
    headline: make("p", { className: "lead" }),
    differences: make("div"),
  };
  parts.tests = make("div", { className: "panel", hidden: true },
    make("div", { className: "head" }, make("h2", {}, "Differences of the means"), make("label", { className: "tick" }, "from", parts.reference)), parts.headline, parts.differences);
  section.append(
    make("div", { className: "head" }, make("div", {}, make("h1", {}, "Compare samples"), make("p", { className: "lead" }, "Select up to six.")), parts.controls.element),
    parts.list, make("div", { className: "panel" }, parts.chart, parts.files), make("div", { className: "panel" }, parts.table), parts.tests);
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
  if (!names.includes(reference)) reference = names[0];
  const ask = (axis) => Promise.all(names.map((name) => getJson(sampleUrl(name, `population?${query(page.settings)}${axis}`), signal)));
  let answers = await ask("");
  const medians = answers.map((one) => one.figures.d50.value).filter((value) => value > 0);
  const wide = Math.max(...medians) > WIDE * Math.min(...medians);
  if (wide) answers = await ask("&log_axis=true");
  showStatistics(names, answers);
  const differences = showDifferences(names, answers[0], page, signal);
  parts.files.hidden = names.length < 2;
  parts.files.replaceChildren(saveLinks("Comparison", (kind) => withFilter(`api/comparison/chart.${kind}?${samplesQuery(names)}&${query(page.settings)}${wide ? "&log_axis=true" : ""}`)));
  await draw(parts.chart, answers.map((one, index) => {
    const place = chosen.get(names[index]);
    return { type: "scatter", mode: "lines", name: plain(names[index]), x: one.smooth.x, y: one.smooth.y,
      line: { color: colour(SERIES[place]), width: 3, dash: DASHES[place] }, hovertemplate: `%{x:.4g}<extra>${plain(names[index])}</extra>` };
  }), {
    x: { title: withUnit(answers[0].name, answers[0].unit), ...(wide ? logAxis() : {}) },
    y: { title: densityLabel(answers[0]), rangemode: "tozero" }, showlegend: true,
    label: `Distributions of ${names.length} samples`,
  });
  await differences;
}

const samplesQuery = (names) => names.map((name) => `sample=${encodeURIComponent(name)}`).join("&");

const named = (name) => make("span", { className: "tick" }, swatch(chosen.get(name)), name);

function showStatistics(names, answers) {
  parts.table.replaceChildren(table("Statistics of the samples", [withUnit(answers[0].name, answers[0].unit), "mean", "95 % interval", "SD", "D10", "D50", "D90", "particles", "micrographs"],
    answers.map((one, index) => [named(names[index]), estimate(one.figures.mean), interval(one.figures.mean), ...["sd", "d10", "d50", "d90"].map((key) => estimate(one.figures[key])), count(one.particles), count(one.micrographs)])));
}

async function showDifferences(names, { name, unit }, page, signal) {
  parts.tests.hidden = names.length < 2;
  if (names.length < 2) return;
  options(parts.reference, names.map((one) => [one, one]), reference);
  const others = names.filter((one) => one !== reference);
  const answer = await getJson(withFilter(`api/comparison?${samplesQuery([reference, ...others])}&${query(page.settings)}`), signal);
  const [{ fields }, ...rows] = answer.samples;
  const compared = rows.filter((one) => one.against_reference);
  parts.headline.textContent = rows.length === 1 && compared.length ? inWords(rows[0], reference, unit) : "";
  parts.differences.replaceChildren(
    table(`Differences from ${reference}`, [withUnit(name, unit), "difference", "95 % interval", rows.length > 1 ? "p (adjusted)" : "p", "Cliff’s δ", "effect"],
      compared.map(({ sample, against_reference: one }) => [named(sample), signed(estimate({ value: one.difference, half_width: one.half_width }), one.difference),
        interval({ value: one.difference, half_width: one.half_width }), one.p === null ? "too few fields" : probability(one.p_adjusted, ""), signed(digits(one.cliffs_delta, 2), one.cliffs_delta), one.effect])),
    make("p", { className: "caption" }, `Welch’s test between independent fields of view (${[fields, ...compared.map((one) => one.fields)].join(", ")}; at least ${FEWEST_FIELDS} each): particles of one field do not count as independent.${rows.length > 1 ? ` p is adjusted for ${rows.length} tests (Holm).` : ""} Cliff’s δ is the probability that a particle is larger than one of ${reference}, minus that it is smaller.`));
}

const signed = (text, value) => (value > 0 ? `+${text}` : text);

// what a test of two samples says, in a sentence
export function inWords({ sample, against_reference: one }, reference, unit) {
  if (!one.difference) return `The means of ${sample} and ${reference} are equal.${one.p === null ? " There are too few fields for a test." : ""}`;
  const size = `${digits(Math.abs(one.difference), 3)}${unit ? ` ${unit}` : ""} ${one.difference > 0 ? "above" : "below"}`;
  const first = `The mean of ${sample} is ${size} that of ${reference}`;
  if (one.p === null) return `${first}. There are too few fields for a test.`;
  return one.p < 0.05 ? `${first}: the difference is significant (${probability(one.p)}), and the effect ${one.effect}.`
    : `${first}: the difference is not significant (${probability(one.p)}).`;
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
