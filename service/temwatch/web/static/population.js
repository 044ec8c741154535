// The population of the sample: histogram, fits and statistics; a click on a bar or a point shows its particles.
import { getJson, sampleUrl } from "./api.js";
import { axisControls, axisQuery, saveLinks } from "./axis.js";
import { bars, colour, densityLabel, draw, logPlaces, translucent, withUnit } from "./charts.js";
import { empty, make, table } from "./dom.js";
import { DESCRIPTORS, capitalised, count, digits, edge, estimate, interval, intervalSource, plural } from "./format.js";

export const title = "Population";

export const STATISTICS = { mean: "mean", sd: "standard deviation", d50: "median (D50)", d10: "D10", d90: "D90", gsd: "geometric SD" };
const WEIGHTINGS = { number: "Number", area: "Surface", volume: "Volume" };
const POOR_FIT = 0.1; // largest cumulative distance; above it the misfit is visible
let parts;
let known = null;
let bar = 0;

// the same controls wherever a population is shown
export function controls(page, { border = true } = {}) {
  const { settings } = page;
  const descriptor = make("select", { "aria-label": "Descriptor", onchange: (event) => set({ descriptor: event.target.value }) },
    ...DESCRIPTORS.map(([value, words]) => make("option", { value }, capitalised(words))));
  const weights = make("fieldset", { className: "choice" }, make("legend", { className: "unseen" }, "Weighted by"),
    ...Object.entries(WEIGHTINGS).map(([value, text]) => make("label", {},
      make("input", { type: "radio", name: `weighting-${Math.random()}`, value, onchange: () => set({ weighting: value }) }), make("span", {}, text))));
  const inputs = [...weights.querySelectorAll("input")];
  for (const input of inputs) input.name = inputs[0].name;
  const corrected = make("input", { type: "checkbox", onchange: (event) => set({ corrected: event.target.checked }) });
  const element = make("div", { className: "controls" }, descriptor, weights,
    border ? make("label", { className: "tick" }, corrected, "Border correction") : null);

  function set(change) {
    if (change.descriptor) settings.axis = {}; // it has another unit
    Object.assign(settings, change);
    page.refresh();
  }
  function sync() {
    descriptor.value = settings.descriptor;
    for (const input of inputs) input.checked = input.value === settings.weighting;
    corrected.checked = settings.corrected;
  }
  return { element, sync };
}

export function query(settings) {
  return `descriptor=${settings.descriptor}&weighting=${settings.weighting}&border=${settings.corrected ? "corrected" : "raw"}`;
}

export function mount(section, page) {
  parts = {
    controls: controls(page),
    title: make("h1"),
    lead: make("p", { className: "lead" }),
    chart: make("div", { className: "chart", role: "img" }),
    bars: make("div", { className: "picker", role: "slider", tabIndex: 0, "aria-label": "Histogram bin", "aria-valuemin": "0" }),
    axis: axisControls(page),
    files: make("div"),
    fit: make("p", { className: "fit" }),
    figures: make("div"),
    scatter: make("div", { className: "chart", role: "img" }),
    scatterNote: make("p", { className: "caption" }),
    picked: make("section", { className: "panel picked", hidden: true, "aria-label": "Selected particles" }),
  };
  parts.bars.append(parts.chart);
  parts.bars.addEventListener("keydown", (event) => onKey(event, page));
  section.append(
    make("div", { className: "head" }, make("div", {}, parts.title, parts.lead), parts.controls.element),
    make("div", { className: "columns wide-first" },
      make("div", { className: "panel" }, parts.bars, parts.axis.element, parts.fit, parts.files),
      make("div", { className: "panel" }, parts.figures)),
    parts.picked,
    make("div", { className: "panel" }, make("h2", {}, "Size and circularity"), parts.scatter, parts.scatterNote));
}

export const stateQuery = (page) => `also=population&also=scatter&${query(page.settings)}`;

