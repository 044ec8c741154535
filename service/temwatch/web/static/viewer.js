// A micrograph with its outlines: zoom, pan, tooltips, scale bar, and a legend that shows and hides outlines.
import { getJson } from "./api.js";
import { make } from "./dom.js";
import { REASONS, count, measuredInWords, plural } from "./format.js";
import { Measure } from "./measure.js";
import { Selection, pathThrough, trace } from "./selection.js";

const KINDS = {
  alone: ["single", "A particle that touches no other"],
  separated: ["separated", "A particle separated from a clump"],
  overlapping: ["overlapping", "A clump measured as one particle: its convexity is below the threshold"],
  excluded: ["excluded", "Taken out of the data set by somebody"],
  rejected: ["rejected", "Not counted; point at it to see the reason (R)"],
};
const SVG = "http://www.w3.org/2000/svg";
const MAX_ZOOM = 40;
const FULL_FROM_ZOOM = 1.6; // above it, the full micrograph replaces the preview
const STILL_PX = 4; // a pointer that moves less between down and up has clicked

function svg(tag, attributes = {}) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

// coordinates are in units of half a pixel
function path(polygon) {
  let text = "";
  for (let at = 0; at < polygon.length; at += 2) text += `${at ? "L" : "M"}${polygon[at] / 2} ${polygon[at + 1] / 2}`;
  return `${text}Z`;
}

// resolves also where the picture cannot be loaded: the outlines are shown without it
export async function decoded(address) {
  const picture = new Image();
  picture.src = address;
  await picture.decode().catch(() => {});
  return picture;
}

// the time of analysis changes the address when a micrograph is analysed again
export const previewOf = (row, edge = 0) =>
  `api/micrographs/${row.id}/preview.jpg?${edge ? `edge_px=${edge}&` : ""}t=${encodeURIComponent(row.analysed_at)}`;

function roundLength(target) {
  const power = Math.floor(Math.log10(target));
  const candidates = [power, power + 1].flatMap((exponent) => [1, 2, 5].map((digit) => digit * 10 ** exponent));
  return candidates.reduce((best, one) => (Math.abs(Math.log(one / target)) < Math.abs(Math.log(best / target)) ? one : best));
}

export class Viewer {
  // `act(kind, numbers)` excludes or includes particles
  constructor(act) {
    this.selection = new Selection(act);
    this.measure = new Measure(this);
    this.image = svg("image", { x: 0, y: 0, preserveAspectRatio: "none" });
    this.particles = svg("g", { class: "particles" });
    this.rejections = svg("g", { class: "rejections" });
    this.drawing = svg("svg", { role: "img", preserveAspectRatio: "xMidYMid meet" });
    this.drawing.append(this.image, this.rejections, this.particles);
    this.tip = make("div", { className: "tip", hidden: true });
    this.bar = make("div", { className: "scalebar", hidden: true });
    this.note = make("p", { className: "note", hidden: true }, "No picture was saved; only the outlines are shown.");
    this.previewNote = make("p", { className: "note preview-note", hidden: true }, "Preview: nothing is changed yet");
    this.buttons = {};
    const tools = make("div", { className: "tools", role: "toolbar", "aria-label": "Micrograph" },
      ...Object.entries(KINDS).map(([kind, [text, title]]) => this.#switch(kind, text, title)),
      make("span", { className: "gap" }),
      this.#button("lasso", "", "S", () => this.setLasso(!this.isLasso), "Choose particles with a lasso"),
      this.#button("zoomIn", "+", "+", () => this.zoom(1.5), "Zoom in"),
      this.#button("zoomOut", "−", "−", () => this.zoom(1 / 1.5), "Zoom out"),
      this.#button("fit", "Fit", "0", () => this.fit(), "Fit to view"));
    this.frame = make("div", { className: "frame" }, this.drawing, this.bar, this.note, this.previewNote, this.tip, this.selection.element, this.measure.element);
    this.element = make("div", { className: "viewer" }, this.frame, tools);
    this.hidden = new Set();
    this.dimmed = new Set();
    this.size = [1024, 1024];
    this.id = null;
    const ring = svg("svg", { viewBox: "0 0 16 16", class: "ring", "aria-hidden": "true" });
    ring.append(svg("ellipse", { cx: 8, cy: 8, rx: 6.5, ry: 5 }));
    this.buttons.lasso.append(ring);
    this.setLasso(false);
    this.#listen();
    this.#paint();
  }

  setLasso(on) {
    this.isLasso = on;
    this.buttons.lasso.setAttribute("aria-pressed", String(on));
    this.element.classList.toggle("lassoing", on);
  }

  #button(name, text, key, act, title) {
    this.buttons[name] = make("button", { type: "button", title: `${title ?? text} (${key})`, "aria-label": title ?? text, onclick: act }, text);
    return this.buttons[name];
  }

  #switch(kind, text, title) {
    const number = make("b");
    const button = make("button", { type: "button", title, className: `legend ${kind}`, onclick: () => this.toggle(kind) },
      make("span", { className: "sign", "aria-hidden": "true" }), make("span", { className: "word" }, text), " ", number);
    this.buttons[kind] = button;
    button.number = number;
    return button;
  }

