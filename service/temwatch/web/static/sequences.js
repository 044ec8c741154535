// Sequences: the film, and what becomes of number, size and every particle through time.
import { ask, of } from "./ask.js";
import { colour, draw, faint, SERIES } from "./charts.js";
import { count, digits, empty, make, plural } from "./words.js";

export const title = "Sequences";

const EVENTS = { merge: "merged", split: "split", appear: "appeared", vanish: "vanished" };
const TABLES = { frames: "One row a frame.", tracks: "One row a particle and frame.", events: "Appearing, vanishing, merging, splitting." };
const CURVES = {
  ensemble: "Number, mean, median, area and volume of every frame, with 95 % bands.",
  growth: "Every track: its sizes at both ends, and its rate.",
  kinetics: "The laws of growth as fitted up to each length of the sequence.",
  shares: "What of the growth came from merging, what from ripening.",
};
const answers = new Map(); // by sample, whether it has sequences; asked once for each
let parts;

export async function exist(sample) {
  if (!sample) return false;
  if (!answers.get(sample)) answers.set(sample, await ask(of(sample, "sequences")).then((found) => found.length > 0, () => false));
  return answers.get(sample);
}

export function mount(section) {
  parts = { title: make("h1"), list: make("div") };
  section.append(make("div", { className: "head" }, parts.title), parts.list);
}

export async function update(section, page, signal) {
  const found = page.sample ? await ask(of(page.sample, "sequences"), signal) : [];
  parts.title.textContent = page.sample ?? "No sample yet";
  if (!found.length) return void parts.list.replaceChildren(empty("This sample has no sequence."));
  const names = JSON.stringify([page.sample, found.map((one) => one.sequence)]);
  if (parts.list.dataset.shown !== names) {
    parts.list.replaceChildren(...found.map((one) => panel(page.sample, one.sequence)));
    parts.list.dataset.shown = names;
  }
  for (const [index, one] of found.entries()) await show(parts.list.children[index], page.sample, one, signal);
}

const path = (sample, sequence, rest) => of(sample, `sequences/${encodeURIComponent(sequence)}/${rest}`);

function panel(sample, sequence) {
  const chart = (name, words) => make("div", {}, make("h3", {}, words), make("div", { className: `chart ${name}`, role: "img" }));
  return make("div", { className: "panel" },
    make("h2", {}, sequence),
    make("p", { className: "lead" }),
    make("div", { className: "film" }),
    chart("counts", "Number and size"), chart("tracks", "Size of single particles"),
    chart("events", "Events so far"), chart("drift", "Drift of the field"),
    make("div", { className: "plots" }),
    make("ul", { className: "downloads" },
      ...Object.entries(TABLES).map(([name, meaning]) => link(of(sample, `tables/${name}.csv`), `${name}.csv`, meaning)),
      ...Object.entries(CURVES).map(([name, meaning]) => link(path(sample, sequence, `${name}.csv`), `${name}.csv`, meaning))));
}

const link = (href, name, meaning) => make("li", {}, make("a", { href, download: "" }, name), make("span", {}, meaning));

async function show(node, sample, one, signal) {
  node.querySelector(".lead").textContent = words(one);
  film(node.querySelector(".film"), sample, one);
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
  const tracks = await ask(path(sample, one.sequence, "tracks"), signal);
  await draw(node.querySelector(".tracks"), tracks.tracks.map((track, index) => ({
    type: "scatter", mode: "lines", name: `track ${track.track}`, x: time(tracks), y: track.equivalent_diameter_nm, showlegend: false,
    line: { color: faint(SERIES[index % SERIES.length], 0.75), width: 1.2 }, hovertemplate: `track ${track.track}: %{y:.3g} nm<extra></extra>`,
  })), { x, y: { title: "diameter (nm)" }, margin, label: `Diameters of ${tracks.tracks.length} particles of ${one.sequence}, those seen longest` });
  await draw(node.querySelector(".events"), Object.entries(EVENTS).map(([event, name], index) => (
    line(name, one.events[event], SERIES[index], { line: { color: colour(SERIES[index]), width: 2, shape: "hv" }, hovertemplate: `%{y} ${name}<extra></extra>` }))),
  { x, y: { title: "events", rangemode: "tozero" }, margin, label: `Events over ${one.frames} frames of ${one.sequence}` });
  await draw(node.querySelector(".drift"), [
    line("to the right", one.drift_x_nm, "data", { hovertemplate: "%{y:.3g} nm<extra></extra>" }),
    line("down", one.drift_y_nm, "second", { line: { color: colour("second"), width: 2.5, dash: "dash" }, hovertemplate: "%{y:.3g} nm<extra></extra>" }),
  ], { x, y: { title: "drift (nm)" }, margin, label: `Drift over ${one.frames} frames of ${one.sequence}` });
  node.dataset.state = state;
}

function words(one) {
  const last = one.elapsed_s.at(-1);
  const parts = [plural(one.frames, "frame", "frames") + (last ? ` in ${digits(last)} s` : ""), plural(one.tracks, "particle followed", "particles followed")];
  parts.push(...Object.entries(EVENTS).filter(([event]) => one.counts[event]).map(([event, name]) => `${count(one.counts[event])} ${name}`));
  if (one.waiting) parts.push(`${plural(one.waiting, "frame waits", "frames wait")}`);
  if (one.gaps.length) parts.push(`missing: ${one.gaps.slice(0, 5).map(([first, end]) => (first === end ? first : `${first} to ${end}`)).join(", ")}${one.gaps.length > 5 ? " …" : ""}`);
  return parts.join(" · ");
}

// a film that plays is not taken from under the eyes of who watches it
function film(node, sample, one) {
  const video = node.querySelector("video");
  if (one.film === null || (video && (node.dataset.made === String(one.film) || !(video.paused || video.ended)))) return;
  node.dataset.made = one.film;
  node.replaceChildren(make("video", {
    src: `${path(sample, one.sequence, "film.mp4")}?made=${one.film}`, controls: true, muted: true, loop: true, playsInline: true, preload: "metadata",
    "aria-label": `Film of ${one.sequence}: outlines in the colours of their tracks`,
  }));
}

function plots(node, sample, one) {
  if (one.plots === null || node.dataset.made === String(one.plots)) return;
  node.dataset.made = one.plots;
  const plot = (name, words) => make("img", { src: `${path(sample, one.sequence, name)}?made=${one.plots}`, alt: words, loading: "lazy" });
  node.replaceChildren(
    plot("ensemble.png", `Number, size, area and volume over the frames of ${one.sequence}, with 95 % bands`),
    plot("growth.png", `Growth curves of the tracks of ${one.sequence}, and the laws of growth fitted to the mean`));
}
