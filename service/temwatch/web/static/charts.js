// Charts by plotly in the page's colours. The library runs when the first chart is drawn, after the numbers.
let library = null;

// into the browser's cache, without running it
export function prefetchPlotly() {
  fetch(document.body.dataset.plotly, { priority: "low" }).catch(() => {});
}

function load() {
  library ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = document.body.dataset.plotly;
    script.addEventListener("load", () => resolve(globalThis.Plotly));
    script.addEventListener("error", () => reject(new Error("The charts could not be loaded.")));
    document.head.append(script);
  });
  return library;
}

export function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

// sky blue, orange, bluish green, yellow, vermillion, reddish purple (Okabe and Ito), each with its dash
export const SERIES = ["data", "second", "third", "fourth", "fifth", "sixth"];
export const DASHES = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot"];

export function translucent(name, opacity) {
  const value = colour(name);
  const parts = [1, 3, 5].map((at) => parseInt(value.slice(at, at + 2), 16));
  return `rgba(${parts.join(",")},${opacity})`;
}

function axis(more = {}) {
  return {
    gridcolor: colour("line"),
    zeroline: false,
    linecolor: colour("edge"),
    tickcolor: colour("edge"),
    ticks: "outside",
    ticklen: 5,
    tickfont: { color: colour("quiet") },
    title: { text: "", font: { color: colour("quiet") }, standoff: 10 },
    automargin: true,
    fixedrange: true,
    ...more,
  };
}

const RESIZED_MS = 60;
const shown = new WeakMap(); // what each chart shows: drawn again where its place changes its size, since letters and legend do, too
const places = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    clearTimeout(shown.get(target).timer);
    shown.get(target).timer = setTimeout(refit, RESIZED_MS, target);
  }
});

async function refit(node) {
  const drawn = node.querySelector(".main-svg");
  if (!drawn || !node.clientHeight) return;
  if (Math.max(Math.abs(node.clientHeight - drawn.clientHeight), Math.abs(node.clientWidth - drawn.clientWidth)) > 1) await render(node);
}

export async function draw(node, traces, { label, ...layout } = {}) {
  node.setAttribute("aria-label", label);
  shown.set(node, { traces, layout });
  await render(node);
  places.observe(node);
}

// a title that is longer than its axis would be cut
async function render(node) {
  await react(node, (title) => title);
  const title = node.querySelector(".ytitle");
  if (title?.getBoundingClientRect().height > node.querySelector(".nsewdrag")?.getBoundingClientRect().height) await react(node, inTwoLines);
}

// broken at the space that is nearest to its middle
export function inTwoLines(text) {
  const middle = (at) => Math.abs(at - text.length / 2);
  const spaces = [...text.matchAll(/ /g)].map(({ index }) => index);
  if (!spaces.length) return text;
  const at = spaces.reduce((best, one) => (middle(one) < middle(best) ? one : best));
  return `${text.slice(0, at)}<br>${text.slice(at + 1)}`;
}

// sizes follow the root font size, which is larger on a wall screen than on a phone
async function react(node, wrap) {
  const plotly = await load();
  const { traces, layout: { x = {}, y = {}, ...layout } } = shown.get(node);
  const size = parseFloat(getComputedStyle(document.documentElement).fontSize);
  const scale = size / 17;
  const scaled = (line) => line && { ...line, width: scale * (line.width ?? 2) };
  const thick = (one) => ({ ...one, line: scaled(one.line), ...(one.marker?.size ? { marker: { ...one.marker, size: scale * one.marker.size } } : {}) });
  await plotly.react(node, traces.map(thick), {
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: getComputedStyle(document.body).fontFamily, size: 0.86 * size, color: colour("text") },
    margin: { l: 4 * size, r: size, t: 1.6 * size, b: 3.2 * size },
    hovermode: "closest",
    hoverlabel: { bgcolor: colour("raised"), bordercolor: colour("line"), font: { color: colour("text") } },
    legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", bgcolor: "rgba(0,0,0,0)" },
    bargap: 0.04,
    dragmode: false,
    ...(node.clientWidth && node.clientHeight ? { width: node.clientWidth, height: node.clientHeight } : {}),
    ...layout,
    shapes: layout.shapes?.map((one) => ({ ...one, line: scaled(one.line) })),
    xaxis: axis({ showgrid: false, ...x, title: { ...axis().title, text: x.title ?? "" } }),
    yaxis: axis({ ...y, title: { ...axis().title, text: wrap(y.title ?? "") } }),
  }, { displayModeBar: false });
}

// without the characters that plotly takes for markup
export const plain = (text) => text.replace(/[<>&]/g, "");

const WEIGHTED = { number: "number", area: "surface", volume: "volume" };

export const densityLabel = ({ weighting, unit, log_axis: log }) =>
  `${WEIGHTED[weighting]}-weighted density${log ? " (per unit of ln)" : unit ? ` (1/${unit})` : ""}`;

const powers = (digits) => [-3, -2, -1, 0, 1, 2, 3, 4, 5, 6].flatMap((power) => digits.map((digit) => Number(`${digit}e${power}`)));
const ROUND = powers([1, 2, 5]);
const FINE = powers([1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9]); // where an axis is short

export const logAxis = () => ({ type: "log", tickvals: ROUND, ticktext: ROUND.map(String) });

// for bars, whose width plotly knows on linear axes only: their places are logarithms already
export function logPlaces(low, high) {
  const ticks = (high / low > 8 ? ROUND : FINE).filter((tick) => tick >= low && tick <= high);
  return { range: [low, high].map(Math.log10), tickvals: ticks.map(Math.log10), ticktext: ticks.map(String) };
}

export const withUnit = (name, unit) => (unit ? `${name} (${unit})` : name);

// a histogram as bars; the heights are given with `more`
export function bars(edges, name, more = {}) {
  return {
    type: "bar",
    name,
    x: edges.slice(0, -1).map((low, index) => (low + edges[index + 1]) / 2),
    width: edges.slice(0, -1).map((low, index) => edges[index + 1] - low),
    ...more,
  };
}

// a histogram as a step line, so that two can be overlaid
export function steps(edges, heights, more = {}) {
  return { type: "scatter", mode: "lines", line: { shape: "hv", width: 2.5 }, x: edges, y: [...heights, 0], ...more };
}