  // `outlines` is given where they are known already; `decisions` counts what may have changed them
  async show(row, outlines, signal, decisions) {
    const decided = `${row.status} ${row.excluded_particles} ${decisions}`;
    if (row.id === this.id && row.analysed_at === this.analysedAt) {
      if (decided !== this.decided) {
        this.#outlines(outlines ?? await getJson(`api/micrographs/${row.id}/outlines`, signal), true);
        this.decided = decided;
      }
      return void this.element.classList.remove("loading");
    }
    if (this.measure.isOn) this.measure.end(null);
    const preview = previewOf(row);
    // picture and outlines change together, so that they always belong to the same micrograph;
    // the previous ones fade at once, since the numbers beside them are the new ones already
    this.element.classList.add("loading");
    const early = row.has_picture ? decoded(preview) : null;
    const found = outlines ?? await getJson(`api/micrographs/${row.id}/outlines`, signal);
    if (found.has_picture) await (early ?? decoded(preview));
    signal?.throwIfAborted();
    this.element.classList.remove("loading");
    this.id = row.id;
    const isSame = this.shown === row.id;
    this.shown = row.id;
    this.analysedAt = row.analysed_at;
    this.decided = decided;
    this.size = [found.width_px, found.height_px];
    this.element.style.setProperty("--aspect", found.width_px / found.height_px);
    this.pixelSize = found.pixel_size_nm;
    this.image.setAttribute("width", found.width_px);
    this.image.setAttribute("height", found.height_px);
    this.isFull = false;
    this.note.hidden = found.has_picture;
    this.stamp = encodeURIComponent(row.analysed_at);
    if (found.has_picture) this.image.setAttribute("href", preview);
    else this.image.removeAttribute("href");
    this.hasPicture = found.has_picture;
    this.drawing.setAttribute("aria-label", `Micrograph ${row.name} with outlines of ${plural(found.particles.length, "particle")}`);
    this.#outlines(found, false);
    if (!isSame) this.fit(); // measured again: the same field in the same view
  }

  // what other settings would find; null shows again what there is
  preview(found) {
    this.element.classList.toggle("previewing", Boolean(found));
    this.previewNote.hidden = !found;
    this.selection.clear();
    this.#draw(found ?? this.found, false);
  }

