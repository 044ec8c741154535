// How numbers and times are written, and elements made.
const THIN = "\u2009";

export const DESCRIPTORS = {
  equivalent_diameter_nm: "Equivalent diameter",
  feret_min_nm: "Minimum Feret diameter",
  feret_max_nm: "Maximum Feret diameter",
  area_nm2: "Area",
  circularity: "Circularity",
  aspect_ratio: "Aspect ratio",
};

export const REASONS = {
  touches_border: "touches the border",
  too_small: "too small",
  low_convexity: "clump, not convex enough",
  too_many_holes: "clump with too many holes",
  not_separable: "clump that could not be separated",
};

export function count(number) {
  return number === null || number === undefined ? "–" : String(number).replace(/\B(?=(\d{3})+$)/g, THIN);
}

// a forecast, to the two digits that it can have at most
export const rough = (number) => count(Number(number.toPrecision(2)));

export const plural = (number, one, many) => `${count(number)} ${number === 1 ? one : many}`;

// four digits, or as many as the interval allows: two digits of the half-width
export function figure(known, unit = "") {
  if (!known || known.value === null) return "–";
  const tail = unit ? `${THIN}${unit}` : "";
  if (!known.half_width) return digits(known.value) + tail;
  const places = decimals(known.half_width);
  return `${known.value.toFixed(places)} ± ${known.half_width.toFixed(places)}${tail}`;
}

export function digits(value, most = 4) {
  if (value === null || value === undefined) return "–";
  if (value === 0) return "0";
  const places = Math.max(0, most - 1 - Math.floor(Math.log10(Math.abs(value))));
  return value.toFixed(Math.min(places, 8)).replace("-", "−");
}

// an edge of a bar, without zeros at its end
export const edge = (value) => String(Number(value.toPrecision(6))).replace("-", "−");

export function decimals(halfWidth) {
  return Math.min(8, Math.max(0, 1 - Math.floor(Math.log10(Number(halfWidth.toPrecision(2))))));
}

export const percent = (value) => (value === null || value === undefined ? "–" : `${digits(value, 2)}${THIN}%`);

export function seconds(value) {
  if (value === null || value === undefined) return "–";
  return value < 100 ? value.toFixed(1) : count(Math.round(value));
}

export function probability(p, name = "p = ") {
  return p < 0.001 ? `${name.replace("=", "<") || "< "}0.001` : `${name}${p.toFixed(p < 0.1 ? 3 : 2)}`;
}

export const clock = (text) => (text ? new Date(text).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" }) : "");

export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name in element && !name.includes("-") && name !== "list") element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export function table(caption, head, rows, { numbers = true } = {}) {
  return make("div", { className: "scroll", tabIndex: 0, role: "region", "aria-label": caption },
    make("table", { className: numbers ? "numbers" : "" },
      make("caption", { className: "unseen" }, caption),
      make("thead", {}, make("tr", {}, ...head.map((text) => make("th", { scope: "col" }, text)))),
      make("tbody", {}, ...rows.map(([first, ...rest]) => make("tr", {},
        make("th", { scope: "row" }, first), ...rest.map((cell) => make("td", {}, cell)))))));
}

export const empty = (text) => make("p", { className: "empty" }, text);

export function options(select, entries, chosen) {
  const wanted = JSON.stringify([entries, chosen]);
  if (select.dataset.shown === wanted) return;  // an open list must not be rebuilt under the pointer
  select.replaceChildren(...entries.map(([value, text]) => make("option", { value, selected: value === chosen }, text)));
  select.dataset.shown = wanted;
}
