// The live page: the open view, the chosen sample, and when to ask the service again.
import { chosenFilter, getIfChanged, withFilter } from "./api.js";
import { prefetchPlotly } from "./charts.js";
import { make, options } from "./dom.js";
import { count, digits, plural } from "./format.js";
import * as live from "./live.js";
import * as population from "./population.js";
import * as convergence from "./convergence.js";
import * as border from "./border.js";
import * as compare from "./compare.js";
import * as sequences from "./sequences.js";
import * as manual from "./manual.js";
import * as problems from "./problems.js";
import * as downloads from "./downloads.js";
import * as history from "./history.js";
import * as decisions from "./decide.js";
import * as filter from "./filter.js";

// each view exports `title`, `mount(section, page)`, `update(section, page, signal)`; where it shows parts of
// the service's state, `stateQuery(page)` names them; where it has keys of its own, `key(event)` handles them
const VIEWS = { live, population, convergence, border, compare, sequences, manual, problems, downloads, history };
const FORMER_NAMES = { now: "live", enough: "convergence", samples: "compare", trouble: "problems", takeaway: "downloads" }; // in bookmarks
const POLL_MS = 5000;
const MIN_PAUSE_MS = 300;
const MAX_PAUSE_MS = 900;
const FOLLOW = "";

const byId = (id) => document.getElementById(id);

// what the views share; without a choice, `sample` follows the microscope
export const page = {
  state: null,
  chosenSample: FOLLOW,
  sample: null,
  chosenMicrograph: null, // shown in place of the last one
  chosenParticle: null, // to be marked on it, once
  settings: { descriptor: "equivalent_diameter_nm", weighting: "number", corrected: false, target: 2, axis: {} },
  open(view) {
    location.hash = view;
  },
  showMicrograph(id, particle = null) {
    page.chosenMicrograph = id;
    page.chosenParticle = particle;
    if (currentView() === "live") update();
    else page.open("live");
  },
  // shown until somebody goes back to the live view
  pin(id) {
    page.chosenMicrograph = id;
  },
  decisions: 0, // grows whenever somebody may have decided something
  decided() {
    page.decisions += 1;
    nextAt = 0;
    scheduleRefresh();
  },
  refresh: () => update(),
  // a part of the state, if the state was requested with this query and is about this sample
  included(name, sample, query) {
    const { also } = page.state;
    return query === page.query && chosenFilter() === page.filter && also.sample === sample ? also[name] : undefined;
  },
  query: null,
  filter: null,
};

function currentView() {
  const [name] = location.hash.slice(1).split("?");
  return name in VIEWS ? name : FORMER_NAMES[name] ?? "live";
}

const sections = {};
let running = null;
let requestedPath = null; // the request that page.state answers

function build() {
  for (const [name, view] of Object.entries(VIEWS)) {
    const link = make("a", { href: `#${name}`, id: `to-${name}` }, view.title);
    byId("views").append(link);
    sections[name] = make("section", { id: `view-${name}`, className: `view ${name}`, "aria-label": view.title, hidden: true });
    byId("main").append(sections[name]);
    view.mount(sections[name], page);
  }
  byId("to-sequences").hidden = true;
}

function showView() {
  const current = currentView();
  for (const [name, section] of Object.entries(sections)) {
    section.hidden = name !== current;
    byId(`to-${name}`).toggleAttribute("aria-current", false);
  }
  const link = byId(`to-${current}`);
  link.setAttribute("aria-current", "page");
  link.scrollIntoView({ block: "nearest", inline: "center" });
  document.title = `${VIEWS[current].title} – temwatch`;
  update();
}

// only the open view requests data, and a newer update aborts the one before it
async function update() {
  running?.abort();
  const mine = (running = new AbortController());
  const name = currentView();
  try {
    if (page.state) await VIEWS[name].update(sections[name], page, mine.signal);
  } catch (error) {
    if (error.name === "AbortError") return;
    requestedPath = null; // so that the next response is drawn even if nothing changed
    warn(error.message);
  }
}

function warn(text = "") {
  byId("alert").hidden = !text;
  byId("alert").textContent = text;
}

let sequencesKnownOf;
async function refresh() {
  const view = VIEWS[currentView()];
  const query = view.stateQuery?.(page) ?? "";
  const chosen = chosenFilter();
  const path = withFilter(`api/now?${query}${page.chosenSample && query ? `&sample=${encodeURIComponent(page.chosenSample)}` : ""}`);
  let fresh;
  try {
    fresh = await getIfChanged(path, path === requestedPath ? page.state : null);
  } catch (error) {
    showStatus("problem", error.message);
    return;
  }
  requestedPath = path;
  if (!fresh) {
    showHeader(page.state);
    showSample(page.state);
    filter.update();
    if (!view.stateQuery) await update(); // it shows more than the state holds
    return;
  }
  if (fresh.version !== document.body.dataset.version) location.reload();
  page.state = fresh;
  page.query = query;
  page.filter = chosen;
  showSample(fresh);
  showHeader(fresh);
  filter.update();
  announce(fresh.last);
  if (fresh.recent.some((one) => one.sample === page.sample && one.frame !== null)) byId("to-sequences").hidden = false;
  else if (sequencesKnownOf !== page.sample) {
    sequencesKnownOf = page.sample; // once per sample, not with every micrograph
    byId("to-sequences").hidden = !(await sequences.exist(page.sample));
  }
  await update();
}

