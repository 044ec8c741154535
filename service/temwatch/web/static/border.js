// Border correction: large particles touch the border more often and are missed; the correction puts them back.
import { ask, of } from "./ask.js";
import { colour, densityOf, draw, faint, stairs, withUnit } from "./charts.js";
import { controls, query } from "./population.js";
import { digits, empty, figure, make, percent, table } from "./words.js";

export const title = "Border";

let parts;
const signed = (value) => (value === null ? "–" : `${value > 0 ? "+" : ""}${digits(value, 2)}\u2009%`);

export function mount(section, page) {
  parts = {
    controls: controls(page, { border: false }),
    title: make("h1"),
    lead: make("p", { className: "lead" }),
    chart: make("div", { className: "chart tall", role: "img" }),
    table: make("div"),
  };
  section.append(
    make("div", { className: "head" }, make("div", {}, parts.title, parts.lead), parts.controls.element),
    make("div", { className: "columns wide-first" }, make("div", { className: "panel" }, parts.chart), make("div", { className: "panel" }, parts.table)));
}

export async function update(section, page, signal) {
  parts.controls.sync();
  if (!page.sample) return void (parts.title.textContent = "No sample yet");
  const answer = await ask(of(page.sample, `border?${query(page.settings)}`), signal);
  if (!answer.particles) return void parts.table.replaceChildren(empty("No particles yet."));
  const shift = answer.shift_percent.mean;
  parts.title.textContent = shift === 0 ? "The mean does not shift" : `The mean shifts by ${signed(shift)}`;
  parts.lead.textContent = `${percent(answer.seen_whole_percent)} of the particles of ${page.sample} lie wholly within their micrograph, by estimate.`;
  parts.table.replaceChildren(
    table(`The ${answer.name} as measured and corrected`, [withUnit(answer.name, answer.unit), "measured", "corrected", "shift"],
      Object.entries({ mean: "mean", d50: "median, D50", d10: "D10", d90: "D90", sd: "standard deviation", gsd: "geometric SD" }).map(([key, words]) => [
        words, figure(answer.figures.raw[key]), figure(answer.figures.corrected[key]), signed(answer.shift_percent[key])])),
    make("p", { className: "caption" }, "Miles and Lantuéjoul, ISO 13322-1: a particle whose box is a by b lies within a micrograph of W by H with probability (W − a)(H − b) / WH, and counts with its inverse."));
  await draw(parts.chart, [
    stairs(answer.edges, answer.density.raw, { name: "measured", fill: "tozeroy", fillcolor: faint("data", 0.25), line: { shape: "hv", width: 2.5, color: colour("data") } }),
    stairs(answer.edges, answer.density.corrected, { name: "corrected", line: { shape: "hv", width: 2.5, color: colour("second"), dash: "dash" } }),
  ], {
    x: { title: withUnit(answer.name, answer.unit) }, y: { title: densityOf(answer.weighting, answer.unit), rangemode: "tozero" },
    label: `Distribution of the ${answer.name}, measured and corrected; the mean shifts by ${signed(answer.shift_percent.mean)}`,
  });
}
