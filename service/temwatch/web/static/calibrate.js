// Corrects the pixel size that files state: by a factor, to a size, or from a known distance on the micrograph.
import { sampleUrl } from "./api.js";
import { decide } from "./decide.js";
import { make } from "./dom.js";
import { digits, plural } from "./format.js";

const HOW = { factor: "A factor", size: "A pixel size", distance: "A known distance" };
let dialog;
let form; // what is typed, while the distance is being measured

export function open(row, viewer) {
  const states = ["file", "corrected"].includes(row.pixel_size_source); // else somebody gave a size
  form = { row, viewer, states, scope: states ? "sample" : "micrograph", how: states ? "factor" : "size", factor: "", size: "", distance: "", length: null, reason: "" };
  show();
}

function number(name, label, unit, [min, max]) {
  return make("label", { className: "tick" }, make("input", { type: "number", name, min, max, step: "any", value: form[name], "aria-label": label, required: true,
    oninput: (event) => { form[name] = event.target.value; preview(); } }), unit);
}

function radios(name, entries) {
  return Object.entries(entries).map(([value, text]) => make("label", { className: "tick" },
    make("input", { type: "radio", name, value, checked: form[name] === value, onchange: () => { form[name] = value; show(); } }), text));
}

function fields() {
  if (form.how === "factor") return [number("factor", "Factor", "times the stated size", ["0.000001", "1000000"])];
  if (form.how === "size") return [number("size", "nm per pixel", "nm per pixel", ["0.0001", "1000000"])];
  const measure = make("button", { type: "button", onclick: () => {
    dialog.close("measuring");
    form.viewer.measure.begin((length) => { form.length = length ?? form.length; show(); });
  } }, form.length ? "Measure again" : "Measure on the micrograph");
  return [measure, form.length ? make("span", {}, `${digits(form.length, 4)} px are`) : null, form.length ? number("distance", "True length in nm", "nm", ["0.000001", "1000000000"]) : null];
}

// the size that the micrograph in view will have, null while that is not known
function wanted() {
  const { row, how } = form;
  const stated = row.stated_pixel_size_nm ?? row.pixel_size_nm;
  const value = Number({ factor: form.factor, size: form.size, distance: form.distance }[how]);
  if (!(value > 0) || (how === "distance" && !form.length)) return null;
  return how === "factor" ? stated * value : how === "size" ? value : value / form.length;
}

function preview() {
  const size = wanted();
  const { row } = form;
  dialog.querySelector(".preview").textContent = size === null ? ""
    : `${digits(size, 4)} nm per pixel; the mean of ${row.name} becomes ${digits((row.mean_equivalent_diameter_nm ?? 0) * (size / row.pixel_size_nm), 4)} nm.`;
}

function show() {
  if (!dialog) {
    dialog = make("dialog", { "aria-label": "Correct the size" });
    document.body.append(dialog);
  }
  const { row } = form;
  const stated = row.stated_pixel_size_nm;
  const { factor, ...others } = HOW;
  const reason = make("input", { type: "text", id: "calibration-reason", maxLength: 1000, value: form.reason, oninput: (event) => (form.reason = event.target.value) });
  dialog.replaceChildren(make("form", { method: "dialog", onsubmit: (event) => { event.preventDefault(); apply(); } },
    make("h2", {}, `Correct the size of ${row.name}`),
    make("p", {}, `It is measured with ${digits(row.pixel_size_nm, 4)} nm per pixel${form.states ? "" : ", which somebody gave: its file states none"}${row.pixel_size_source === "corrected" && stated ? `, corrected; its file states ${digits(stated, 4)}` : ""}.`),
    form.states ? make("fieldset", { className: "radios" }, make("legend", {}, "Apply to"), ...radios("scope", { sample: `All of ${row.sample}, also what comes later`, micrograph: "This micrograph only" }))
      : make("p", { className: "caption" }, `Another size for this micrograph only; of others, temwatch retry PATH --pixel-size NM changes it, and pixel_size_nm in the configuration that of what comes later.`),
    make("fieldset", { className: "radios" }, make("legend", {}, "By"), ...radios("how", form.states ? HOW : others)),
    make("div", { className: "line start" }, ...fields()),
    make("p", { className: "preview", role: "status" }),
    ...(form.states ? [make("label", { htmlFor: "calibration-reason" }, "Reason"), reason] : []),
    make("p", { className: "failed", role: "alert", hidden: true }),
    make("div", { className: "line" }, make("button", { type: "submit" }, "Apply"),
      row.pixel_size_source === "corrected" ? make("button", { type: "button", onclick: () => send({ undo: true }) }, "Undo the last correction") : null,
      make("button", { type: "button", className: "quiet", onclick: () => dialog.close() }, "Cancel"))));
  preview();
  if (!dialog.open) dialog.showModal();
  (dialog.querySelector("input[type=number]") ?? dialog.querySelector(".line.start button")).focus();
}

function apply() {
  const size = wanted();
  if (size === null) return complain("Measure the distance first.");
  if (!form.states) return readAgain(size);
  const stated = form.row.stated_pixel_size_nm ?? form.row.pixel_size_nm;
  // the files of a sample may state different sizes: what was measured on one holds for all as a factor
  const asFactor = form.how === "factor" || (form.how === "distance" && form.scope === "sample");
  return send(asFactor ? { factor: size / stated } : { pixel_size_nm: size });
}

// a size that somebody gave is given once more, and the file read with it
async function readAgain(size) {
  const { row } = form;
  const words = () => `${row.name} is being measured again with ${digits(size, 4)} nm per pixel.`;
  if (await decide(`api/micrographs/${row.id}/retry`, { pixel_size_nm: size }, words, { complain })) dialog.close();
}

function complain(text) {
  const place = dialog.querySelector(".failed");
  place.hidden = false;
  place.textContent = text;
}

async function send(how) {
  const { row, scope, reason } = form;
  const path = scope === "sample" ? sampleUrl(row.sample, "calibration") : `api/micrographs/${row.id}/calibration`;
  const words = (answer) => {
    const left = answer.unknown.length ? ` ${plural(answer.unknown.length, "file states", "files state")} no size and ${answer.unknown.length === 1 ? "stays" : "stay"} as before.` : "";
    return `${how.undo ? "Calibration as before" : "Calibration corrected"}: ${plural(answer.micrographs, "micrograph is", "micrographs are")} being measured again.${left}`;
  };
  const answer = await decide(path, { ...how, reason }, words, { complain });
  if (answer) dialog.close();
}
