// History: who changed what, when and why; everything can be undone, and nothing is overwritten.
import { getJson } from "./api.js";
import { author, setAuthor, undo } from "./decide.js";
import { empty, make } from "./dom.js";

export const title = "History";

const STEP = 50;
const MOST = 1000;
const SOURCES = { command: "by command", configuration: "by the configuration", api: "" };
let parts;
let shown = STEP;

export function mount(section, page) {
  parts = {
    name: make("input", { type: "text", maxLength: 100, autocomplete: "name", value: author(), id: "author", onchange: (event) => setAuthor(event.target.value) }),
    only: make("input", { type: "checkbox", onchange: () => page.refresh() }),
    onlyWords: make("span"),
    list: make("ol", { className: "changes", "aria-label": "Changes, newest first" }),
    more: make("button", { type: "button", hidden: true, onclick: () => {
      shown = Math.min(MOST, shown + STEP);
      page.refresh();
    } }, "Show earlier changes"),
  };
  section.append(
    make("div", { className: "head" },
      make("div", {}, make("h1", {}, "History"), make("p", { className: "lead" }, "Who changed what, when and why. Each change can be undone.")),
      make("div", { className: "controls" },
        make("label", { className: "tick" }, parts.only, parts.onlyWords),
        make("label", { className: "tick", htmlFor: "author" }, "Your name", parts.name))),
    parts.list, parts.more);
}

export async function update(section, page, signal) {
  parts.only.parentElement.hidden = !page.sample;
  parts.onlyWords.textContent = `Only ${page.sample}`;
  const sample = parts.only.checked && page.sample ? `&sample=${encodeURIComponent(page.sample)}` : "";
  const found = await getJson(`api/history?limit=${Math.min(MOST, shown + 1)}${sample}`, signal);
  parts.more.hidden = found.length <= shown;
  const rows = found.slice(0, shown);
  const state = JSON.stringify([page.state.changes_allowed, rows.map((one) => [one.id, one.undone_by])]);
  if (parts.list.dataset.state === state) return;
  parts.list.dataset.state = state;
  const focused = document.activeElement?.dataset.change;
  const authors = new Map(found.map((one) => [one.id, one.made_by]));
  parts.list.replaceChildren(...(rows.length ? rows.map((one) => item(one, authors, page)) : [make("li", {}, empty("Nothing was changed yet."))]));
  if (focused) (parts.list.querySelector(`[data-change="${focused}"]`) ?? parts.list.querySelector("button"))?.focus();
}

// ISO 8601, in local time
const moment = (text) => new Date(text).toLocaleString("sv-SE", { dateStyle: "short", timeStyle: "short" });

function subject(one, page) {
  const name = one.micrograph === null ? `Sample ${one.sample}` : one.frame === null ? one.micrograph : `${one.micrograph}, frame ${one.frame}`;
  return one.micrograph_id === null ? make("strong", {}, name)
    : make("button", { type: "button", className: "link", title: "Show the micrograph", onclick: () => page.showMicrograph(one.micrograph_id) }, name);
}

function item(one, authors, page) {
  const undone = one.undone_by !== null;
  const words = `Undo: ${one.micrograph ?? one.sample} ${one.what}`;
  return make("li", { className: undone ? "undone" : "" },
    make("div", {},
      make("p", {}, subject(one, page), " ", make("span", { className: "what" }, one.what)),
      one.reason ? make("p", { className: "reason" }, one.reason) : null,
      make("p", { className: "caption" }, make("time", { dateTime: one.made_at }, moment(one.made_at)), ` · ${one.source === "configuration" ? SOURCES.configuration : `${one.made_by} ${SOURCES[one.source]}`}`,
        undone ? ` · undone${authors.has(one.undone_by) ? ` by ${authors.get(one.undone_by)}` : ""}` : "")),
    undone || !page.state.changes_allowed ? null
      : make("button", { type: "button", "data-change": String(one.id), "aria-label": words, onclick: () => undo([one.id]) }, "Undo"));
}
