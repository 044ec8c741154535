// Live: the last micrograph, the statistics of its sample so far, and whether there are enough micrographs.
import { getJson, sampleUrl, withFilter } from "./api.js";
import { bars, colour, draw, plain, translucent, withUnit } from "./charts.js";
import * as calibrate from "./calibrate.js";
import * as settings from "./settings.js";
import { decide } from "./decide.js";
import { isFiltered } from "./filter.js";
import { Viewer, decoded, previewOf } from "./viewer.js";
import { empty, make } from "./dom.js";
import { FEWEST_FIELDS, capitalised, clock, count, digits, estimate, interval, percent, plural, rough, seconds } from "./format.js";

export const title = "Live";

const THUMBNAIL_PX = 320;
const FAR = 999; // more micrographs than anybody would acquire
const REASONS_TO_EXCLUDE = ["out of focus", "astigmatic", "drift", "contamination", "beam damage", "wrong area"];
let viewer;
let parts;
let shared;
let shown = null; // the row in view
let chosen = null;
let chosenKey = "";

export function mount(section, page) {
  shared = page;
  viewer = new Viewer((kind, numbers) => aboutParticles(kind, numbers, page));
  parts = {
    nothing: empty("No micrographs yet. The next one appears here as soon as it is read."),
    stage: make("div", { className: "stage" }),
    first: make("figure", { className: "first", hidden: true }),
    strip: make("ol", { className: "strip", "aria-label": "Recent micrographs, newest first" }),
    name: make("h1", { className: "name" }),
    back: make("button", { type: "button", className: "quiet", hidden: true, onclick: () => page.showMicrograph(null) }, "Back to live"),
    measured: make("dl", { className: "one" }),
    exclude: make("button", { type: "button", onclick: () => aboutMicrograph(page) }),
    calibrate: make("button", { type: "button", title: "Correct the pixel size (C)", onclick: () => calibrate.open(shown, viewer) }, "Correct size"),
    settings: make("button", { type: "button", title: "Settings of the sample (E)", onclick: () => openSettings(page) }, "Settings"),
    settingsPlace: make("div", { className: "reading", hidden: true }),
    reason: make("input", { type: "text", maxLength: 1000, placeholder: "Reason, for the history", "aria-label": "Reason for excluding", list: "reasons" }),
    out: make("span", { className: "out-words" }, "Excluded: it counts nowhere"),
    notes: make("ul", { className: "notes", "aria-label": "Remarks" }),
    sample: make("h2"),
    mean: make("p", { className: "giant" }),
    counted: make("p", { className: "caption" }),
    chart: make("div", { className: "chart small", role: "img", "aria-label": "Histogram of the sample" }),
    gauge: make("div", { className: "gauge" }),
    queue: make("p", { className: "queue" }),
  };
  parts.decide = make("div", { className: "decide" }, parts.exclude, parts.reason, parts.out, parts.calibrate, parts.settings,
    make("datalist", { id: "reasons" }, ...REASONS_TO_EXCLUDE.map((value) => make("option", { value }))));
  const readings = make("div", { className: "readings" },
    make("div", { className: "reading" }, make("div", { className: "line" }, parts.name, parts.back), parts.measured, parts.notes, parts.decide),
    parts.settingsPlace,
    make("div", { className: "reading main" }, parts.sample, parts.mean, parts.counted, parts.chart, parts.gauge),
    parts.queue);
  parts.stage.append(viewer.element, readings);
  section.append(parts.nothing, parts.first, parts.stage, parts.strip);
}

export const stateQuery = (page) => page.chosenMicrograph ? "" : `also=outlines&also=population&also=convergence&target_percent=${page.settings.target}`;

export async function update(section, page, signal) {
  const { last, recent, queue } = page.state;
  const arriving = page.state.in_hand.filter((one) => one.has_picture);
  const row = await shownRow(page, last, recent, signal);
  parts.nothing.hidden = Boolean(row) || arriving.length > 0;
  parts.stage.hidden = !row;
  showFirst(row ? null : arriving[0]);
  showStrip(recent, row, page, arriving);
  parts.queue.textContent = [
    queue.waiting ? `${plural(queue.waiting, "file")} queued · next: ${queue.next[0]}` : "Queue empty",
    ...(queue.measured_again ? [`${plural(queue.measured_again, "micrograph is", "micrographs are")} being measured again`] : []),
  ].join(" · ");
  shown = row;
  if (!row) return;
  showDecisions(row, page);
  parts.name.textContent = nameOf(row);
  parts.back.hidden = !page.chosenMicrograph;
  showReadings(row);
  // picture and statistics load independently
  const outlines = page.state.also.micrograph === row.id ? page.included("outlines", row.sample, stateQuery(page)) : undefined;
  const view = viewer.show(row, outlines, signal, page.decisions).then(() => mark(page));
  await Promise.all([view, showSample(page, row, signal), view.then(() => dim(row, signal))]);
}

