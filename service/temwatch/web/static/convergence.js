// Are there enough micrographs? How the intervals narrowed, and how many more micrographs the target needs.
import { getJson, sampleUrl } from "./api.js";
import { colour, draw } from "./charts.js";
import { verdict } from "./live.js";
import { controls, query } from "./population.js";
import { make, table } from "./dom.js";
import { digits, percent, plural, rough } from "./format.js";

export const title = "Enough yet?";

const MAX_FORECAST = 4; // times the present number of fields
let parts;

export function mount(section, page) {
  const target = make("input", { type: "number", min: "0.1", max: "50", step: "0.1", value: String(page.settings.target), inputMode: "decimal",
    onchange: (event) => {
      const wanted = Number(event.target.value);
      if (wanted >= 0.05 && wanted <= 100) page.settings.target = wanted;
      event.target.value = page.settings.target;
      page.refresh();
    } });
  parts = {
    controls: controls(page), target,
    headline: make("h1", { className: "giant headline" }),
    detail: make("p", { className: "lead" }),
    chart: make("div", { className: "chart", role: "img" }),
    table: make("div"),
    standard: make("div"),
  };
  parts.controls.element.append(make("label", { className: "tick" }, "Target for the interval ±", target, "%"));
  section.append(
    make("div", { className: "head" }, make("div", {}, parts.headline, parts.detail), parts.controls.element),
    make("div", { className: "panel" }, parts.chart),
    make("div", { className: "columns" }, make("div", { className: "panel" }, parts.table), make("div", { className: "panel" }, parts.standard)));
}

export const stateQuery = (page) => `also=curve&target_percent=${page.settings.target}&${query(page.settings)}`;

export async function update(section, page, signal) {
  parts.controls.sync();
  if (!page.sample) return void (parts.headline.textContent = "No sample yet");
  const answer = page.included("curve", page.sample, stateQuery(page)) ?? await getJson(sampleUrl(page.sample, `convergence?target_percent=${page.settings.target}&${query(page.settings)}`), signal);
  const [headline, detail] = verdict(answer);
  parts.headline.textContent = headline;
  parts.headline.classList.toggle("good", answer.mean.enough);
  parts.detail.textContent = `${detail} · mean ${answer.name} of ${page.sample}`;
  showNumbers(answer);
  await showChart(answer);
}

// a spread that needs more than a million is not that of one log-normal population
const particlesNeeded = (number) => (number > 1e6 ? "over a million" : rough(number));

function forecast(known) {
  if (known.enough) return "enough";
  return known.fields_more === null ? "too early" : `about ${rough(known.fields_more)} more`;
}

function showNumbers(answer) {
  parts.table.replaceChildren(
    table("Half-widths and forecast", ["half-width of the 95 % interval", "now", `micrographs for a target of ±${answer.target_percent}\u2009%`],
      [["mean", percent(answer.mean.percent), forecast(answer.mean)], ["median (D50)", percent(answer.d50.percent), forecast(answer.d50)]]),
    make("p", { className: "caption" }, `After ${plural(answer.fields, "field of view", "fields of view")} with ${plural(answer.particles, "particle")}. The forecast assumes that the spread between micrographs stays the same.`),
    answer.design_effect === null ? "" : make("p", { className: "caption" }, `The variance of the mean is ${digits(answer.design_effect, 2)} times that of independent particles (design effect).`));
  const needed = answer.independent_particles_needed;
  parts.standard.replaceChildren(
    make("h2", {}, "Requirements of the standard"),
    make("p", {}, answer.iso_13322_1),
    needed.mean ? table("Independent particles for this target", [`independent particles for an interval of ±${answer.target_percent}\u2009%`, "at this spread"],
      [["mean", particlesNeeded(needed.mean)], ["median (D50)", particlesNeeded(needed.d50)], ["volume-weighted mean", particlesNeeded(needed.volume_mean)]]) : "",
    make("p", { className: "caption" }, "Particles of one micrograph are not independent, so the intervals on this page count micrographs."));
}

async function showChart(answer) {
  const { steps } = answer;
  parts.chart.parentElement.hidden = !steps.fields.length;
  if (!steps.fields.length) return;
  const line = (name, key, series, symbol, dash) => ({
    type: "scatter", mode: "lines+markers", name, x: steps.fields, y: steps[key],
    line: { color: colour(series), width: 2.5, dash }, marker: { size: 8, symbol },
    hovertemplate: `%{x} micrographs: interval ±%{y:.2g} %<extra>${name}</extra>`,
  });
  const forecastLine = (name, key, series) => {
    const known = answer[name];
    if (known.enough || !(known.fields_needed > answer.fields)) return [];
    // a power law, close to the inverse square root, through the present value and the forecast
    const power = Math.log(answer.target_percent / known.percent) / Math.log(known.fields_needed / answer.fields);
    const last = Math.min(known.fields_needed, Math.max(MAX_FORECAST * answer.fields, 12)); // so that the measured part stays legible
    const x = Array.from({ length: 25 }, (_, step) => answer.fields * (last / answer.fields) ** (step / 24));
    return [{ type: "scatter", mode: "lines", x, y: x.map((fields) => known.percent * (fields / answer.fields) ** power),
      line: { color: colour(series), width: 1.5, dash: "dot" }, showlegend: false, hoverinfo: "skip" }];
  };
  await draw(parts.chart, [
    line("mean", "mean_percent", "data", "circle", "solid"), line("D50", "d50_percent", "second", "square", "dash"),
    ...forecastLine("mean", "mean_percent", "data"), ...forecastLine("d50", "d50_percent", "second"),
  ], {
    x: { title: "micrographs", rangemode: "tozero" },
    y: { title: "half-width of the 95 % interval (%)", type: "log", tickvals: [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200], nticks: 8 },
    shapes: [{ type: "line", xref: "paper", x0: 0, x1: 1, y0: answer.target_percent, y1: answer.target_percent, line: { color: colour("good"), width: 2, dash: "dash" } }],
    annotations: [{ xref: "paper", x: 1, y: Math.log10(answer.target_percent), yanchor: "bottom", xanchor: "right", text: "target", showarrow: false, font: { color: colour("good") } }],
    label: `Half-widths of the intervals of mean and D50 against the number of micrographs; now ${percent(answer.mean.percent)} of the mean`,
  });
}
