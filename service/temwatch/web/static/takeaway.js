// Take away: tables, charts at publication quality, and the report.
import { of } from "./ask.js";
import { controls, query } from "./population.js";
import { empty, make } from "./words.js";

export const title = "Take away";

const TABLES = [
  ["particles?format=csv", "particles.csv", "One row a particle, for any program."],
  ["workbook.xlsx", "Workbook, xlsx", "Particles, micrographs, statistics, and charts of Excel's own."],
  ["particles?format=parquet", "particles.parquet", "For Python and R, with types and units."],
  ["tables/micrographs.csv", "micrographs.csv", "One row a file, with what became of it."],
  ["tables/rejections.csv", "rejections.csv", "Regions that were not counted, with the reason."],
];
const CHARTS = { histogram: "Distribution with fits", scatter: "Size and circularity", convergence: "Half-widths of the intervals", border: "Border correction" };
let parts;

export function mount(section, page) {
  parts = { controls: controls(page), title: make("h1"), report: make("a", { className: "button main", target: "_blank", rel: "noopener" }, "Open the report"),
    tables: make("ul", { className: "downloads" }), charts: make("div", { className: "thumbnails" }) };
  section.append(
    make("div", { className: "head" }, make("div", {}, parts.title, make("p", { className: "lead" }, "One page of A4, with the methods text, after ISO 21363.")), parts.report),
    make("div", { className: "panel" }, make("h2", {}, "Tables"), parts.tables),
    make("div", { className: "panel" }, make("div", { className: "head" }, make("h2", {}, "Charts"), parts.controls.element), parts.charts));
}

export async function update(section, page) {
  parts.controls.sync();
  if (!page.sample) return void parts.tables.replaceChildren(make("li", {}, empty("No sample yet.")));
  parts.title.textContent = page.sample;
  parts.report.href = of(page.sample, "report");
  const particles = page.now.samples.find((one) => one.sample === page.sample)?.particles;
  const state = JSON.stringify([page.sample, particles, page.settings]);
  if (parts.charts.dataset.state === state) return;
  parts.charts.dataset.state = state;
  parts.tables.replaceChildren(...TABLES.map(([path, name, words]) => make("li", {},
    make("a", { href: of(page.sample, path), download: "" }, name), make("span", {}, words))));
  parts.charts.replaceChildren(...Object.entries(CHARTS).map(([chart, words]) => {
    const path = (kind) => of(page.sample, `charts/${chart}.${kind}?${query(page.settings)}`);
    return make("figure", {},
      make("img", { src: `${path("svg")}&n=${particles}`, alt: words, loading: "lazy", width: 335, height: 240 }),
      make("figcaption", {}, words, make("span", { className: "line" },
        make("a", { href: path("png"), download: "", "aria-label": `${words}, png` }, "png, 600 dpi"),
        make("a", { href: path("svg"), download: "", "aria-label": `${words}, svg` }, "svg"))));
  }));
}
