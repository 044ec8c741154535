// Sequences: the film, and number, sizes and tracks of the particles over time.
import { getJson, sampleUrl } from "./api.js";
import { SERIES, colour, draw, translucent } from "./charts.js";
import { empty, make } from "./dom.js";
import { count, digits, edge, plural } from "./format.js";

export const title = "Sequences";

const EVENTS = { merge: "merged", split: "split", appear: "appeared", vanish: "vanished" };
const TABLES = { frames: "One row per frame.", tracks: "One row per track and frame.", events: "Particles that appear, vanish, merge or split." };
const CURVES = {
  ensemble: "Number, mean, median, area and volume by frame, with 95\u2009% bands.",
  growth: "First and last size of every track, and its growth rate.",
  kinetics: "Growth laws fitted up to each frame.",
  shares: "Contributions of merging and of ripening to the growth.",
};
const hasSequences = new Map(); // whether a sample has sequences
let parts;

export async function exist(sample) {
  if (!sample) return false;
  if (!hasSequences.get(sample)) hasSequences.set(sample, await getJson(sampleUrl(sample, "sequences")).then((found) => found.length > 0, () => false));
  return hasSequences.get(sample);
}

export function mount(section) {
  parts = { title: make("h1"), list: make("div") };
  section.append(make("div", { className: "head" }, parts.title), parts.list);
}

export async function update(section, page, signal) {
  const found = page.sample ? await getJson(sampleUrl(page.sample, "sequences"), signal) : [];
  parts.title.textContent = page.sample ?? "No sample yet";
  if (!found.length) return void parts.list.replaceChildren(empty("This sample has no sequences."));
  const names = JSON.stringify([page.sample, found.map((one) => one.sequence)]);
  if (parts.list.dataset.shown !== names) {
    parts.list.replaceChildren(...found.map((one) => panel(page.sample, one.sequence)));
    parts.list.dataset.shown = names;
  }
  for (const [index, one] of found.entries()) await show(parts.list.children[index], page, one, signal);
}

const path = (sample, sequence, rest) => sampleUrl(sample, `sequences/${encodeURIComponent(sequence)}/${rest}`);

function panel(sample, sequence) {
  const chart = (name, heading) => make("div", {}, make("h3", {}, heading), make("div", { className: `chart ${name}`, role: "img" }));
  return make("div", { className: "panel" },
    make("h2", {}, sequence),
    make("p", { className: "lead" }),
    make("div", { className: "pictures" }, make("div", { className: "film" }), make("figure", { className: "last-frame", hidden: true })),
    chart("counts", "Number and size"), chart("tracks", "Size of individual particles"),
    chart("events", "Cumulative events"), chart("drift", "Specimen drift"),
    make("div", { className: "plots" }),
    make("ul", { className: "download-list" },
      ...Object.entries(TABLES).map(([name, meaning]) => link(sampleUrl(sample, `tables/${name}.csv`), `${name}.csv`, meaning)),
      ...Object.entries(CURVES).map(([name, meaning]) => link(path(sample, sequence, `${name}.csv`), `${name}.csv`, meaning))));
}

const link = (href, name, meaning) => make("li", {}, make("a", { href, download: "" }, name), make("span", {}, meaning));