// the outlines of particles that the filter leaves out
async function dim(row, signal) {
  const { numbers } = isFiltered() ? await getJson(withFilter(`api/micrographs/${row.id}/left_out`), signal) : { numbers: [] };
  if (viewer.id === row.id) viewer.dim(numbers);
}

// the particle that somebody came for
function mark(page) {
  if (page.chosenParticle !== null) viewer.selection.pick(page.chosenParticle);
  page.chosenParticle = null;
}

async function shownRow(page, last, recent, signal) {
  if (!page.chosenMicrograph) {
    chosen = null;
    if (!page.chosenSample) return withPicture(last, recent);
    const known = recent.find((one) => one.sample === page.sample && one.status === "done");
    if (known) return withPicture(known, recent);
    const rows = await getJson(sampleUrl(page.sample, "micrographs?limit=50"), signal);
    return rows.find((one) => one.status === "done") ?? null;
  }
  const known = recent.find((one) => one.id === page.chosenMicrograph);
  if (known) return known;
  const key = `${page.chosenMicrograph} ${page.decisions}`;
  if (chosenKey !== key) chosen = await getJson(`api/micrographs/${page.chosenMicrograph}`, signal);
  chosenKey = key;
  return chosen;
}

// of a long sequence only some frames keep a picture: the last of these, and no outlines on black
function withPicture(row, recent) {
  if (!row || row.frame === null || row.has_picture) return row;
  return recent.find((one) => one.sequence === row.sequence && one.sample === row.sample && one.status === "done" && one.has_picture) ?? row;
}

function showDecisions(row, page) {
  const excluded = row.status === "excluded";
  const allowed = page.state.changes_allowed && (excluded || row.status === "done");
  parts.decide.hidden = !allowed;
  viewer.selection.allowed = allowed && !excluded && !settings.isOpen();
  viewer.element.classList.toggle("out", excluded);
  parts.exclude.textContent = excluded ? "Put back" : "Exclude";
  parts.exclude.title = `${excluded ? "Put this micrograph back into the data set" : "Take this micrograph out of the data set"} (X)`;
  parts.reason.hidden = excluded;
  parts.out.hidden = !excluded;
}

// beside the micrograph, which stays in view and shows what they would find
async function openSettings(page) {
  const row = shown;
  page.pin(row.id);
  await settings.open(parts.settingsPlace, row, viewer, () => {
    parts.settings.focus();
    if (shown) showDecisions(shown, page);
  });
  showDecisions(row, page);
}

// the micrograph stays in view, though it is no longer the last one that counts
async function aboutMicrograph(page) {
  const row = shown;
  const kind = row.status === "excluded" ? "include" : "exclude";
  page.pin(row.id);
  const reason = parts.reason.value.trim();
  const done = await decide(`api/micrographs/${row.id}/${kind}`, { reason }, () => `${nameOf(row)} ${kind === "exclude" ? "excluded" : "put back"}.`);
  if (!done) return;
  parts.reason.value = "";
  row.status = kind === "exclude" ? "excluded" : "done"; // the next state says so too, but a key may come before it
  if (shown === row) showDecisions(row, page);
}

async function aboutParticles(kind, numbers, page) {
  const row = shown;
  page.pin(row.id);
  const done = await decide(`api/micrographs/${row.id}/particles/${kind}`, { numbers, reason: parts.reason.value.trim() },
    (answer) => `${plural(answer.particles, "particle")} of ${nameOf(row)} ${kind === "exclude" ? "excluded" : "put back"}.`);
  if (!done) return;
  parts.reason.value = "";
  if (shown?.id === row.id) viewer.selection.mark(numbers, kind === "exclude");
}

const nameOf = (row) => (row.frame === null ? row.name : `${row.name}, frame ${row.frame}`);

function reading(value, unit, label) {
  return make("div", {}, make("dd", {}, value, unit ? make("small", {}, ` ${unit}`) : ""), make("dt", {}, label));
}

function showReadings(row) {
  const rejected = Object.entries(row).filter(([name]) => name.startsWith("rejected_")).reduce((sum, [, n]) => sum + n, 0);
  parts.measured.replaceChildren(
    reading(count(row.particles), "", "particles"),
    reading(digits(row.mean_equivalent_diameter_nm, 3), "nm", "mean diameter"),
    reading(count(rejected), "", "rejected"),
    row.arrival_to_result_s !== undefined && row.arrival_to_result_s !== null
      ? reading(seconds(row.arrival_to_result_s), "s", "arrival to result")
      : reading(seconds(row.seconds), "s", "analysis"));
  showFlags(row);
}

