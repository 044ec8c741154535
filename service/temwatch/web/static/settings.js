// Settings of a sample: changed beside the micrograph in view, which shows what they would find before they are applied.
import { getJson, sampleUrl } from "./api.js";
import { decide } from "./decide.js";
import { make } from "./dom.js";
import { digits, plural } from "./format.js";
import { postWithToken } from "./token.js";

const PAUSE_MS = 350;
const KEYS = {
  method: "separation.method", nm: "separation.min_diameter_nm", px: "separation.min_diameter_px",
  convexity: "separation.convexity_threshold", particles: "segmentation.particles", certain: "segmentation.min_confidence",
};
const METHODS = { auto: "Auto (the likeliest of several)", uecs: "UECS", watershed: "Watershed", contour: "Contour (hidden parts completed)", none: "None (clumps whole)" };
let form = null; // what is open
let timer;

export const isOpen = () => form !== null;

// `place` is emptied and holds the form; `ended` is called when it closes
export async function open(place, row, viewer, ended) {
  const settings = await getJson(sampleUrl(row.sample, "settings"));
  close();
  form = { place, row, viewer, ended, settings };
  const value = (key) => settings[KEYS[key]].value;
  const unit = value("px") === null ? "nm" : "px";
  const controls = (form.controls = {
    method: make("select", { onchange: preview }, ...settings[KEYS.method].choices.map((name) => make("option", { value: name, selected: name === value("method") }, METHODS[name] ?? name))),
    smallest: make("input", { type: "number", min: "0", step: "any", required: true, value: value(unit), oninput: preview, "aria-label": "Smallest equivalent diameter" }),
    unit: make("select", { "aria-label": "Unit", onchange: preview }, ...["nm", "px"].map((name) => make("option", { value: name, selected: name === unit }, name))),
    convexity: make("input", { type: "number", min: "0.01", max: "1", step: "any", required: true, value: value("convexity"), oninput: preview }),
    particles: make("select", { onchange: preview }, ...settings[KEYS.particles].choices.map((name) => make("option", { value: name, selected: name === value("particles") }, name))),
    certain: make("input", { type: "number", min: "0", max: "1", step: "any", value: value("certain") ?? "", placeholder: "only residue", title: "0 to 1: what is less certain is rejected. Empty: only pale residue of the film is. 0: nothing is.", oninput: preview }),
    reason: make("input", { type: "text", maxLength: 1000 }),
  });
  form.found = make("p", { className: "found", role: "status" });
  form.failed = make("p", { className: "failed", role: "alert", hidden: true });
  const own = Object.values(KEYS).map((key) => settings[key]).filter((one) => one.source === "sample");
  form.element = make("form", { className: "settings", "aria-label": `Settings of ${row.sample}`, onsubmit: (event) => { event.preventDefault(); apply(); }, onkeydown: onKey },
    make("h2", {}, `Settings of ${row.sample}`),
    make("p", { className: "caption" }, own.length ? `Set for this sample by ${[...new Set(own.map((one) => one.by))].join(", ")}; all else is as configured.` : "All as configured."),
    line("Separation", controls.method),
    line("Smallest particle", controls.smallest, controls.unit),
    line("Convexity threshold", controls.convexity),
    line("Particles are", controls.particles),
    line("Least confidence", controls.certain),
    form.found,
    line("Reason", controls.reason),
    form.failed,
    make("div", { className: "line" }, make("span", { className: "line start" }, make("button", { type: "submit" }, "Apply"),
      own.length ? make("button", { type: "button", onclick: configured }, "As configured") : null),
    make("button", { type: "button", className: "quiet", onclick: () => close() }, "Cancel")));
  place.replaceChildren(form.element);
  place.hidden = false;
  controls.method.focus();
  form.found.textContent = "What is changed here is shown on the micrograph before it is applied.";
}

const line = (text, ...controls) => make("label", { className: "setting" }, make("span", {}, text), make("span", {}, ...controls));

function onKey(event) {
  if (event.key !== "Escape") return;
  event.preventDefault();
  close();
}

export function close() {
  if (!form) return;
  const { place, viewer, ended } = form;
  form = null;
  clearTimeout(timer);
  place.hidden = true;
  place.replaceChildren();
  viewer.preview(null);
  ended();
}

// fills in what is configured; it is applied like anything else
function configured() {
  const { controls, settings } = form;
  const unit = settings[KEYS.px].configured === null ? "nm" : "px";
  controls.unit.value = unit;
  controls.smallest.value = settings[KEYS[unit]].configured;
  for (const key of ["method", "convexity", "particles"]) controls[key].value = settings[KEYS[key]].configured;
  controls.certain.value = settings[KEYS.certain].configured ?? "";
  preview();
}

// what differs from now, by key; what is configured is not set for the sample
function changed() {
  const { controls, settings } = form;
  const unit = controls.unit.value;
  const wanted = {
    [KEYS.method]: controls.method.value, [KEYS[unit]]: Number(controls.smallest.value),
    [KEYS.convexity]: Number(controls.convexity.value), [KEYS.particles]: controls.particles.value,
    [KEYS.certain]: controls.certain.value === "" ? null : Number(controls.certain.value),
  };
  const found = {};
  for (const [key, value] of Object.entries(wanted)) {
    if (value !== settings[key].value) found[key] = value === settings[key].configured ? null : value;
  }
  const other = KEYS[unit === "nm" ? "px" : "nm"];
  if (found[KEYS[unit]] === null && settings[other].source === "sample") found[other] = null;
  return found;
}

function preview() {
  clearTimeout(timer);
  timer = setTimeout(showPreview, PAUSE_MS);
}

async function showPreview() {
  const mine = form;
  if (!mine?.element.checkValidity()) return;
  mine.failed.hidden = true;
  const settings = changed();
  mine.asked = JSON.stringify(settings);
  if (!Object.keys(settings).length) {
    mine.viewer.preview(null);
    mine.found.textContent = "As it is now.";
    return;
  }
  mine.found.textContent = "Looking …";
  try {
    const answer = await postWithToken(`api/micrographs/${mine.row.id}/settings/preview`, JSON.stringify({ settings }), { "Content-Type": "application/json" });
    if (form !== mine || !answer || mine.asked !== JSON.stringify(settings)) return;
    mine.viewer.preview(answer.outlines);
    mine.found.textContent = inWords(mine.row, answer);
  } catch (error) {
    if (form === mine) complain(error.message);
  }
}

function inWords(row, { before, after, segments_again: again }) {
  const rejected = (one) => Object.values(one.rejected).reduce((sum, n) => sum + n, 0);
  const counts = `${row.name}: ${before.particles} → ${plural(after.particles, "particle")}, mean ${digits(before.mean_equivalent_diameter_nm, 3)} → ${digits(after.mean_equivalent_diameter_nm, 3)} nm, ${rejected(before)} → ${rejected(after)} rejected.`;
  return again ? `Particles of the other brightness are searched for in the files when this is applied; that cannot be shown before. Without it: ${counts}` : counts;
}

function complain(text) {
  form.failed.hidden = false;
  form.failed.textContent = text;
  form.found.textContent = "";
}

async function apply() {
  const { row, controls } = form;
  const settings = changed();
  if (!Object.keys(settings).length) return complain("Nothing has been changed.");
  const words = (answer) => `Settings of ${row.sample} changed: ${plural(answer.micrographs, "micrograph is", "micrographs are")} being measured again.`;
  if (await decide(sampleUrl(row.sample, "settings"), { settings, reason: controls.reason.value.trim() }, words, { complain })) close();
}
