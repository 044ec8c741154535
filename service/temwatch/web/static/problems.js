// Problems of the service and of files, each with its remedy, and the retry.
import { getJson } from "./api.js";
import { decide } from "./decide.js";
import { make } from "./dom.js";
import { clock, count, digits, plural } from "./format.js";
import { postWithToken } from "./token.js";

export const title = "Problems";

let parts;

export function mount(section, page) {
  parts = {
    title: make("h1"),
    lead: make("p", { className: "lead" }),
    all: make("button", { type: "button", hidden: true, onclick: () => retry("api/retry", {}, page) }, "Retry all"),
    result: make("p", { className: "lead", role: "status" }),
    service: make("div"),
    files: make("ul", { className: "problem-list" }),
  };
  section.append(make("div", { className: "head" }, make("div", {}, parts.title, parts.lead, parts.result), parts.all), parts.service, parts.files);
}

export async function update(section, page, signal) {
  const found = await getJson("api/trouble", signal);
  const files = found.refused + found.failed;
  const notices = [...found.service, ...found.tables];
  parts.title.textContent = notices[0]?.what.replace(/\.$/, "") ?? (files ? `${plural(files, "file was", "files were")} not measured` : "No problems");
  parts.lead.textContent = files ? `${count(found.refused)} refused, ${count(found.failed)} failed` : "No file was refused or failed, or all were dismissed.";
  parts.all.hidden = !files || !found.changes_allowed;
  parts.service.replaceChildren(...notices.map((one) => make("div", { className: "problem-item service" }, make("h2", {}, one.what), make("p", {}, one.what_to_do))));
  const typed = new Map([...parts.files.querySelectorAll("input")].map((input) => [input.name, input.value]));
  const state = JSON.stringify(found.files.map((one) => [one.id, one.analysed_at]));
  if (parts.files.dataset.state === state) return;
  parts.files.dataset.state = state;
  parts.files.replaceChildren(...found.files.map((one) => item(one, found.changes_allowed, typed, page)));
}

// a refusal ends with a remedy for the command line; the page shows its own below
const reason = (one) => (one.status === "refused" ? one.reason.split("; ")[0] : one.reason);

function item(one, allowed, typed, page) {
  const name = `pixel-size-${one.id}`;
  const size = one.reason_code === "no_pixel_size" && allowed
    ? make("input", { type: "number", name, min: "0.0001", step: "any", placeholder: "0.05", "aria-label": "Pixel size in nm", value: typed.get(name) ?? "" })
    : null;
  const act = () => retry(`api/micrographs/${one.id}/retry`, size?.value ? { pixel_size_nm: Number(size.value) } : {}, page);
  return make("li", { className: `problem-item ${one.status}` },
    make("div", {}, make("h2", {}, one.micrograph, make("small", {}, ` ${one.status} ${clock(one.analysed_at)}`)),
      make("p", { className: "reason", title: one.reason }, reason(one)), make("p", { className: "advice" }, one.what_to_do)),
    allowed ? make("div", { className: "line" }, size ? make("label", { className: "tick" }, size, "nm per pixel") : null,
      make("button", { type: "button", "aria-label": `Retry ${one.micrograph}`, onclick: act }, "Retry"),
      make("button", { type: "button", className: "quiet", "aria-label": `Dismiss ${one.micrograph}`, title: "There is nothing to do about it, or it was done", onclick: () => dismiss(one) }, "Dismiss"))
      : null);
}

// a file that is excluded is no problem: that is in the history, and can be undone
const dismiss = (one) => decide(`api/micrographs/${one.id}/exclude`, { reason: "dismissed" }, () => `${one.micrograph} dismissed.`);

async function retry(path, body, page) {
  try {
    const answer = await postWithToken(path, JSON.stringify(body), { "Content-Type": "application/json" });
    if (!answer) return;
    parts.result.textContent = "Retry requested.";
    await showResult(answer.request);
    parts.files.dataset.state = "";
    page.refresh();
  } catch (error) {
    parts.result.textContent = error.message;
  }
}

// a size that a file states itself is no fault of the retry's: another command corrects it
export function outcome({ files, stated = [] }) {
  const told = stated.map(([file, nm]) => `${file} states ${digits(nm, 4)} nm per pixel itself, nothing was changed; temwatch calibrate corrects it.`);
  return [...(files || !stated.length ? [`Retrying ${plural(files, "file")}.`] : []), ...told].join(" ");
}

// the running service polls for requests twice a second
async function showResult(request) {
  for (let tries = 0; tries < 20; tries += 1) {
    await new Promise((resolve) => setTimeout(resolve, 300));
    const { answer } = await getJson(`api/requests/${request}`);
    if (!answer) continue;
    parts.result.textContent = answer.error ?? outcome(answer);
    return;
  }
}
