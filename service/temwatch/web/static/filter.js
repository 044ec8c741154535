// Filter: which particles count in every view and download. It is part of the address and can be saved for a sample.
import { chosenFilter, getJson, sampleUrl, setFilter } from "./api.js";
import { decide } from "./decide.js";
import { make } from "./dom.js";
import { count } from "./format.js";

const LIMITS = {
  min_diameter_nm: { label: "Diameter from", unit: "nm", words: (value) => `diameter ≥ ${value} nm`, step: "0.1", min: "0" },
  max_diameter_nm: { label: "to", name: "Largest diameter", unit: "nm", words: (value) => `diameter ≤ ${value} nm`, step: "0.1", min: "0" },
  min_circularity: { label: "Circularity from", words: (value) => `circularity ≥ ${value}`, step: "0.01", min: "0", max: "1" },
  max_aspect_ratio: { label: "Aspect ratio to", words: (value) => `aspect ratio ≤ ${value}`, step: "0.05", min: "1" },
  min_confidence: { label: "Confidence from", words: (value) => `confidence ≥ ${value}`, step: "0.05", min: "0", max: "1" },
  min_contrast: { label: "Contrast from", words: (value) => `contrast ≥ ${value}`, step: "0.05", min: "0", max: "1" },
  min_visible_fraction: { label: "Visible fraction from", words: (value) => `visible fraction ≥ ${value}`, step: "0.05", min: "0", max: "1" },
};
const KINDS = { "": "all", false: "standing alone", true: "separated from clumps" };
const PAUSE_MS = 15;
const byId = (id) => document.getElementById(id);
let page;
let parts;
let saved = {}; // limits of the sample in view
let savedOf = "";
let timer;

export function mount(shared) {
  page = shared;
  const inputs = Object.fromEntries(Object.entries(LIMITS).map(([name, { label, name: whole, step, min, max }]) =>
    [name, make("input", { type: "number", name, step, min, max, placeholder: max ? `${min}–${max}` : "", inputMode: "decimal", "aria-label": whole ?? label, oninput: onInput })]));
  const separated = make("select", { "aria-label": "Particles", onchange: onInput }, ...Object.entries(KINDS).map(([value, text]) => make("option", { value }, text)));
  parts = {
    panel: byId("filter-panel"), button: byId("filter"), inputs, separated,
    words: make("span", { id: "filtered" }),
    save: make("button", { type: "button", onclick: save }),
    back: make("button", { type: "button", onclick: () => choose(null) }, "As saved"),
    clear: make("button", { type: "button", className: "quiet", onclick: () => choose({}) }, "Show all"),
  };
  parts.form = make("form", { onsubmit: (event) => event.preventDefault() },
    ...Object.entries(LIMITS).map(([name, { label, unit }]) => make("label", { className: "tick" }, label, inputs[name], unit ?? null)),
    make("label", { className: "tick" }, "Particles", separated));
  parts.panel.append(parts.form, make("div", { className: "line" },
    make("p", { role: "status" }, parts.words), make("span", { className: "line" }, parts.save, parts.back, parts.clear)));
  parts.button.addEventListener("click", () => toggle());
  parts.panel.addEventListener("keydown", (event) => event.key === "Escape" && toggle(false));
  readAddress();
}

// the filter of the address, or the one in force put into it
export function readAddress() {
  const [view, query] = location.hash.slice(1).split("?");
  if (query === undefined) return void writeAddress(view);
  const given = new URLSearchParams(query);
  const known = [...given].filter(([name]) => name in LIMITS || name === "separated" || name === "saved_filter");
  setFilter(new URLSearchParams(known).toString());
}

function writeAddress(view = location.hash.slice(1).split("?")[0]) {
  if (view.startsWith("token=")) return;
  const filter = chosenFilter();
  history.replaceState(null, "", filter ? `#${view || "live"}?${filter}` : view ? `#${view}` : location.pathname + location.search);
}

export function toggle(open = parts.panel.hidden) {
  parts.panel.hidden = !open;
  parts.button.setAttribute("aria-expanded", String(open));
  if (open) parts.inputs.min_diameter_nm.focus();
  else parts.button.focus();
  show();
}

