// How a distribution is drawn: width of the bins, range, logarithmic axis; and the chart as files.
import { make } from "./dom.js";
import { digits, edge } from "./format.js";

const PAUSE_MS = 120;
const FILES = { svg: "vector graphics", pdf: "vector graphics", png: "600 dpi", csv: "the data behind it" };

// query parameters; empty: all as the data have it
export const axisQuery = ({ axis }) => new URLSearchParams(Object.entries(axis).filter(([, value]) => value !== "" && value !== false)).toString();

// the chart with these parameters, as files
export function saveLinks(name, path) {
  return make("p", { className: "files" }, make("span", {}, "Save as"), ...Object.entries(FILES).map(([kind, words]) =>
    make("a", { href: path(kind), download: "", title: words, "aria-label": `${name}, ${kind}` }, kind)));
}

export function axisControls(page) {
  const { settings } = page;
  let timer;
  const number = (name, label) => make("input", { type: "number", step: "any", inputMode: "decimal", "aria-label": label, oninput: () => change({ [name]: inputs[name].value }) });
  const inputs = {
    bin_width: number("bin_width", "Bin width"), bin_ratio: number("bin_ratio", "Ratio of the edges of a bin"),
    axis_low: number("axis_low", "Axis from"), axis_high: number("axis_high", "Axis to"),
  };
  inputs.bin_width.min = "0.000001";
  inputs.bin_ratio.min = "1.001";
  const log = make("input", { type: "checkbox", onchange: () => change({ log_axis: log.checked }, 0) });
  const units = [make("span"), make("span")];
  const width = make("label", { className: "tick" }, "Bin width", inputs.bin_width, units[0]);
  const ratio = make("label", { className: "tick" }, "Bin ratio", inputs.bin_ratio);
  const note = make("p", { className: "caption", role: "status", hidden: true });
  const reset = make("button", { type: "button", className: "quiet", hidden: true, onclick: () => change({ bin_width: "", bin_ratio: "", axis_low: "", axis_high: "", log_axis: false }, 0) }, "Automatic");
  const element = make("div", { className: "axis" },
    make("div", { className: "controls" }, width, ratio,
      make("span", { className: "tick" }, "Axis from", inputs.axis_low, "to", inputs.axis_high, units[1]),
      make("label", { className: "tick" }, log, "Log"), reset),
    note);

  function change(what, pause = PAUSE_MS) {
    for (const input of Object.values(inputs)) input.setCustomValidity("");
    const { axis_low: low, axis_high: high } = inputs;
    if (low.value !== "" && high.value !== "" && Number(low.value) >= Number(high.value)) high.setCustomValidity("It is not above the beginning.");
    const chosen = { ...settings.axis, ...what };
    for (const [name, input] of Object.entries(inputs)) if (!input.checkValidity()) chosen[name] = "";
    settings.axis = chosen;
    clearTimeout(timer);
    timer = setTimeout(page.refresh, pause);
  }

  // after each answer: what was chosen, and what the data have beside it
  function sync(answer) {
    const { axis } = settings;
    for (const [name, input] of Object.entries(inputs)) if (input !== document.activeElement) input.value = axis[name] ?? "";
    log.checked = Boolean(axis.log_axis);
    [width.hidden, ratio.hidden] = [log.checked, !log.checked];
    reset.hidden = !axisQuery(settings);
    if (!answer) return;
    const { edges, outside, widened } = answer.histogram;
    for (const unit of units) unit.textContent = answer.unit;
    const short = (value) => edge(Number(value.toPrecision(3)));
    inputs.bin_width.placeholder = short(edges[1] - edges[0]);
    inputs.bin_ratio.placeholder = short(edges[1] / edges[0]);
    inputs.axis_low.placeholder = short(edges[0]);
    inputs.axis_high.placeholder = short(edges.at(-1));
    note.textContent = [
      widened ? `Bins are ${log.checked ? `wider: 500 are the most` : `${digits(edges[1] - edges[0], 3)} ${answer.unit} wide: 500 are the most`}.` : "",
      outside ? `${outside} of ${answer.particles} particles lie beyond the axis; the statistics include them.` : "",
    ].filter(Boolean).join(" ");
    note.hidden = !note.textContent;
  }
  return { element, sync };
}
