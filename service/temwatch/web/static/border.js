// Border correction: large particles touch the border more often and are excluded; weights compensate for it.
import { getJson, sampleUrl } from "./api.js";
import { colour, densityLabel, draw, steps, translucent, withUnit } from "./charts.js";
import { STATISTICS, controls, query } from "./population.js";
import { empty, make, table } from "./dom.js";
import { digits, estimate, percent } from "./format.js";

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
  const answer = await getJson(sampleUrl(page.sample, `border?${query(page.settings)}`), signal);
  if (!answer.particles) return void parts.table.replaceChildren(empty("No particles yet."));
  const shift = answer.shift_percent.mean;
  parts.title.textContent = shift === 0 ? "No shift of the mean" : `Border correction shifts the mean by ${signed(shift)}`;
  parts.lead.textContent = `An estimated ${percent(answer.seen_whole_percent)} of the particles of ${page.sample} lie entirely within their micrograph.`;
  parts.table.replaceChildren(
    table(`The ${answer.name}, measured and corrected`, [withUnit(answer.name, answer.unit), "measured", "corrected", "shift"],
      Object.entries(STATISTICS).map(([key, name]) => [
        name, estimate(answer.figures.raw[key]), estimate(answer.figures.corrected[key]), signed(answer.shift_percent[key])])),
    make("p", { className: "caption" }, "After Miles and Lantuéjoul (ISO 13322-1): a particle whose bounding box is a × b lies within a micrograph of W × H with probability (W − a)(H − b) / (W H), and is weighted by the inverse."));
  await draw(parts.chart, [
    steps(answer.edges, answer.density.raw, { name: "measured", fill: "tozeroy", fillcolor: translucent("data", 0.25), line: { shape: "hv", width: 2.5, color: colour("data") } }),
    steps(answer.edges, answer.density.corrected, { name: "corrected", line: { shape: "hv", width: 2.5, color: colour("second"), dash: "dash" } }),
  ], {
    x: { title: withUnit(answer.name, answer.unit) }, y: { title: densityLabel(answer), rangemode: "tozero" },
    label: `Distribution of the ${answer.name}, measured and corrected; the mean shifts by ${signed(shift)}`,
  });
}