export async function update(section, page, signal) {
  parts.controls.sync();
  if (!page.sample) return void (parts.title.textContent = "No sample yet");
  parts.axis.sync();
  const axis = axisQuery(page.settings);
  const chosen = `${query(page.settings)}${axis ? `&${axis}` : ""}`;
  const whole = axis ? undefined : page.included("population", page.sample, stateQuery(page));
  // the intervals take most of the time: where a filter or an axis was moved they follow
  const answer = whole ?? await getJson(sampleUrl(page.sample, `population?${chosen}&intervals=false`), signal);
  const other = known && (known.descriptor !== answer.descriptor || known.sample !== page.sample);
  known = { ...answer, sample: page.sample };
  if (other) parts.picked.hidden = true;
  parts.title.textContent = page.sample;
  parts.lead.textContent = `${plural(answer.particles, "particle")} on ${plural(answer.micrographs, "micrograph")}`;
  if (!answer.particles) return void parts.figures.replaceChildren(empty("No particles yet."));
  parts.axis.sync(answer);
  parts.files.replaceChildren(saveLinks("Distribution", (kind) => sampleUrl(page.sample, `charts/histogram.${kind}?${chosen}`)));
  showStatistics(answer);
  await showHistogram(answer, page);
  // thousands of points take longest to draw; show everything above them first
  await new Promise((shown) => setTimeout(() => requestAnimationFrame(shown)));
  signal?.throwIfAborted();
  if (!whole) showStatistics(await getJson(sampleUrl(page.sample, `population?${chosen}`), signal));
  await showScatter(page.included("scatter", page.sample, stateQuery(page)) ?? await getJson(sampleUrl(page.sample, "scatter"), signal), page);
}

function showStatistics(answer) {
  parts.figures.replaceChildren(
    table(`Statistics of the ${answer.name}`, [withUnit(answer.name, answer.unit), "value", "95 % interval"],
      [...Object.entries(STATISTICS).map(([key, name]) => [name, estimate(answer.figures[key]), interval(answer.figures[key])]),
        ["particles (N)", count(answer.particles), ""], ["micrographs", count(answer.micrographs), ""]]),
    make("p", { className: "caption" }, intervalSource(answer.fields)));
  parts.fit.textContent = fitsInWords(answer);
}

export function fitsInWords({ fits, fits_are_equal: equal, unit }) {
  const [better, other] = fits;
  if (!better) return "";
  const poor = Math.min(...fits.map((fit) => fit.distance)) > POOR_FIT;
  if (equal) {
    return `${capitalised(better.name)} (${parameters(better, unit)}) and ${other.name} (${parameters(other, unit)}) ${poor ? "fit equally badly" : "fit equally well"}: Kolmogorov–Smirnov distances ${digits(better.distance, 2)} and ${digits(other.distance, 2)}.`;
  }
  const beside = other ? ` (${other.name}: ${digits(other.distance, 2)})` : "";
  return `${capitalised(better.name)} fits${other ? " better" : ""}: ${parameters(better, unit)}. Kolmogorov–Smirnov distance ${digits(better.distance, 2)}${beside}.${poor ? ` ${other ? "Neither fits" : "It does not fit"} well.` : ""}`;
}

function parameters(fit, unit) {
  const tail = unit ? ` ${unit}` : "";
  return fit.name === "normal"
    ? `mean ${digits(fit.location, 3)}${tail}, SD ${digits(fit.scale, 3)}${tail}`
    : `median ${digits(Math.exp(fit.location), 3)}${tail}, geometric SD ${digits(Math.exp(fit.scale), 3)}`;
}

async function showHistogram(answer, page) {
  const { edges, counts, density } = answer.histogram;
  const place = (values) => (answer.log_axis ? values.map(Math.log10) : values);
  const line = (y, name, more) => ({ type: "scatter", mode: "lines", x: place(answer.smooth.x), y, name, hoverinfo: "skip", ...more });
  const traces = [
    bars(place(edges), "particles", {
      y: density, customdata: counts,
      marker: { color: translucent("data", 0.55), line: { color: colour("data"), width: 0 } },
      hovertemplate: "%{customdata} particles<extra></extra>", showlegend: false,
    }),
    ...(answer.smooth.x.length ? [line(answer.smooth.y, "kernel density", { line: { color: colour("data"), width: 2.5 } })] : []),
    ...answer.fits.map((fit, index) => line(fit.density, fit.name, {
      line: { color: colour(index ? "quiet" : "second"), width: index ? 1.5 : 2.5, dash: index ? "dot" : "dash" },
    })),
  ];
  await draw(parts.chart, traces, {
    x: { title: withUnit(answer.name, answer.unit), ...(answer.log_axis ? logPlaces(edges[0], edges.at(-1)) : { range: [edges[0], edges.at(-1)] }) },
    y: { title: densityLabel(answer), rangemode: "tozero" },
    label: `Histogram of ${answer.particles} particles: ${answer.name}`,
  });
  bar = Math.min(bar, counts.length - 1);
  parts.bars.setAttribute("aria-valuemax", String(counts.length - 1));
  announceBin();
  parts.chart.removeAllListeners?.("plotly_click");
  parts.chart.on("plotly_click", (event) => {
    const point = event.points.find((one) => one.curveNumber === 0);
    if (point) pick(point.pointIndex, page);
  });
}

