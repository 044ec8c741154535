// The live page: which view is open, which sample is looked at, and when to ask again.
import { askAgain } from "./ask.js";
import { fetchAhead } from "./charts.js";
import { count, digits, make, options } from "./words.js";
import * as now from "./now.js";
import * as population from "./population.js";
import * as enough from "./enough.js";
import * as border from "./border.js";
import * as samples from "./samples.js";
import * as sequences from "./sequences.js";
import * as compare from "./compare.js";
import * as trouble from "./trouble.js";
import * as takeaway from "./takeaway.js";

const VIEWS = { now, population, enough, border, samples, sequences, compare, trouble, takeaway };
const POLL_MS = 5000;
const LEAST_PAUSE_MS = 300;
const MOST_PAUSE_MS = 900;
const FOLLOW = "";

const by = (id) => document.getElementById(id);

// what the views share; `sample` follows the microscope until somebody chooses one
export const page = {
  now: null,
  chosen: FOLLOW,
  sample: null,
  micrograph: null, // one that was chosen to be looked at, instead of the last
  settings: { descriptor: "equivalent_diameter_nm", weighting: "number", corrected: false, target: 2 },
  open(view) {
    location.hash = view;
  },
  look(id) {
    page.micrograph = id;
    if (viewName() === "now") update();
    else page.open("now");
  },
  refresh: () => update(),
  // what the service told of a sample together with its state, if it was asked in these words
  told(name, sample, query) {
    const { also } = page.now;
    return query === page.query && also.sample === sample ? also[name] : undefined;
  },
  query: null,
};

const viewName = () => (location.hash.slice(1) in VIEWS ? location.hash.slice(1) : "now");
const sections = {};
let running = null;
let asked = null; // the question that page.now answers

function build() {
  for (const [name, view] of Object.entries(VIEWS)) {
    const link = make("a", { href: `#${name}`, id: `to-${name}` }, view.title);
    by("views").append(link);
    sections[name] = make("section", { id: `view-${name}`, className: `view ${name}`, "aria-label": view.title, hidden: true });
    by("main").append(sections[name]);
    view.mount(sections[name], page);
  }
  by("to-sequences").hidden = true;
}

function showView() {
  const current = viewName();
  for (const [name, section] of Object.entries(sections)) {
    section.hidden = name !== current;
    by(`to-${name}`).toggleAttribute("aria-current", false);
  }
  const link = by(`to-${current}`);
  link.setAttribute("aria-current", "page");
  link.scrollIntoView({ block: "nearest", inline: "center" });
  document.title = `${VIEWS[current].title} – temwatch`;
  update();
}

// only the open view asks for data, and a newer question ends an older one
async function update() {
  running?.abort();
  const mine = (running = new AbortController());
  const section = sections[viewName()];
  try {
    if (page.now) await VIEWS[viewName()].update(section, page, mine.signal);
  } catch (error) {
    if (error.name === "AbortError") return;
    asked = null; // the next answer is drawn even if it is the same
    warn(error.message);
  }
}

function warn(text = null) {
  by("alert").hidden = !text;
  by("alert").textContent = text ?? "";
}

let lastSaid = null;
let askedFor;
async function refresh() {
  const query = VIEWS[viewName()].wants?.(page) ?? "";
  const path = `api/now?${query}${page.chosen && query ? `&sample=${encodeURIComponent(page.chosen)}` : ""}`;
  let fresh;
  try {
    fresh = await askAgain(path, path === asked ? page.now : null);
  } catch (error) {
    state("trouble", error.message);
    return;
  }
  asked = path;
  if (!fresh) {
    show(page.now);
    if (!VIEWS[viewName()].wants) await update(); // it shows what that answer does not hold
    return;
  }
  if (fresh.version !== document.body.dataset.version) location.reload();
  page.now = fresh;
  page.query = query;
  const followed = fresh.last?.sample ?? fresh.samples[0]?.sample ?? null;
  page.sample = fresh.samples.some((one) => one.sample === page.chosen) ? page.chosen : followed;
  const entries = fresh.samples.map((one) => [one.sample, one.sample]);
  options(by("sample"), [[FOLLOW, followed && !page.chosen ? `${followed} · following` : "Follow the microscope"], ...entries], page.chosen);
  show(fresh);
  say(fresh.last);
  if (fresh.recent.some((one) => one.sample === page.sample && one.frame !== null)) by("to-sequences").hidden = false;
  else if (askedFor !== page.sample) {
    askedFor = page.sample; // once a sample, not with every micrograph: five pages would ask
    by("to-sequences").hidden = !(await sequences.exist(page.sample));
  }
  await update();
}

