// A micrograph with its outlines: zoom, pan, what lies under the pointer, and a scale bar.
import { ask } from "./ask.js";
import { REASONS, digits, make } from "./words.js";

const SVG = "http://www.w3.org/2000/svg";
const MOST_ZOOM = 40;
const SHARP_FROM = 1.6; // beyond this zoom the full micrograph replaces its preview

function svg(tag, attributes = {}) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

// the service counts in half pixels, so that every corner is a whole number
function path(polygon) {
  let text = "";
  for (let at = 0; at < polygon.length; at += 2) text += `${at ? "L" : "M"}${polygon[at] / 2} ${polygon[at + 1] / 2}`;
  return `${text}Z`;
}

export function roundLength(target) {
  const power = Math.floor(Math.log10(target));
  const candidates = [power, power + 1].flatMap((exponent) => [1, 2, 5].map((digit) => digit * 10 ** exponent));
  return candidates.reduce((best, one) => (Math.abs(Math.log(one / target)) < Math.abs(Math.log(best / target)) ? one : best));
}

export class Viewer {
  constructor() {
    this.image = svg("image", { x: 0, y: 0, preserveAspectRatio: "none" });
    this.particles = svg("g", { class: "particles" });
    this.rejections = svg("g", { class: "rejections" });
    this.drawing = svg("svg", { role: "img", preserveAspectRatio: "xMidYMid meet" });
    this.drawing.append(this.image, this.rejections, this.particles);
    this.tip = make("div", { className: "tip", hidden: true });
    this.bar = make("div", { className: "scalebar", hidden: true });
    this.note = make("p", { className: "note", hidden: true }, "No picture of this one was kept; these are its outlines.");
    this.buttons = {};
    const tools = make("div", { className: "tools", role: "toolbar", "aria-label": "Micrograph" },
      this.#button("outlines", "Outlines", "O", () => this.toggle("outlines")),
      this.#button("rejected", "Rejected", "R", () => this.toggle("rejected")),
      this.#button("closer", "+", "+", () => this.zoom(1.5), "Zoom in"),
      this.#button("further", "−", "−", () => this.zoom(1 / 1.5), "Zoom out"),
      this.#button("whole", "Whole", "0", () => this.whole()));
    this.element = make("div", { className: "viewer" }, this.drawing, this.bar, this.note, this.tip, tools);
    this.shown = { outlines: true, rejected: true };
    this.size = [1024, 1024];
    this.id = null;
    this.#listen();
    this.#paint();
  }

  #button(name, text, key, act, title) {
    this.buttons[name] = make("button", { type: "button", title: `${title ?? text} (${key})`, "aria-label": title ?? text, onclick: act }, text);
    return this.buttons[name];
  }

  async show(row, signal) {
    if (row.id === this.id && row.analysed_at === this.analysedAt) return;
    const found = await ask(`api/micrographs/${row.id}/outlines`, signal);
    this.id = row.id;
    this.analysedAt = row.analysed_at;
    this.size = [found.width_px, found.height_px];
    this.element.style.setProperty("--aspect", found.width_px / found.height_px);
    this.pixelSize = found.pixel_size_nm;
    this.image.setAttribute("width", found.width_px);
    this.image.setAttribute("height", found.height_px);
    this.sharp = false;
    this.note.hidden = found.has_picture;
    // a row that was analysed again has the same number and another picture
    this.stamp = encodeURIComponent(row.analysed_at);
    if (found.has_picture) this.image.setAttribute("href", `api/micrographs/${row.id}/preview.jpg?t=${this.stamp}`);
    else this.image.removeAttribute("href");
    this.hasPicture = found.has_picture;
    this.drawing.setAttribute("aria-label", `Micrograph ${row.name} with the outlines of ${found.particles.length} particles`);
    this.#outlines(found);
    this.whole();
  }