function announceBin() {
  const { edges, counts } = known.histogram;
  parts.bars.setAttribute("aria-valuenow", String(bar));
  parts.bars.setAttribute("aria-valuetext", `${edge(edges[bar])} to ${edge(edges[bar + 1])} ${known.unit}: ${plural(counts[bar], "particle")}`);
}

function onKey(event, page) {
  if (!known) return;
  const step = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
  if (step) {
    bar = Math.min(Math.max(0, bar + step), known.histogram.counts.length - 1);
    announceBin();
  } else if (event.key === "Enter" || event.key === " ") pick(bar, page);
  else return;
  event.preventDefault();
}

async function pick(index, page) {
  const { edges, counts } = known.histogram;
  const [low, high] = [edges[index], edges[index + 1]];
  bar = index;
  announceBin();
  const closed = index === counts.length - 1;
  const found = await getJson(sampleUrl(known.sample, `particles/between?descriptor=${known.descriptor}&low=${low}&high=${high}&closed=${closed}`));
  showPicked(`${plural(found.particles, "particle")} from ${edge(low)} to ${edge(high)} ${known.unit}`.trim(), found.chosen, { ...found, unit: known.unit }, page);
}

function showPicked(heading, chosen, found, page) {
  parts.picked.hidden = false;
  parts.picked.replaceChildren(
    make("div", { className: "line" }, make("h2", {}, heading),
      make("button", { type: "button", className: "quiet", onclick: () => (parts.picked.hidden = true) }, "Close")),
    found && found.particles > chosen.length ? make("p", { className: "caption" }, `${chosen.length} of them, evenly sampled`) : "",
    make("div", { className: "crops" }, ...chosen.map((one) => make("button", { type: "button", title: "Show the micrograph", onclick: () => page.showMicrograph(one.micrograph, one.number) },
      make("img", { src: `api/micrographs/${one.micrograph}/particles/${one.number}.png`, alt: `Particle ${one.number} of micrograph ${one.micrograph}`, loading: "lazy", width: 160, height: 160 }),
      make("span", {}, `${digits(one.value, 3)}${found?.unit ? ` ${found.unit}` : ""}`)))),
    found ? make("p", { className: "where" }, "On ", ...found.micrographs.slice(0, 12).flatMap((one, index) => [index ? ", " : "",
      make("button", { type: "button", className: "link", onclick: () => page.showMicrograph(one.id) }, one.micrograph ?? one.id), ` (${count(one.particles)})`]),
    found.micrographs.length > 12 ? " and others" : "") : "");
  parts.picked.scrollIntoView({ block: "nearest", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
}

async function showScatter(dots, page) {
  await draw(parts.scatter, [{
    type: "scatter", mode: "markers", x: dots.x.values, y: dots.y.values,
    marker: { size: 6, color: translucent("data", 0.55), line: { width: 0 } },
    hovertemplate: `%{x:.3g} ${dots.x.unit}, ${dots.y.name} %{y:.2f}<extra></extra>`,
  }], {
    x: { title: withUnit(dots.x.name, dots.x.unit), rangemode: "nonnegative" }, y: { title: dots.y.name }, showlegend: false,
    label: `${capitalised(dots.y.name)} against ${dots.x.name} of ${dots.shown} particles`,
  });
  parts.scatterNote.textContent = dots.shown < dots.particles ? `${count(dots.shown)} of ${count(dots.particles)} particles, evenly sampled.` : "";
  parts.scatter.removeAllListeners?.("plotly_click");
  parts.scatter.on("plotly_click", ({ points: [point] }) => {
    const [micrograph, number] = [dots.micrograph[point.pointIndex], dots.number[point.pointIndex]];
    showPicked("Selected particle", [{ micrograph, number, value: point.x }], null, page);
  });
}