// quiet: what is odd about the micrograph or its sample, what to do about it, and that it is known
function showFlags(row) {
  const allowed = shared.state.changes_allowed;
  const sample = shared.state.samples.find((one) => one.sample === row.sample);
  const key = JSON.stringify([row.id, row.flags, sample?.flags, allowed]);
  if (parts.notes.dataset.shown === key) return;
  parts.notes.dataset.shown = key;
  const item = (flag, dismiss) => make("li", {},
    make("p", {}, make("strong", {}, `${capitalised(flag.words)}.`), " ", flag.what_to_do),
    allowed ? make("button", { type: "button", className: "quiet", title: "It is known: show it no more", "aria-label": `Dismiss: ${flag.words}`, onclick: dismiss }, "Dismiss") : null);
  parts.notes.replaceChildren(
    ...row.flags.map((flag) => item(flag, () => dismissFlag(flag, `api/micrographs/${row.id}/notes/dismiss`, nameOf(row)))),
    ...(sample?.flags ?? []).map((flag) => item(flag, () => dismissFlag(flag, sampleUrl(row.sample, "notes/dismiss"), row.sample))));
}

// the next state of the service is without it
const dismissFlag = (flag, path, name) => decide(path, { notes: [flag.note] }, () => `${name}: remark dismissed.`);

async function showSample(page, row, signal) {
  // statistics of another sample fade until those of this one have loaded
  parts.sample.parentElement.classList.toggle("loading", parts.sample.textContent !== row.sample);
  const [population, convergence] = await Promise.all([
    page.included("population", row.sample, stateQuery(page)) ?? getJson(sampleUrl(row.sample, "population"), signal),
    page.included("convergence", row.sample, stateQuery(page)) ?? getJson(sampleUrl(row.sample, `convergence?curve=false&target_percent=${page.settings.target}`), signal),
  ]);
  parts.sample.textContent = row.sample;
  parts.sample.parentElement.classList.remove("loading");
  parts.mean.replaceChildren(estimate(population.figures.mean), make("small", {}, " nm"));
  const { mean, sd, d50 } = population.figures;
  parts.counted.replaceChildren(
    `mean diameter · SD ${digits(sd.value, 3)} nm · median ${digits(d50.value, 3)} nm · N = ${count(population.particles)} on ${plural(population.micrographs, "micrograph")}`,
    make("br"),
    mean.half_width ? `95 % interval of the mean: ${interval(mean)} nm, from ${population.fields} independent fields` : `Too few fields for an interval (${population.fields} of ${FEWEST_FIELDS})`);
  showGauge(convergence);
  parts.chart.hidden = !population.particles;
  if (!population.particles) return;
  // a mean of all particles says nothing beside those that a filter leaves
  const marked = isFiltered() ? null : row.mean_equivalent_diameter_nm;
  await draw(parts.chart, [
    bars(population.histogram.edges, "particles", { y: population.histogram.counts, marker: { color: translucent("data", 0.75) }, hovertemplate: "%{x:.4g} nm: %{y} particles<extra></extra>" }),
  ], {
    x: { title: withUnit("equivalent diameter", "nm") },
    y: { title: "particles", nticks: 4 },
    showlegend: false,
    shapes: marked === null ? [] : [{
      type: "line", yref: "paper", y0: 0, y1: 1, x0: marked, x1: marked,
      line: { color: colour("second"), width: 2, dash: "dot" },
    }],
    annotations: marked === null ? [] : [{
      yref: "paper", y: 1, yanchor: "bottom", x: marked, text: `mean of ${plain(row.name)}`, showarrow: false,
      font: { color: colour("second") },
    }],
    label: `Histogram of ${population.particles} equivalent diameters${marked === null ? "" : "; the dotted line marks the mean of this micrograph"}`,
  });
}

export function verdict(convergence, name = "mean") {
  const { percent: half, enough, fields_more: more } = convergence[name];
  if (half === null) {
    return ["Too few fields", `An interval needs ${FEWEST_FIELDS} independent fields of view, there ${convergence.fields === 1 ? "is 1" : `are ${convergence.fields}`}`];
  }
  const now = `95 % interval ±${percent(half)}, target ±${percent(convergence.target_percent)}`;
  if (enough) return ["Enough", now];
  if (more === null) return ["Too early for a forecast", now];
  if (more > FAR) return ["Far from enough", now];
  return [`About ${rough(more)} more ${more === 1 ? "micrograph" : "micrographs"}`, now];
}

function showGauge(convergence) {
  const [headline, detail] = verdict(convergence);
  const half = convergence.mean.percent;
  const share = half === null ? 0 : Math.min(1, (convergence.target_percent / half) ** 2);
  parts.gauge.classList.toggle("enough", convergence.mean.enough);
  parts.gauge.replaceChildren(
    make("p", {}, make("strong", {}, headline), make("span", {}, detail)),
    make("div", { className: "track", role: "meter", "aria-label": "Fraction of the micrographs needed for the target", "aria-valuemin": "0", "aria-valuemax": "100", "aria-valuenow": String(Math.round(100 * share)) },
      make("div", { className: "fill", style: `width:${100 * share}%` })));
}