  #outlines(found) {
    const particles = document.createDocumentFragment();
    for (const one of found.particles) {
      const outline = svg("path", { d: path(one.polygon), class: one.kind });
      outline.words = `${digits(one.equivalent_diameter_nm, 3)} nm · circularity ${digits(one.circularity, 2)}${one.kind === "alone" ? "" : ` · ${one.kind}`}`;
      particles.append(outline);
    }
    const rejections = document.createDocumentFragment();
    for (const one of found.rejections) {
      const outline = svg("path", { d: path(one.polygon) });
      outline.words = `Rejected: ${REASONS[one.reason] ?? one.reason}`;
      rejections.append(outline);
    }
    this.particles.replaceChildren(particles);
    this.rejections.replaceChildren(rejections);
  }

  toggle(what) {
    this.shown[what] = !this.shown[what];
    this.#paint();
  }

  #paint() {
    this.particles.style.display = this.shown.outlines ? "" : "none";
    this.rejections.style.display = this.shown.rejected ? "" : "none";
    for (const what of ["outlines", "rejected"]) this.buttons[what].setAttribute("aria-pressed", String(this.shown[what]));
  }

  whole() {
    this.box = [0, 0, ...this.size];
    this.#apply();
  }

  // around a point of the micrograph, by default the middle of what is seen
  zoom(factor, at) {
    const [x, y, width, height] = this.box;
    const [px, py] = at ?? [x + width / 2, y + height / 2];
    const wider = Math.min(this.size[0], Math.max(this.size[0] / MOST_ZOOM, width / factor));
    const scale = wider / width;
    this.#place(px - (px - x) * scale, py - (py - y) * scale, wider, height * scale);
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
    if (zoomed > SHARP_FROM && !this.sharp && this.hasPicture) {
      this.sharp = true;
      const full = new Image();
      const wanted = `api/micrographs/${this.id}/micrograph.png?t=${this.stamp}`;
      const id = this.id;
      full.addEventListener("load", () => id === this.id && this.image.setAttribute("href", wanted));
      full.src = wanted;
    }
    this.#scalebar(zoomed);
  }

  // the picture has its own bar, which is out of sight or too large when zoomed
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
    const held = new Map();
    this.drawing.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoom(Math.exp(-event.deltaY / 400), this.#point(event));
    }, { passive: false });
    this.drawing.addEventListener("dblclick", (event) => this.zoom(2, this.#point(event)));
    this.drawing.addEventListener("pointerdown", (event) => {
      held.set(event.pointerId, [event.clientX, event.clientY]);
      if (event.pointerType === "mouse") this.drawing.setPointerCapture(event.pointerId);
    });
    this.drawing.addEventListener("pointermove", (event) => {
      const before = held.get(event.pointerId);
      if (!before) return this.#hover(event);
      const rect = this.drawing.getBoundingClientRect();
      const perPixel = Math.min(rect.width / this.box[2], rect.height / this.box[3]);
      const [dx, dy] = [event.clientX - before[0], event.clientY - before[1]];
      if (held.size === 2) {
        const [other] = [...held].filter(([id]) => id !== event.pointerId).map(([, at]) => at);
        const apart = (at) => Math.hypot(at[0] - other[0], at[1] - other[1]);
        this.zoom(apart([event.clientX, event.clientY]) / Math.max(1, apart(before)), this.#point(event));
      } else if (this.element.classList.contains("zoomed")) {
        this.move(-dx / perPixel, -dy / perPixel);
      }
      held.set(event.pointerId, [event.clientX, event.clientY]);
      this.tip.hidden = true;
    });
    for (const name of ["pointerup", "pointercancel"]) {
      this.drawing.addEventListener(name, (event) => {
        held.delete(event.pointerId);
        if (event.pointerType !== "mouse") this.#hover(event);
      });
    }
    this.drawing.addEventListener("pointerleave", () => (this.tip.hidden = true));
    new ResizeObserver(() => this.box && this.#apply()).observe(this.drawing);
  }

  #hover(event) {
    const words = event.target.words;
    this.tip.hidden = !words;
    if (!words) return;
    this.tip.textContent = words;
    const frame = this.element.getBoundingClientRect();
    const [x, y] = [event.clientX - frame.left, event.clientY - frame.top];
    this.tip.style.left = `${Math.min(x + 14, frame.width - this.tip.offsetWidth - 8)}px`;
    this.tip.style.top = `${y > frame.height - 70 ? y - this.tip.offsetHeight - 10 : y + 18}px`;
  }

  // keys while the view is open; gives whether the key was one of them
  key(event) {
    const step = this.box ? this.box[2] / 8 : 0;
    const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
    const acts = { o: () => this.toggle("outlines"), r: () => this.toggle("rejected"), "+": () => this.zoom(1.5), "=": () => this.zoom(1.5), "-": () => this.zoom(1 / 1.5), 0: () => this.whole() };
    if (this.element.classList.contains("zoomed") && moves[event.key]) this.move(...moves[event.key]);
    else if (acts[event.key.toLowerCase()]) acts[event.key.toLowerCase()]();
    else return false;
    event.preventDefault();
    return true;
  }
}
