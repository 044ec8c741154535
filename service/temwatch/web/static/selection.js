// Particles that are chosen on the micrograph, by click, lasso or key, to be excluded or put back.
import { make } from "./dom.js";
import { plural } from "./format.js";

const SVG = "http://www.w3.org/2000/svg";
const LEAST_CORNERS = 3;

export class Selection {
  // `act(kind, numbers)` excludes or includes
  constructor(act) {
    this.act = act;
    this.numbers = new Set();
    this.paths = new Map(); // by number
    this.words = make("span", { role: "status" });
    this.exclude = make("button", { type: "button", title: "Exclude (X)", onclick: () => this.#act("exclude") }, "Exclude");
    this.include = make("button", { type: "button", title: "Put back (X)", onclick: () => this.#act("include") }, "Put back");
    const clear = make("button", { type: "button", "aria-label": "Clear the selection", title: "Clear the selection (Escape)", onclick: () => this.clear() }, "×");
    this.element = make("div", { className: "selected-particles", hidden: true }, this.words, this.exclude, this.include, clear);
    this.allowed = true;
  }

  // the outlines that are drawn now; what was chosen of the same micrograph stays chosen
  attach(paths, keep) {
    this.paths = new Map(paths.map((path) => [path.number, path]));
    if (!keep) this.numbers.clear();
    for (const number of this.numbers) if (!this.paths.has(number)) this.numbers.delete(number);
    this.#paint();
  }

  pick(number, more = false) {
    const sole = this.numbers.has(number) && (more || this.numbers.size === 1);
    if (!more) this.numbers.clear();
    this.numbers[sole ? "delete" : "add"](number);
    this.#paint();
  }

  // those whose middle lies within the corners
  lasso(corners, more) {
    if (corners.length < LEAST_CORNERS) return;
    if (!more) this.numbers.clear();
    for (const [number, path] of this.paths) if (inside(middle(path), corners)) this.numbers.add(number);
    this.#paint();
  }

  step(by) {
    const all = [...this.paths.keys()];
    if (!all.length) return;
    const at = all.indexOf([...this.numbers].at(-1));
    this.numbers = new Set([all[(at < 0 ? (by > 0 ? 0 : all.length - 1) : at + by + all.length) % all.length]]);
    this.#paint();
  }

  clear() {
    this.numbers.clear();
    this.#paint();
  }

  // what was just decided, before the outlines come again
  mark(numbers, excluded) {
    for (const number of numbers) {
      const path = this.paths.get(number);
      if (path) path.excluded = excluded;
    }
    this.#paint();
  }

  // by key: what makes sense for the chosen ones
  toggle() {
    if (!this.numbers.size) return false;
    this.#act(this.#chosen().some((path) => !path.excluded) ? "exclude" : "include");
    return true;
  }

  #chosen() {
    return [...this.numbers].map((number) => this.paths.get(number));
  }

  #act(kind) {
    this.act(kind, this.#chosen().filter((path) => path.excluded === (kind === "include")).map((path) => path.number));
  }

  #paint() {
    for (const [number, path] of this.paths) path.classList.toggle("chosen", this.numbers.has(number));
    const chosen = this.#chosen();
    this.element.hidden = !chosen.length;
    if (!chosen.length) return;
    this.element.classList.toggle("below", chosen.length === 1 && isHigh(chosen[0]));
    this.words.textContent = chosen.length === 1 ? chosen[0].tooltip : plural(chosen.length, "particle");
    this.exclude.hidden = !this.allowed || !chosen.some((path) => !path.excluded);
    this.include.hidden = !this.allowed || !chosen.some((path) => path.excluded);
  }
}

// whether a particle lies where the words about it would cover it
function isHigh(path) {
  const frame = path.ownerSVGElement.getBoundingClientRect();
  return path.getBoundingClientRect().top < frame.top + frame.height / 4;
}

function middle(path) {
  const { x, y, width, height } = path.getBBox();
  return [x + width / 2, y + height / 2];
}

function inside([x, y], corners) {
  let found = false;
  corners.forEach(([x1, y1], at) => {
    const [x2, y2] = corners[(at + 1) % corners.length];
    if ((y1 > y) !== (y2 > y) && x < ((x2 - x1) * (y - y1)) / (y2 - y1) + x1) found = !found;
  });
  return found;
}

// a line that is being drawn over the micrograph
export function trace(className) {
  const line = document.createElementNS(SVG, "path");
  line.setAttribute("class", className);
  return line;
}

export const pathThrough = (corners) => corners.map(([x, y], at) => `${at ? "L" : "M"}${x} ${y}`).join("");