async function show(node, page, one, signal) {
  const { sample } = page;
  node.querySelector(".lead").textContent = summary(one);
  film(node.querySelector(".film"), sample, one);
  lastFrame(node.querySelector(".last-frame"), one, page);
  plots(node.querySelector(".plots"), sample, one);
  const state = JSON.stringify([one.frames, one.ended, one.counts, one.frame.at(-1)]);
  if (node.dataset.state === state || !one.frame.length) return;
  const timed = one.elapsed_s.every((value) => value !== null);
  const time = (some) => (timed ? some.elapsed_s : some.frame);
  const x = { title: timed ? "time (s)" : "frame" };
  const line = (name, values, ink, more = {}) => ({ type: "scatter", mode: "lines", name, x: time(one), y: values, line: { color: colour(ink), width: 2.5 }, ...more });
  const margin = { l: 64, r: 72, t: 16, b: 52 };
  await draw(node.querySelector(".counts"), [
    line("particles", one.particles, "data", { hovertemplate: "%{y} particles<extra></extra>" }),
    line("mean diameter", one.mean_equivalent_diameter_nm, "second", { yaxis: "y2", line: { color: colour("second"), width: 2.5, dash: "dash" }, hovertemplate: "%{y:.3g} nm<extra></extra>" }),
  ], {
    x, y: { title: "particles", rangemode: "tozero" }, margin,
    yaxis2: { overlaying: "y", tickmode: "auto", nticks: 6, side: "right", showgrid: false, automargin: true, rangemode: "tozero", fixedrange: true, title: { text: "mean diameter (nm)", font: { color: colour("quiet") }, standoff: 10 }, tickfont: { color: colour("quiet") }, linecolor: colour("quiet") },
    label: `Particles and mean diameter over ${one.frames} frames of ${one.sequence}`,
  });
  const tracks = await getJson(path(sample, one.sequence, "tracks"), signal);
  await draw(node.querySelector(".tracks"), tracks.tracks.map((track, index) => ({
    type: "scatter", mode: "lines", name: `track ${track.track}`, x: time(tracks), y: track.equivalent_diameter_nm, showlegend: false,
    line: { color: translucent(SERIES[index % SERIES.length], 0.75), width: 1.2 }, hovertemplate: `track ${track.track}: %{y:.3g} nm<extra></extra>`,
  })), { x, y: { title: "diameter (nm)" }, margin, label: `Diameters of ${tracks.tracks.length} particles of ${one.sequence}, the longest tracks` });
  await draw(node.querySelector(".events"), Object.entries(EVENTS).map(([event, name], index) => (
    line(name, one.events[event], SERIES[index], { line: { color: colour(SERIES[index]), width: 2, shape: "hv" }, hovertemplate: `%{y} ${name}<extra></extra>` }))),
  { x, y: { title: "events", rangemode: "tozero" }, margin, label: `Events over ${one.frames} frames of ${one.sequence}` });
  await draw(node.querySelector(".drift"), [
    line("x (right)", one.drift_x_nm, "data", { hovertemplate: "%{y:.3g} nm<extra></extra>" }),
    line("y (down)", one.drift_y_nm, "second", { line: { color: colour("second"), width: 2.5, dash: "dash" }, hovertemplate: "%{y:.3g} nm<extra></extra>" }),
  ], { x, y: { title: "drift (nm)" }, margin, label: `Drift over ${one.frames} frames of ${one.sequence}` });
  node.dataset.state = state;
}

function summary(one) {
  const last = one.elapsed_s.at(-1);
  const parts = [plural(one.frames, "frame") + (last ? ` in ${edge(last)} s` : ""), plural(one.tracks, "track")];
  parts.push(...Object.entries(EVENTS).filter(([event]) => one.counts[event]).map(([event, name]) => `${count(one.counts[event])} ${name}`));
  if (one.waiting) parts.push(`${plural(one.waiting, "frame")} queued`);
  if (one.gaps.length) parts.push(`missing frames: ${one.gaps.slice(0, 5).map(([first, end]) => (first === end ? first : `${first} to ${end}`)).join(", ")}${one.gaps.length > 5 ? " …" : ""}`);
  return parts.join(" · ");
}

// a film that is playing is not replaced
function film(node, sample, one) {
  const video = node.querySelector("video");
  if (one.film === null || (video && (node.dataset.modified === String(one.film) || !(video.paused || video.ended)))) return;
  node.dataset.modified = one.film;
  node.replaceChildren(make("video", {
    src: `${path(sample, one.sequence, "film.mp4")}?t=${one.film}`, controls: true, muted: true, loop: true, playsInline: true, preload: "metadata",
    "aria-label": `Film of ${one.sequence}; outlines have the colour of their track`,
  }));
}

// the frame that came last, which the film has only when it is made again
function lastFrame(node, one, page) {
  const [id, frame, mean] = [one.micrograph_id.at(-1), one.frame.at(-1), one.mean_equivalent_diameter_nm.at(-1)];
  if (id === undefined || node.dataset.id === String(id)) return;
  node.dataset.id = id;
  const words = `Frame ${count(frame)}: ${plural(one.particles.at(-1), "particle")}${mean === null ? "" : `, mean ${digits(mean, 3)} nm`}`;
  const picture = make("img", { alt: `Last frame of ${one.sequence}`, onload: () => (node.hidden = false), onerror: () => (node.hidden = true) });
  picture.src = `api/micrographs/${id}/preview.jpg`;
  node.replaceChildren(make("h3", {}, "Last frame"), picture,
    make("figcaption", {}, make("button", { type: "button", className: "link", title: "Show it with its outlines", onclick: () => page.showMicrograph(id) }, words)));
}

function plots(node, sample, one) {
  if (one.plots === null || node.dataset.modified === String(one.plots)) return;
  node.dataset.modified = one.plots;
  const plot = (name, alt) => make("img", { src: `${path(sample, one.sequence, name)}?t=${one.plots}`, alt, loading: "lazy" });
  node.replaceChildren(
    plot("ensemble.png", `Number, size, area and volume over the frames of ${one.sequence}, with 95 % bands`),
    plot("growth.png", `Growth curves of the tracks of ${one.sequence}, and the growth laws fitted to the mean`));
}