const STATUS_LABELS = { done: "", excluded: "excluded", failed: "failed", refused: "refused", duplicate: "duplicate", superseded: "replaced", pending: "queued" };

const STAGE_WORDS = { read: "being read", segment: "being segmented", resolve: "being measured", record: "being recorded" };
const pictureOf = (one, edge) => `api/files/${one.file_id}/preview.jpg?edge_px=${edge}`;

// the very first micrograph, without outlines yet
function showFirst(one) {
  parts.first.hidden = !one;
  if (!one || parts.first.dataset.key === `${one.file_id} ${one.stage}`) return;
  parts.first.dataset.key = `${one.file_id} ${one.stage}`;
  parts.first.replaceChildren(
    make("img", { src: pictureOf(one, 1600), alt: `Micrograph ${one.name}` }),
    make("figcaption", {}, `${one.name} is ${STAGE_WORDS[one.stage] ?? "in hand"}`));
}

function arrivingThumbnail(one, key) {
  return make("li", { "data-key": key }, make("div", { className: "arriving", title: one.micrograph },
    make("img", { src: pictureOf(one, THUMBNAIL_PX), alt: "", decoding: "async" }),
    make("span", { className: "thumbnail-name" }, make("span", {}, one.name)),
    make("span", { className: "thumbnail-text" }, make("span", {}, STAGE_WORDS[one.stage] ?? "in hand"))));
}

function showStrip(recent, row, page, arriving) {
  const known = new Map([...parts.strip.children].map((item) => [item.dataset.key, item]));
  const waiting = arriving.map((one) => {
    const key = `file ${one.file_id} ${one.stage}`;
    return known.get(key) ?? arrivingThumbnail(one, key);
  });
  const items = recent.map((one) => {
    const key = `${one.id} ${one.status} ${one.analysed_at} ${one.excluded_particles}`;
    const item = known.get(key) ?? thumbnail(one, key, page, one.id === row?.id);
    item.firstChild.setAttribute("aria-pressed", String(one.id === row?.id));
    return item;
  });
  items.unshift(...waiting);
  // existing thumbnails stay, so that their pictures are not loaded again
  if (items.length !== parts.strip.children.length || items.some((item, index) => item !== parts.strip.children[index])) parts.strip.replaceChildren(...items);
}

// the micrograph that is shown large is scaled down here instead of being fetched again
function scaledDown(one) {
  const canvas = make("canvas", { "aria-hidden": "true" });
  decoded(previewOf(one)).then((large) => {
    const scale = THUMBNAIL_PX / Math.max(large.naturalWidth, large.naturalHeight, 1);
    [canvas.width, canvas.height] = [large.naturalWidth * scale, large.naturalHeight * scale];
    const pen = canvas.getContext("2d");
    pen.imageSmoothingQuality = "high";
    if (canvas.width && canvas.height) pen.drawImage(large, 0, 0, canvas.width, canvas.height);
  });
  return canvas;
}

function thumbnail(one, key, page, large) {
  const done = one.status === "done" || one.status === "excluded";
  const picture = done && !one.has_picture ? make("span", { className: "cross none", "aria-hidden": "true" }, "–") : done && large ? scaledDown(one) : done
    ? make("img", { src: previewOf(one, THUMBNAIL_PX), alt: "", loading: "lazy", decoding: "async" })
    : make("span", { className: "cross", "aria-hidden": "true" }, one.status === "duplicate" ? "=" : "!");
  const button = make("button", { type: "button", className: one.status, title: one.reason ?? one.micrograph, onclick: () => (done ? page.showMicrograph(one.id) : page.open("problems")) },
    picture,
    make("span", { className: "thumbnail-name" }, make("span", {}, one.name), one.frame === null ? null : make("small", {}, one.frame)),
    make("span", { className: "thumbnail-text" }, make("span", {}, one.status === "done" ? `${count(one.particles)} · ${digits(one.mean_equivalent_diameter_nm, 3)} nm` : STATUS_LABELS[one.status] ?? one.status), make("time", {}, clock(one.analysed_at))));
  return make("li", { "data-key": key }, button);
}

export function key(event) {
  if (viewer.key(event)) return;
  const name = event.key.toLowerCase();
  if (!shown || parts.decide.hidden) return;
  if (name === "x" || name === "delete") {
    event.preventDefault();
    if (!(viewer.selection.allowed && viewer.selection.toggle())) aboutMicrograph(shared);
  } else if (name === "e") {
    event.preventDefault();
    openSettings(shared);
  } else if (name === "c") {
    event.preventDefault();
    calibrate.open(shown, viewer);
  }
}