// also where the state is the same as before: another sample may have been chosen since
function showSample({ last, samples: all }) {
  const followed = last?.sample ?? all[0]?.sample ?? null;
  page.sample = all.some((one) => one.sample === page.chosenSample) ? page.chosenSample : followed;
  const entries = all.map((one) => [one.sample, one.name]);
  options(byId("sample"), [[FOLLOW, followed && !page.chosenSample ? `${followed} · following` : "Follow the microscope"], ...entries], page.chosenSample);
}

function showHeader({ files_in_trouble: files, trouble, queue, edited_tables: edited, writing_workbook: workbook }) {
  const badge = trouble.length + edited + files;
  byId("to-problems").dataset.badge = badge ? count(badge) : "";
  byId("to-problems").setAttribute("aria-label", badge ? `${problems.title}, ${badge}` : problems.title);
  if (trouble.length) showStatus("problem", trouble[0].what);
  else if (queue.waiting) showStatus("busy", `${count(queue.waiting)} queued`);
  else if (queue.measured_again) showStatus("busy", `measuring ${count(queue.measured_again)} again`);
  else if (workbook) showStatus("busy", `writing the workbook of ${workbook}`);
  else showStatus("ready", "watching");
  warn();
}

let lastAnnounced = null;
function announce(last) {
  if (!last || last.id === lastAnnounced) return;
  if (lastAnnounced !== null) {
    byId("announcements").textContent = `${last.name}: ${plural(last.particles, "particle")}, mean ${digits(last.mean_equivalent_diameter_nm, 3)} nanometres`;
  }
  lastAnnounced = last.id;
}

function showStatus(kind, words) {
  byId("state").className = kind;
  byId("state-words").textContent = words;
}

// the first event refreshes at once, later ones after a pause: a longer one where the service is slow
let nextAt = 0;
let refreshedAt = 0;
let scheduled = false;
let refreshing = false;
let again = false;
function scheduleRefresh() {
  if (refreshing) again = true; // an event during a refresh causes one more
  if (scheduled || refreshing || document.hidden) return;
  scheduled = true;
  setTimeout(async () => {
    [scheduled, refreshing, again] = [false, true, false];
    const started = (refreshedAt = performance.now());
    await refresh().catch((error) => warn(error.message));
    nextAt = performance.now() + Math.min(MAX_PAUSE_MS, Math.max(MIN_PAUSE_MS, 3 * (performance.now() - started)));
    refreshing = false;
    if (again) scheduleRefresh();
  }, Math.max(0, nextAt - performance.now()));
}

function listen() {
  const events = new EventSource("api/events");
  events.addEventListener("open", page.decided); // what was missed is not known
  events.addEventListener("decision", page.decided);
  events.addEventListener("micrograph", scheduleRefresh);
  events.addEventListener("picture", scheduleRefresh);
  events.addEventListener("error", () => {
    scheduleRefresh();
    if (events.readyState !== EventSource.CLOSED) return; // the browser reconnects automatically
    events.close();
    setTimeout(listen, 3000);
  });
}

// that of the system until somebody chooses one
const lightSystem = matchMedia("(prefers-color-scheme: light)");
function setTheme(name = localStorage.getItem("theme") ?? (lightSystem.matches ? "light" : "dark")) {
  document.documentElement.dataset.theme = name;
  byId("theme").setAttribute("aria-pressed", String(name === "light"));
}

// where text or a number is typed every key is taken, in other controls letters and arrows
const TYPED = "input:not([type=checkbox], [type=radio], [type=file]), textarea, dialog";

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest(TYPED)) return;
  const view = /^[1-9]$/.test(event.key) ? Object.keys(VIEWS)[event.key - 1] : null; // also beside views that are hidden
  if (view) {
    event.preventDefault();
    if (!byId(`to-${view}`).hidden) page.open(view);
  } else if (event.target.closest("input, select")) return;
  else if (event.key.toLowerCase() === "l") byId("theme").click();
  else if (event.key.toLowerCase() === "h") page.open("history");
  else if (event.key.toLowerCase() === "f") {
    event.preventDefault();
    filter.toggle();
  }
  else if (event.key.toLowerCase() === "u" && decisions.undoLast()) event.preventDefault();
  else VIEWS[currentView()].key?.(event);
}

build();
decisions.mount(page);
filter.mount(page);
byId("filter-words").lastElementChild.addEventListener("click", filter.clear);
setTheme();
lightSystem.addEventListener("change", () => {
  setTheme();
  update();
});
byId("theme").addEventListener("click", () => {
  localStorage.setItem("theme", document.documentElement.dataset.theme === "dark" ? "light" : "dark");
  setTheme();
  update();
});
byId("sample").addEventListener("change", (event) => {
  page.chosenSample = event.target.value;
  page.chosenMicrograph = null;
  showSample(page.state);
  filter.update();
  refresh();
});
addEventListener("hashchange", () => {
  filter.readAddress();
  showView();
});
addEventListener("keydown", onKey);
document.addEventListener("visibilitychange", scheduleRefresh);
showView();
listen();
setTimeout(prefetchPlotly, 50);
// some changes come without an event, such as a share that is down
setInterval(() => performance.now() - refreshedAt > POLL_MS / 2 && scheduleRefresh(), POLL_MS);
