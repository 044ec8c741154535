// Sequences: how many particles and how large, frame by frame.
import { ask, of } from "./ask.js";
import { colour, draw } from "./charts.js";
import { empty, make, plural } from "./words.js";

export const title = "Sequences";

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
  while (parts.list.children.length > found.length) parts.list.lastChild.remove();
  while (parts.list.children.length < found.length) {
    parts.list.append(make("div", { className: "panel" }, make("h2"), make("div", { className: "chart", role: "img" })));
  }
  await Promise.all(found.map((one, index) => show(parts.list.children[index], one)));
}

async function show(panel, one) {
  const timed = one.elapsed_s.every((value) => value !== null);
  const x = timed ? one.elapsed_s : one.frame;
  panel.querySelector("h2").textContent = `${one.sequence} · ${plural(x.length, "frame", "frames")}`;
  await draw(panel.querySelector(".chart"), [
    { type: "scatter", mode: "lines", name: "particles", x, y: one.particles, line: { color: colour("data"), width: 2.5 }, hovertemplate: "%{y} particles<extra></extra>" },
    { type: "scatter", mode: "lines", name: "mean diameter", x, y: one.mean_equivalent_diameter_nm, yaxis: "y2", line: { color: colour("second"), width: 2.5, dash: "dash" }, hovertemplate: "%{y:.3g} nm<extra></extra>" },
  ], {
    x: { title: timed ? "time (s)" : "frame" }, y: { title: "particles", rangemode: "tozero" },
    yaxis2: { overlaying: "y", tickmode: "auto", nticks: 6, side: "right", showgrid: false, automargin: true, rangemode: "tozero", fixedrange: true, title: { text: "mean diameter (nm)", font: { color: colour("quiet") }, standoff: 10 }, tickfont: { color: colour("quiet") }, linecolor: colour("quiet") },
    margin: { l: 64, r: 72, t: 16, b: 52 },
    label: `Particles and mean diameter over ${x.length} frames of ${one.sequence}`,
  });
}