// what holds now: that of the address, else what is saved
function limits() {
  const given = new URLSearchParams(chosenFilter());
  const own = Object.fromEntries([...given].filter(([name]) => name !== "saved_filter"));
  return given.get("saved_filter") === "false" ? own : { ...saved, ...own };
}

// whether it leaves out anything
export const isFiltered = () => Object.keys(limits()).length > 0;

const words = (chosen) => Object.entries(chosen).map(([name, value]) => (name === "separated" ? KINDS[value] : LIMITS[name].words(value))).join(", ");

// any number of digits is good, whatever the arrows of the control step by
const isBeyond = ({ validity }) => validity.badInput || validity.rangeUnderflow || validity.rangeOverflow || validity.customError;

function onInput() {
  const chosen = {};
  const { min_diameter_nm: low, max_diameter_nm: high } = parts.inputs;
  high.setCustomValidity(low.value !== "" && high.value !== "" && Number(low.value) > Number(high.value) ? "It is below the smallest." : "");
  for (const [name, input] of Object.entries(parts.inputs)) if (input.value !== "" && !isBeyond(input)) chosen[name] = Number(input.value);
  if (parts.separated.value) chosen.separated = parts.separated.value;
  clearTimeout(timer);
  timer = setTimeout(() => choose(chosen, false), PAUSE_MS);
}

// null: as it is saved
function choose(chosen, fill = true) {
  setFilter(chosen === null ? "" : new URLSearchParams({ saved_filter: false, ...chosen }).toString());
  writeAddress();
  if (fill) fillIn();
  show();
  page.refresh();
}

function fillIn() {
  const chosen = limits();
  for (const [name, input] of Object.entries(parts.inputs)) input.value = chosen[name] ?? "";
  parts.inputs.max_diameter_nm.setCustomValidity("");
  parts.separated.value = String(chosen.separated ?? "");
}

async function save() {
  const chosen = limits();
  const settings = Object.fromEntries([...Object.keys(LIMITS), "separated"].map((name) => [`filter.${name}`, chosen[name] ?? null]));
  const text = words(chosen);
  const done = await decide(sampleUrl(page.sample, "settings"), { settings }, () => (text ? `Filter saved for ${page.sample}: ${text}.` : `No filter is saved for ${page.sample} now.`));
  if (!done) return;
  savedOf = "";
  setFilter("");
  writeAddress();
  await update();
}

// after each state of the service, and where another sample is in view
export async function update() {
  const key = `${page.sample} ${page.decisions}`;
  if (page.sample && key !== savedOf) {
    savedOf = key;
    const settings = await getJson(sampleUrl(page.sample, "settings")).catch(() => ({}));
    saved = Object.fromEntries(Object.entries(settings).filter(([name, { value }]) => name.startsWith("filter.") && value !== null).map(([name, { value }]) => [name.slice("filter.".length), value]));
    if (!parts.form.contains(document.activeElement)) fillIn();
  }
  show();
}

let asked = 0;
async function show() {
  const chosen = limits();
  const text = words(chosen);
  const isOpen = !parts.panel.hidden;
  const query = chosenFilter();
  parts.button.classList.toggle("on", Boolean(text));
  parts.button.title = text ? `Only ${text} (F)` : "Filter (F)";
  byId("filter-words").hidden = !text || isOpen;
  byId("filter-words").firstElementChild.textContent = text ? `Only particles: ${text}` : "";
  parts.save.textContent = text ? `Save for ${page.sample}` : `Save “all” for ${page.sample}`;
  const isSaved = words(saved) === text;
  parts.save.hidden = !page.sample || !page.state?.changes_allowed || isSaved;
  parts.back.hidden = isSaved || !Object.keys(saved).length;
  parts.clear.hidden = !text;
  if (!isOpen || !page.sample) return;
  const mine = ++asked;
  const found = text ? (await getJson(sampleUrl(page.sample, "population?intervals=false")).catch(() => null))?.particles : undefined;
  if (mine !== asked || query !== chosenFilter()) return;
  const all = page.state?.samples.find((one) => one.sample === page.sample)?.particles ?? 0;
  parts.words.textContent = found === undefined || found === null ? `All ${count(all)} particles of ${page.sample}` : `${count(found)} of ${count(all)} particles of ${page.sample}`;
}

export const clear = () => choose({});
