// Comparison with a person: a csv of diameters over the automatic distribution. Nothing is kept.
import { of, post } from "./ask.js";
import { colour, draw, faint, stairs } from "./charts.js";
import { count, digits, make, probability, table } from "./words.js";

export const title = "Compare";

const MOST_BYTES = 2 * 1024 * 1024;
let parts;
let file = null;

export function mount(section, page) {
  const input = make("input", { type: "file", accept: ".csv,.txt,.tsv,text/csv,text/plain", className: "unseen", id: "manual",
    onchange: (event) => take(event.target.files[0], page) });
  parts = {
    input,
    drop: make("label", { className: "drop", htmlFor: "manual" }, make("strong", {}, "Drop a csv of diameters here"), make("span", {}, "or choose a file. ImageJ and Excel tables are understood; without a unit in the heading, nm.")),
    failed: make("p", { className: "failed", role: "alert", hidden: true }),
    result: make("div", { className: "result", hidden: true }),
    words: make("h1", { className: "giant words" }),
    lead: make("p", { className: "lead" }),
    chart: make("div", { className: "chart tall", role: "img" }),
    table: make("div"),
  };
  parts.result.append(make("div", { className: "head" }, make("div", {}, parts.words, parts.lead)),
    make("div", { className: "columns wide-first" }, make("div", { className: "panel" }, parts.chart), make("div", { className: "panel" }, parts.table)));
  section.append(make("div", { className: "dropzone" }, input, parts.drop), parts.failed, parts.result);
  section.addEventListener("dragover", (event) => { event.preventDefault(); parts.drop.classList.add("over"); });
  section.addEventListener("dragleave", () => parts.drop.classList.remove("over"));
  section.addEventListener("drop", (event) => {
    event.preventDefault();
    parts.drop.classList.remove("over");
    take(event.dataTransfer.files[0], page);
  });
}

async function take(given, page) {
  if (!given) return;
  if (given.size > MOST_BYTES) return fail("The file is larger than 2 MiB. Send the column of diameters alone.");
  file = { name: given.name, bytes: await given.arrayBuffer() };
  parts.input.value = "";
  page.refresh();
}

function fail(words) {
  parts.failed.hidden = !words;
  parts.failed.textContent = words ?? "";
}

export async function update(section, page, signal) {
  if (!file || !page.sample) return;
  let answer;
  try {
    answer = await post(of(page.sample, "comparison"), file.bytes, { "Content-Type": "text/csv" }, signal);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    parts.result.hidden = true;
    return fail(`${file.name}: ${error.message}`);
  }
  fail(null);
  parts.result.hidden = false;
  await show(answer, page.sample);
}

async function show(answer, sample) {
  const [ours, theirs] = [0, 1];
  const differs = answer.welch_p < 0.05;
  parts.words.textContent = answer.difference ? `By hand ${digits(Math.abs(answer.difference), 2)} nm ${answer.difference > 0 ? "larger" : "smaller"}` : "No difference";
  parts.lead.textContent = `${file.name} against ${sample}: the means ${differs ? "differ" : "do not differ"} at the 5 % level (Welch, ${probability(answer.welch_p)}).`;
  parts.table.replaceChildren(
    table("Automatic and manual diameters", ["diameter (nm)", "automatic", "manual"], [
      ["mean", digits(answer.mean[ours]), digits(answer.mean[theirs])],
      ["standard deviation", digits(answer.sd[ours], 3), digits(answer.sd[theirs], 3)],
      ["median", digits(answer.median[ours]), digits(answer.median[theirs])],
      ["particles", count(answer.count[ours]), count(answer.count[theirs])]]),
    table("Two-sample tests", ["test", "statistic", "p"], [
      ["Welch, means", `t = ${digits(answer.welch_t, 3)}`, probability(answer.welch_p, "")],
      ["Kolmogorov–Smirnov", `D = ${digits(answer.ks_distance, 2)}`, probability(answer.ks_p, "")]]),
    make("p", { className: "caption" }, `Column read: ${answer.column}. The tests take particles to be independent. Nothing of the file is kept.`));
  const mean = (value, series, dash) => ({ type: "line", yref: "paper", y0: 0, y1: 1, x0: value, x1: value, line: { color: colour(series), width: 2, dash } });
  await draw(parts.chart, [
    stairs(answer.edges, answer.density.automatic, { name: "automatic", fill: "tozeroy", fillcolor: faint("data", 0.25), line: { shape: "hv", width: 2.5, color: colour("data") } }),
    stairs(answer.edges, answer.density.manual, { name: "manual", line: { shape: "hv", width: 2.5, color: colour("second"), dash: "dash" } }),
  ], {
    x: { title: "diameter (nm)" }, y: { title: "number density (1/nm)", rangemode: "tozero" },
    shapes: [mean(answer.mean[ours], "data", "solid"), mean(answer.mean[theirs], "second", "dash")],
    label: `Automatic and manual distributions; means ${digits(answer.mean[ours])} and ${digits(answer.mean[theirs])} nm`,
  });
}
