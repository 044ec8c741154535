// Now: the last micrograph, what the sample looks like so far, and whether it is enough.
import { ask, of } from "./ask.js";
import { bars, colour, draw, faint, plain, withUnit } from "./charts.js";
import { Viewer, decoded, previewOf } from "./viewer.js";
import { clock, count, digits, empty, figure, make, percent, plural, rough, seconds } from "./words.js";

export const title = "Now";

const TILE_PX = 320;
const FAR = 999; // micrographs that nobody takes
let viewer;
let parts;
let chosen = null;

export function mount(section, page) {
  viewer = new Viewer();
  parts = {
    nothing: empty("No micrograph yet. The next one that is acquired appears here."),
    stage: make("div", { className: "stage" }),
    strip: make("ol", { className: "strip", "aria-label": "Recent micrographs, newest first" }),
    name: make("h1", { className: "name" }),
    back: make("button", { type: "button", className: "quiet", hidden: true, onclick: () => page.look(null) }, "Back to the last one"),
    one: make("dl", { className: "one" }),
    sample: make("h2"),
    mean: make("p", { className: "giant" }),
    counted: make("p", { className: "caption" }),
    chart: make("div", { className: "chart small", role: "img" }),
    enough: make("div", { className: "gauge" }),
    queue: make("p", { className: "queue" }),
  };
  const readings = make("div", { className: "readings" },
    make("div", { className: "reading" }, make("div", { className: "line" }, parts.name, parts.back), parts.one),
    make("div", { className: "reading main" }, parts.sample, parts.mean, parts.counted, parts.chart, parts.enough),
    parts.queue);
  parts.stage.append(viewer.element, readings);
  section.append(parts.nothing, parts.stage, parts.strip);
}

export const wants = (page) => page.micrograph ? "" : `also=outlines&also=population&also=convergence&target_percent=${page.settings.target}`;

export async function update(section, page, signal) {
  const { last, recent, queue } = page.now;
  const row = await lookedAt(page, last, recent, signal);
  parts.nothing.hidden = Boolean(row);
  parts.stage.hidden = !row;
  showStrip(recent, row, page);
  parts.queue.textContent = queue.waiting
    ? `${plural(queue.waiting, "file waits", "files wait")} · next ${queue.next[0]}`
    : "Nothing waits";
  if (!row) return;
  parts.name.textContent = row.name;
  parts.back.hidden = !page.micrograph;
  showOne(row);
  // the picture and the numbers of the sample do not wait for each other
  const told = page.now.also.micrograph === row.id ? page.told("outlines", row.sample, wants(page)) : undefined;
  await Promise.all([viewer.show(row, told, signal), showSample(page, row, signal)]);
}

async function lookedAt(page, last, recent, signal) {
  if (!page.micrograph) {
    chosen = null;
    if (!page.chosen) return last;
    const known = recent.find((one) => one.sample === page.sample && one.status === "done");
    if (known) return known;
    const rows = await ask(of(page.sample, "micrographs?limit=50"), signal);
    return rows.find((one) => one.status === "done") ?? null;
  }
  const known = recent.find((one) => one.id === page.micrograph);
  if (known) return known;
  if (chosen?.id !== page.micrograph) chosen = await ask(`api/micrographs/${page.micrograph}`, signal);
  return chosen;
}

function entry(value, unit, words) {
  return make("div", {}, make("dd", {}, value, unit ? make("small", {}, ` ${unit}`) : ""), make("dt", {}, words));
}

function showOne(row) {
  const rejected = Object.entries(row).filter(([name]) => name.startsWith("rejected_")).reduce((sum, [, n]) => sum + n, 0);
  parts.one.replaceChildren(
    entry(count(row.particles), "", "particles"),
    entry(digits(row.mean_equivalent_diameter_nm, 3), "nm", "mean diameter"),
    entry(count(rejected), "", "rejected"),
    row.arrival_to_result_s !== undefined && row.arrival_to_result_s !== null
      ? entry(seconds(row.arrival_to_result_s), "s", "arrival to result")
      : entry(seconds(row.seconds), "s", "analysis"));
}

