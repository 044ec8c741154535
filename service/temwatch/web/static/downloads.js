// Downloads: tables, charts in publication quality, and the report.
import { chosenFilter, sampleUrl } from "./api.js";
import { axisQuery, saveLinks } from "./axis.js";
import { controls, query } from "./population.js";
import { empty, make } from "./dom.js";

export const title = "Downloads";

const TABLES = [
  ["particles?format=csv", "particles.csv", "One row per particle, for any program."],
  ["workbook.xlsx", "workbook.xlsx", "Particles, micrographs and statistics, with native Excel charts."],
  ["particles?format=parquet", "particles.parquet", "For Python and R, with data types and units."],
  ["tables/micrographs.csv", "micrographs.csv", "One row per file, with its status."],
  ["tables/rejections.csv", "rejections.csv", "Regions that were not counted, each with its reason."],
];
const CHARTS = { histogram: "Distribution with fits", scatter: "Size and circularity", convergence: "Interval half-widths", border: "Border correction" };
let parts;

export function mount(section, page) {
  parts = { controls: controls(page), title: make("h1"), report: make("a", { className: "button main", target: "_blank", rel: "noopener" }, "Open the report"),
    tables: make("ul", { className: "download-list" }), charts: make("div", { className: "thumbnails" }) };
  section.append(
    make("div", { className: "head" }, make("div", {}, parts.title, make("p", { className: "lead" }, "The report: one A4 page after ISO 21363, with a methods paragraph.")), parts.report),
    make("div", { className: "panel" }, make("h2", {}, "Tables"), parts.tables),
    make("div", { className: "panel" }, make("div", { className: "head" }, make("h2", {}, "Charts"), parts.controls.element), parts.charts));
}

export async function update(section, page) {
  parts.controls.sync();
  if (!page.sample) return void parts.tables.replaceChildren(make("li", {}, empty("No sample yet.")));
  parts.title.textContent = page.sample;
  parts.report.href = sampleUrl(page.sample, "report");
  const particles = page.state.samples.find((one) => one.sample === page.sample)?.particles;
  const state = JSON.stringify([page.sample, particles, page.settings, chosenFilter(), page.decisions]);
  if (parts.charts.dataset.state === state) return;
  parts.charts.dataset.state = state;
  parts.tables.replaceChildren(...TABLES.map(([path, name, description]) => make("li", {},
    make("a", { href: sampleUrl(page.sample, path), download: "" }, name), make("span", {}, description))));
  parts.charts.replaceChildren(...Object.entries(CHARTS).map(([chart, description]) => {
    const axis = axisQuery(page.settings);
    const path = (kind) => sampleUrl(page.sample, `charts/${chart}.${kind}?${query(page.settings)}${axis ? `&${axis}` : ""}`);
    return make("figure", {},
      make("img", { src: `${path("svg")}&n=${particles}`, alt: description, loading: "lazy", width: 335, height: 240 }),
      make("figcaption", {}, description, saveLinks(description, path)));
  }));
}