// how the service stands, in the head of the page
function show({ samples: all, trouble: found, queue }) {
  const files = all.reduce((sum, one) => sum + one.refused + one.failed, 0);
  const badge = found.length + files;
  by("to-trouble").dataset.badge = badge ? count(badge) : "";
  by("to-trouble").setAttribute("aria-label", badge ? `${trouble.title}, ${badge}` : trouble.title);
  if (found.length) state("trouble", found[0].what);
  else if (queue.waiting) state("busy", `${count(queue.waiting)} waiting`);
  else state("ready", "watching");
  warn("");
}

function say(last) {
  if (!last || last.id === lastSaid) return;
  if (lastSaid !== null) {
    by("said").textContent = `${last.name}: ${last.particles} particles, mean ${digits(last.mean_equivalent_diameter_nm, 3)} nanometres`;
  }
  lastSaid = last.id;
}

function state(kind, words) {
  by("state").className = kind;
  by("state-words").textContent = words;
}

// at once for the first event, then with pauses: longer ones where the service takes longer to answer
let due = 0;
let heard = 0;
let planned = false;
let asking = false;
let again = false;
function soon() {
  if (asking) again = true; // what comes while an answer is on its way asks once more
  if (planned || asking || document.hidden) return;
  planned = true;
  setTimeout(async () => {
    [planned, asking, again] = [false, true, false];
    const started = (heard = performance.now());
    await refresh().catch((error) => warn(error.message));
    due = performance.now() + Math.min(MOST_PAUSE_MS, Math.max(LEAST_PAUSE_MS, 3 * (performance.now() - started)));
    asking = false;
    if (again) soon();
  }, Math.max(0, due - performance.now()));
}

function listen() {
  const events = new EventSource("api/events");
  events.addEventListener("open", soon);
  events.addEventListener("micrograph", soon);
  events.addEventListener("error", () => {
    soon();
    if (events.readyState !== EventSource.CLOSED) return; // the browser tries again by itself
    events.close();
    setTimeout(listen, 3000);
  });
}

function theme(name) {
  document.documentElement.dataset.theme = name;
  by("theme").setAttribute("aria-pressed", String(name === "light"));
  localStorage.setItem("theme", name);
}

function keys(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea, dialog")) return;
  const shown = Object.keys(VIEWS).filter((name) => !by(`to-${name}`).hidden);
  if (/^[1-9]$/.test(event.key) && shown[event.key - 1]) page.open(shown[event.key - 1]);
  else if (event.key.toLowerCase() === "l") by("theme").click();
  else VIEWS[viewName()].key?.(event, page);
}

build();
theme(localStorage.getItem("theme") ?? "dark");
by("theme").addEventListener("click", () => {
  theme(document.documentElement.dataset.theme === "dark" ? "light" : "dark");
  update();
});
by("sample").addEventListener("change", (event) => {
  page.chosen = event.target.value;
  page.micrograph = null;
  refresh();
});
addEventListener("hashchange", showView);
addEventListener("keydown", keys);
document.addEventListener("visibilitychange", soon);
showView();
listen();
setTimeout(fetchAhead, 50);
// what comes without an event, such as a share that is down
setInterval(() => performance.now() - heard > POLL_MS / 2 && soon(), POLL_MS);
