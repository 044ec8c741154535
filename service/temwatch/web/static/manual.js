// Comparison with measurements by hand: a csv of diameters over the automatic distribution. Nothing is stored.
import { sampleUrl } from "./api.js";
import { colour, draw, steps, translucent } from "./charts.js";
import { make, table } from "./dom.js";
import { count, digits, probability } from "./format.js";
import { postWithToken } from "./token.js";

export const title = "By hand";

const MAX_BYTES = 2 * 1024 * 1024;
let parts;
let file = null;

export function mount(section, page) {
  const input = make("input", { type: "file", accept: ".csv,.txt,.tsv,text/csv,text/plain", className: "unseen", id: "manual",
    onchange: (event) => load(event.target.files[0], page) });
  parts = {
    input,
    drop: make("label", { className: "drop", htmlFor: "manual" }, make("strong", {}, "Drop a csv of diameters here"), make("span", {}, "or choose a file. Tables of ImageJ and Excel are accepted. Without a unit in the heading, values are in nm.")),
    error: make("p", { className: "failed", role: "alert", hidden: true }),
    choice: make("p", { className: "line", hidden: true }),
    result: make("div", { className: "result", hidden: true }),
    headline: make("h1", { className: "giant headline" }),
    lead: make("p", { className: "lead" }),
    chart: make("div", { className: "chart tall", role: "img" }),
    table: make("div"),
  };
  parts.result.append(make("div", { className: "head" }, make("div", {}, parts.headline, parts.lead)),
    make("div", { className: "columns wide-first" }, make("div", { className: "panel" }, parts.chart), make("div", { className: "panel" }, parts.table)));
  section.append(make("div", { className: "dropzone" }, input, parts.drop), parts.error, parts.choice, parts.result);
  section.addEventListener("dragover", (event) => { event.preventDefault(); parts.drop.classList.add("over"); });
  section.addEventListener("dragleave", () => parts.drop.classList.remove("over"));
  section.addEventListener("drop", (event) => {
    event.preventDefault();
    parts.drop.classList.remove("over");
    load(event.dataTransfer.files[0], page);
  });
}

async function load(given, page) {
  if (!given) return;
  if (given.size > MAX_BYTES) return showError("The file is larger than 2 MiB. Upload only the column of diameters.");
  file = { name: given.name, bytes: await given.arrayBuffer(), column: "" };
  parts.input.value = "";
  page.refresh();
}

// several columns might hold the diameters: a button for each
function askForColumn(candidates, page) {
  parts.choice.hidden = !candidates.length;
  parts.choice.replaceChildren(...candidates.map((column) => make("button", { type: "button", onclick: () => {
    file.column = column;
    page.refresh();
  } }, column)));
}

function showError(text) {
  parts.error.hidden = !text;
  parts.error.textContent = text ?? "";
}

export async function update(section, page, signal) {
  if (!file || !page.sample) return;
  let answer;
  try {
    const column = file.column ? `?column=${encodeURIComponent(file.column)}` : "";
    answer = await postWithToken(sampleUrl(page.sample, `comparison${column}`), file.bytes, { "Content-Type": "text/csv" }, signal);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    parts.result.hidden = true;
    askForColumn(error.candidates ?? [], page);
    return showError(`${file.name}: ${error.message}`);
  }
  if (!answer) {
    file = null; // or every update would ask again
    return showError("The comparison needs the service's token.");
  }
  showError(null);
  askForColumn([], page);
  parts.result.hidden = false;
  await show(answer, page.sample);
}

async function show(answer, sample) {
  const [automatic, manual] = [0, 1];
  const differs = answer.welch_p < 0.05;
  parts.headline.textContent = answer.difference ? `Manual mean is ${digits(Math.abs(answer.difference), 2)} nm ${answer.difference > 0 ? "larger" : "smaller"}` : "Means are equal";
  parts.lead.textContent = `${file.name} and ${sample}: the means ${differs ? "differ significantly" : "do not differ significantly"} at the 5\u2009% level (Welch, ${probability(answer.welch_p)}).`;
  parts.table.replaceChildren(
    table("Automatic and manual diameters", ["diameter (nm)", "automatic", "manual"], [
      ["mean", digits(answer.mean[automatic]), digits(answer.mean[manual])],
      ["standard deviation", digits(answer.sd[automatic], 3), digits(answer.sd[manual], 3)],
      ["median", digits(answer.median[automatic]), digits(answer.median[manual])],
      ["particles", count(answer.count[automatic]), count(answer.count[manual])]]),
    table("Two-sample tests", ["test", "statistic", "p"], [
      ["Welch (means)", `t = ${digits(answer.welch_t, 3)}`, probability(answer.welch_p, "")],
      ["Kolmogorov–Smirnov", `D = ${digits(answer.ks_distance, 2)}`, probability(answer.ks_p, "")]]),
    make("p", { className: "caption" }, `Column used: ${answer.column}. The tests assume independent particles. The file is not stored.`));
  const mean = (value, series, dash) => ({ type: "line", yref: "paper", y0: 0, y1: 1, x0: value, x1: value, line: { color: colour(series), width: 2, dash } });
  await draw(parts.chart, [
    steps(answer.edges, answer.density.automatic, { name: "automatic", fill: "tozeroy", fillcolor: translucent("data", 0.25), line: { shape: "hv", width: 2.5, color: colour("data") } }),
    steps(answer.edges, answer.density.manual, { name: "manual", line: { shape: "hv", width: 2.5, color: colour("second"), dash: "dash" } }),
  ], {
    x: { title: "diameter (nm)" }, y: { title: "number density (1/nm)", rangemode: "tozero" },
    shapes: [mean(answer.mean[automatic], "data", "solid"), mean(answer.mean[manual], "second", "dash")],
    label: `Automatic and manual distributions; means ${digits(answer.mean[automatic])} and ${digits(answer.mean[manual])} nm`,
  });
}