  #outlines(found, keep) {
    this.found = found;
    if (!this.element.classList.contains("previewing")) this.#draw(found, keep);
  }

  // those that the filter leaves out stay, faintly
  dim(numbers) {
    this.dimmed = new Set(numbers);
    for (const outline of this.particles.children) outline.classList.toggle("left-out", this.dimmed.has(outline.number));
  }

  #draw(found, keep) {
    const particles = document.createDocumentFragment();
    for (const one of found.particles) {
      const kind = one.excluded ? "excluded" : one.kind;
      const outline = svg("path", { d: path(one.polygon), class: kind });
      outline.number = one.number;
      outline.excluded = one.excluded;
      outline.tooltip = `Particle ${one.number} · ${measuredInWords(one)}${kind === "alone" ? "" : ` · ${KINDS[kind][0]}`}`;
      particles.append(outline);
    }
    const rejections = document.createDocumentFragment();
    for (const one of found.rejections) {
      const outline = svg("path", { d: path(one.polygon) });
      outline.tooltip = `Rejected: ${REASONS[one.reason] ?? one.reason}`;
      rejections.append(outline);
    }
    this.particles.replaceChildren(particles);
    this.dim(this.dimmed);
    this.selection.attach([...this.particles.children], keep);
    this.rejections.replaceChildren(rejections);
    for (const kind of Object.keys(KINDS)) {
      const number = kind === "rejected" ? found.rejections.length
        : found.particles.filter((one) => (one.excluded ? "excluded" : one.kind) === kind).length;
      this.buttons[kind].number.textContent = count(number);
      if (kind === "excluded") this.buttons[kind].hidden = !number;
    }
  }

  // one kind of outlines, or several
  toggle(...kinds) {
    const hide = !kinds.every((kind) => this.hidden.has(kind));
    for (const kind of kinds) this.hidden[hide ? "add" : "delete"](kind);
    this.#paint();
  }

  #paint() {
    for (const kind of Object.keys(KINDS)) {
      this.drawing.classList.toggle(`without-${kind}`, this.hidden.has(kind));
      this.buttons[kind].setAttribute("aria-pressed", String(!this.hidden.has(kind)));
    }
  }

  fit() {
    this.box = [0, 0, ...this.size];
    this.#apply();
  }

  // around a point of the micrograph, by default the centre of the view
  zoom(factor, at) {
    const [x, y, width, height] = this.box;
    const [px, py] = at ?? [x + width / 2, y + height / 2];
    const newWidth = Math.min(this.size[0], Math.max(this.size[0] / MAX_ZOOM, width / factor));
    const scale = newWidth / width;
    this.#place(px - (px - x) * scale, py - (py - y) * scale, newWidth, height * scale);
  }

  move(dx, dy) {
    this.#place(this.box[0] + dx, this.box[1] + dy, this.box[2], this.box[3]);
  }

  #place(x, y, width, height) {
    const clamp = (value, most) => Math.min(Math.max(0, value), Math.max(0, most));
    this.box = [clamp(x, this.size[0] - width), clamp(y, this.size[1] - height), width, height];
    this.#apply();
  }

  #apply() {
    this.drawing.setAttribute("viewBox", this.box.join(" "));
    const zoomed = this.size[0] / this.box[2];
    this.element.classList.toggle("zoomed", zoomed > 1.01);
    if (zoomed > FULL_FROM_ZOOM && !this.isFull && this.hasPicture) {
      this.isFull = true;
      const full = new Image();
      const address = `api/micrographs/${this.id}/micrograph.png?t=${this.stamp}`;
      const id = this.id;
      full.addEventListener("load", () => id === this.id && this.image.setAttribute("href", address));
      full.src = address;
    }
    this.#scalebar(zoomed);
  }

  // the one in the picture, at the left, is out of view or too large when zoomed
  #scalebar(zoomed) {
    const rect = this.drawing.getBoundingClientRect();
    this.bar.hidden = zoomed < 1.01 || !this.pixelSize || !rect.width;
    if (this.bar.hidden) return;
    const perPixel = Math.min(rect.width / this.box[2], rect.height / this.box[3]);
    const length = roundLength((rect.width / 5 / perPixel) * this.pixelSize);
    this.bar.style.width = `${(length / this.pixelSize) * perPixel}px`;
    this.bar.textContent = length >= 1000 ? `${length / 1000} µm` : `${Number(length.toPrecision(3))} nm`;
  }

  #point(event) {
    const matrix = this.drawing.getScreenCTM();
    if (!matrix) return [0, 0];
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(matrix.inverse());
    return [at.x, at.y];
  }

  #listen() {
    const pressed = new Map();
    let begun = null; // where the pointer went down, and what is drawn since
    this.drawing.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoom(Math.exp(-event.deltaY / 400), this.#point(event));
    }, { passive: false });
    this.drawing.addEventListener("dblclick", (event) => this.zoom(2, this.#point(event)));
    this.drawing.addEventListener("pointerdown", (event) => {
      pressed.set(event.pointerId, [event.clientX, event.clientY]);
      begun = pressed.size > 1 ? null : { on: event.target, at: [event.clientX, event.clientY], corners: [this.#point(event)], isStill: true,
        lasso: !this.measure.isOn && (this.isLasso || event.shiftKey) ? trace("lasso") : null };
      if (begun?.lasso) this.drawing.append(begun.lasso);
      if (event.pointerType === "mouse") this.drawing.setPointerCapture(event.pointerId);
    });
    this.drawing.addEventListener("pointermove", (event) => {
      const before = pressed.get(event.pointerId);
      if (this.measure.isOn && event.pointerType === "mouse") this.measure.move(this.#point(event));
      if (!before) return this.#hover(event);
      if (begun && Math.hypot(event.clientX - begun.at[0], event.clientY - begun.at[1]) > STILL_PX) begun.isStill = false;
      if (begun?.lasso) {
        begun.corners.push(this.#point(event));
        begun.lasso.setAttribute("d", `${pathThrough(begun.corners)}Z`);
        return;
      }
      const rect = this.drawing.getBoundingClientRect();
      const perPixel = Math.min(rect.width / this.box[2], rect.height / this.box[3]);
      const [dx, dy] = [event.clientX - before[0], event.clientY - before[1]];
      if (pressed.size === 2) {
        const [other] = [...pressed].filter(([id]) => id !== event.pointerId).map(([, at]) => at);
        const apart = (at) => Math.hypot(at[0] - other[0], at[1] - other[1]);
        this.zoom(apart([event.clientX, event.clientY]) / Math.max(1, apart(before)), this.#point(event));
      } else if (this.element.classList.contains("zoomed")) {
        this.move(-dx / perPixel, -dy / perPixel);
      }
      pressed.set(event.pointerId, [event.clientX, event.clientY]);
      this.tip.hidden = true;
    });
    for (const name of ["pointerup", "pointercancel"]) {
      this.drawing.addEventListener(name, (event) => {
        pressed.delete(event.pointerId);
        if (begun && name === "pointerup") this.#pressed(begun, event);
        begun?.lasso?.remove();
        begun = null;
        if (event.pointerType !== "mouse") this.#hover(event);
      });
    }
    this.drawing.addEventListener("pointerleave", () => (this.tip.hidden = true));
    new ResizeObserver(() => this.box && this.#apply()).observe(this.drawing);
  }

  // a click chooses a particle or sets a point, a lasso chooses many; Shift adds to what is chosen
  #pressed(begun, event) {
    const more = event.shiftKey || event.ctrlKey || event.metaKey;
    if (begun.isStill && this.measure.isOn) this.measure.set(begun.corners[0]);
    else if (begun.isStill) {
      if (begun.on.number) this.selection.pick(begun.on.number, more);
      else if (!more) this.selection.clear();
    } else if (begun.lasso) this.selection.lasso(begun.corners, more);
  }

  #hover(event) {
    const tooltip = event.target.tooltip;
    this.tip.hidden = !tooltip;
    if (!tooltip) return;
    this.tip.textContent = tooltip;
    const frame = this.frame.getBoundingClientRect();
    const [x, y] = [event.clientX - frame.left, event.clientY - frame.top];
    this.tip.style.left = `${Math.min(x + 14, frame.width - this.tip.offsetWidth - 8)}px`;
    this.tip.style.top = `${y > frame.height - 70 ? y - this.tip.offsetHeight - 10 : y + 18}px`;
  }

  // handles a key; returns whether it has a meaning here
  key(event) {
    if (this.measure.isOn && this.measure.key(event)) return true;
    const step = this.box ? this.box[2] / 8 : 0;
    const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
    const actions = { o: () => this.toggle("alone", "separated", "overlapping", "excluded"), s: () => this.setLasso(!this.isLasso), n: () => this.selection.step(1), p: () => this.selection.step(-1), escape: () => this.selection.clear(), r: () => this.toggle("rejected"), "+": () => this.zoom(1.5), "=": () => this.zoom(1.5), "-": () => this.zoom(1 / 1.5), 0: () => this.fit() };
    if (this.element.classList.contains("zoomed") && moves[event.key]) this.move(...moves[event.key]);
    else if (actions[event.key.toLowerCase()]) actions[event.key.toLowerCase()]();
    else return false;
    event.preventDefault();
    return true;
  }
}
