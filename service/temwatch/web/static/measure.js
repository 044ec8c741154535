// A distance on the micrograph, between two points: clicked, or set with the arrow keys and Enter.
import { make } from "./dom.js";
import { digits } from "./format.js";
import { pathThrough, trace } from "./selection.js";

const STEPS = 50; // of the width in view, for one press of an arrow key

export class Measure {
  constructor(viewer) {
    this.viewer = viewer;
    this.line = trace("measured");
    this.words = make("span", { role: "status" });
    this.element = make("div", { className: "selected-particles", hidden: true, tabIndex: -1, role: "group", "aria-label": "Measure a distance" }, this.words,
      make("button", { type: "button", onclick: () => this.end(null) }, "Cancel"));
  }

  get isOn() {
    return Boolean(this.done);
  }

  // `done(length_px)` is called with the length, or null
  begin(done) {
    const { box } = this.viewer;
    this.done = done;
    this.points = [];
    this.at = [box[0] + box[2] / 2, box[1] + box[3] / 2];
    this.element.hidden = false;
    this.element.focus({ preventScroll: true }); // or Enter would press the button that has the focus
    this.viewer.drawing.append(this.line);
    this.#draw();
  }

  end(length) {
    const { done } = this;
    this.done = null;
    this.element.hidden = true;
    this.line.remove();
    done?.(length);
  }

  move(point) {
    this.at = point;
    this.#draw();
  }

  set(point = this.at) {
    this.points.push(point);
    if (this.points.length < 2) return this.#draw();
    this.end(this.#length() || null);
  }

  #length() {
    const [first, second] = [this.points[0], this.points[1] ?? this.at];
    return Math.hypot(second[0] - first[0], second[1] - first[1]);
  }

  #draw() {
    const [x, y] = this.at;
    const arm = this.viewer.box[2] / 40;
    const cross = `M${x - arm} ${y}H${x + arm}M${x} ${y - arm}V${y + arm}`;
    this.line.setAttribute("d", `${cross}${this.points.length ? pathThrough([this.points[0], this.at]) : ""}`);
    this.words.textContent = this.points.length
      ? `${digits(this.#length(), 4)} px; set the second point (click, or arrows and Enter)`
      : "Set the first point (click, or arrows and Enter)";
  }

  key(event) {
    const step = event.shiftKey ? 1 : this.viewer.box[2] / STEPS;
    const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
    if (moves[event.key]) this.move(this.at.map((value, axis) => value + moves[event.key][axis]));
    else if (event.key === "Enter" && !event.target.closest("button")) this.set();
    else if (event.key === "Escape") this.end(null);
    else return false;
    event.preventDefault();
    return true;
  }
}