async function showSample(page, row, signal) {
  // the figures of another sample fade until those of this one are there
  parts.sample.parentElement.classList.toggle("waits", parts.sample.textContent !== row.sample);
  const [known, precision] = await Promise.all([
    page.told("population", row.sample, wants(page)) ?? ask(of(row.sample, "population"), signal),
    page.told("convergence", row.sample, wants(page)) ?? ask(of(row.sample, `convergence?curve=false&target_percent=${page.settings.target}`), signal),
  ]);
  parts.sample.textContent = row.sample;
  parts.sample.parentElement.classList.remove("waits");
  parts.mean.replaceChildren(figure(known.figures.mean), make("small", {}, " nm"));
  parts.counted.textContent = `mean diameter of ${plural(known.particles, "particle", "particles")} on ${plural(known.micrographs, "micrograph", "micrographs")} · SD ${digits(known.figures.sd.value, 3)} nm`;
  showGauge(precision);
  if (!known.particles) return;
  await draw(parts.chart, [
    bars(known, "particles", { y: known.histogram.counts, marker: { color: faint("data", 0.75) }, hovertemplate: "%{x:.4g} nm: %{y} particles<extra></extra>" }),
  ], {
    x: { title: withUnit("equivalent diameter", "nm") },
    y: { title: "particles", nticks: 4 },
    showlegend: false,
    shapes: row.mean_equivalent_diameter_nm === null ? [] : [{
      type: "line", yref: "paper", y0: 0, y1: 1, x0: row.mean_equivalent_diameter_nm, x1: row.mean_equivalent_diameter_nm,
      line: { color: colour("second"), width: 2, dash: "dot" },
    }],
    annotations: row.mean_equivalent_diameter_nm === null ? [] : [{
      yref: "paper", y: 1, yanchor: "bottom", x: row.mean_equivalent_diameter_nm, text: `mean of ${plain(row.name)}`, showarrow: false,
      font: { color: colour("second") },
    }],
    label: `Histogram of ${known.particles} equivalent diameters; the dotted line is the mean of this micrograph`,
  });
}

export function verdict(precision, name = "mean") {
  const { percent: half, enough, fields_more: more } = precision[name];
  if (half === null) {
    return ["Not yet known", precision.micrographs > 1 && precision.fields === 1
      ? "Frames of one sequence show the same particles."
      : "An interval needs two micrographs."];
  }
  if (enough) return ["Enough", `±${percent(half)}, wanted ±${percent(precision.target_percent)}`];
  if (more === null) return [`±${percent(half)}`, "Too early to foretell."];
  if (more > FAR) return ["Far from enough", `±${percent(half)} now, wanted ±${percent(precision.target_percent)}`];
  return [`About ${rough(more)} more ${more === 1 ? "micrograph" : "micrographs"}`, `±${percent(half)} now, wanted ±${percent(precision.target_percent)}`];
}

function showGauge(precision) {
  const [words, detail] = verdict(precision);
  const half = precision.mean.percent;
  const share = half === null ? 0 : Math.min(1, (precision.target_percent / half) ** 2);
  parts.enough.classList.toggle("enough", precision.mean.enough);
  parts.enough.replaceChildren(
    make("p", {}, make("strong", {}, words), make("span", {}, detail)),
    make("div", { className: "track", role: "meter", "aria-label": "Share of the micrographs that the target takes", "aria-valuemin": "0", "aria-valuemax": "100", "aria-valuenow": String(Math.round(100 * share)) },
      make("div", { className: "fill", style: `width:${100 * share}%` })));
}

const MARKS = { done: "", failed: "failed", refused: "refused", duplicate: "duplicate", superseded: "replaced", pending: "waits" };

function showStrip(recent, row, page) {
  const known = new Map([...parts.strip.children].map((item) => [item.dataset.key, item]));
  const items = recent.map((one) => {
    const key = `${one.id} ${one.status} ${one.analysed_at}`;
    const item = known.get(key) ?? tile(one, key, page, one.id === row?.id);
    item.firstChild.setAttribute("aria-pressed", String(one.id === row?.id));
    return item;
  });
  // tiles that are there already stay, so that their pictures do not load again
  if (items.length !== parts.strip.children.length || items.some((item, index) => item !== parts.strip.children[index])) parts.strip.replaceChildren(...items);
}

// the one that is shown large is not fetched a second time, small
function small(one) {
  const canvas = make("canvas", { "aria-hidden": "true" });
  decoded(previewOf(one)).then((large) => {
    const scale = TILE_PX / Math.max(large.naturalWidth, large.naturalHeight, 1);
    [canvas.width, canvas.height] = [large.naturalWidth * scale, large.naturalHeight * scale];
    const pen = canvas.getContext("2d");
    pen.imageSmoothingQuality = "high";
    if (canvas.width && canvas.height) pen.drawImage(large, 0, 0, canvas.width, canvas.height);
  });
  return canvas;
}

function tile(one, key, page, large) {
  const done = one.status === "done";
  const picture = done && !one.has_picture ? make("span", { className: "cross none", "aria-hidden": "true" }, "–") : done && large ? small(one) : done
    ? make("img", { src: previewOf(one, TILE_PX), alt: "", loading: "lazy", decoding: "async" })
    : make("span", { className: "cross", "aria-hidden": "true" }, one.status === "duplicate" ? "=" : "!");
  const button = make("button", { type: "button", className: one.status, title: one.reason ?? one.micrograph, onclick: () => (done ? page.look(one.id) : page.open("trouble")) },
    picture,
    make("span", { className: "tile-name" }, one.frame === null ? one.name : `${one.name} ${one.frame}`),
    make("span", { className: "tile-words" }, make("span", {}, done ? `${count(one.particles)} · ${digits(one.mean_equivalent_diameter_nm, 3)} nm` : MARKS[one.status] ?? one.status), make("time", {}, clock(one.analysed_at))));
  return make("li", { "data-key": key }, button);
}

export function key(event) {
  viewer.key(event);
}
