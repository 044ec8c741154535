// How numbers, units and times are written.
const THIN = "\u2009";

// name and words of every descriptor that has a population
export const DESCRIPTORS = JSON.parse(document.body.dataset.descriptors);

export const REASONS = {
  touches_border: "touches the border",
  too_small: "too small",
  low_convexity: "clump, not convex enough",
  too_many_holes: "clump with too many holes",
  not_separable: "clump that could not be separated",
  low_confidence: "pale, or the network doubts it",
};

export function count(number) {
  return number === null || number === undefined ? "–" : String(number).replace(/\B(?=(\d{3})+$)/g, THIN);
}

// a forecast, which has at most two significant digits
export const rough = (number) => count(Number(number.toPrecision(2)));

export const capitalised = (words) => words[0].toUpperCase() + words.slice(1);

export const plural = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;

// to two significant digits of the half-width of its interval; without one, three digits
export function estimate(known) {
  if (!known || known.value === null) return "–";
  return known.half_width ? signed(known.value, known.half_width) : digits(known.value, 3);
}

export const FEWEST_FIELDS = 4; // as population.py has it

// the 95 % interval of a number, apart from it
export function interval(known) {
  if (!known?.half_width) return "–";
  return [-1, 1].map((side) => signed(known.value + side * known.half_width, known.half_width)).join(" to ");
}

// where an interval comes from, or why there is none
export function intervalSource(fields) {
  return fields >= FEWEST_FIELDS
    ? `95${THIN}% intervals from a bootstrap over ${fields} independent fields of view.`
    : `Too few fields of view for an interval: ${fields} of at least ${FEWEST_FIELDS} independent ones. Frames of one sequence are one field.`;
}

const signed = (value, halfWidth) => value.toFixed(decimals(halfWidth)).replace("-", "−");

export function digits(value, significant = 4) {
  if (value === null || value === undefined) return "–";
  if (value === 0) return "0";
  const places = Math.max(0, significant - 1 - Math.floor(Math.log10(Math.abs(value))));
  return value.toFixed(Math.min(places, 8)).replace("-", "−");
}

// an edge of a histogram bin, without trailing zeros
export const edge = (value) => String(Number(value.toPrecision(6))).replace("-", "−");

function decimals(halfWidth) {
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

// what is known of a particle; confidence and contrast only where they were measured
export const measuredInWords = (one) => [`${digits(one.equivalent_diameter_nm, 3)} nm`,
  ...["circularity", "confidence", "contrast"].filter((name) => typeof one[name] === "number").map((name) => `${name} ${digits(one[name], 2)}`)].join(" · ");
