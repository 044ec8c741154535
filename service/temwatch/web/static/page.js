// The live page: asks the JSON API when an event says that a micrograph is finished.
const by = (id) => document.getElementById(id);
const number = (value, digits) => (value === null || value === undefined ? "–" : value.toFixed(digits));

async function get(path) {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}

function row(cells, kinds = []) {
  const line = document.createElement("tr");
  cells.forEach((text, index) => {
    const cell = document.createElement("td");
    cell.textContent = text;
    if (kinds[index]) cell.className = kinds[index];
    line.append(cell);
  });
  return line;
}

function showLast(last) {
  by("empty").hidden = true;
  by("numbers").hidden = false;
  by("name").textContent = last.micrograph;
  by("particles").textContent = last.particles;
  by("diameter").textContent = number(last.mean_equivalent_diameter_nm, 2);
  by("outcome").textContent = last.status === "done" ? `${number(last.seconds, 1)} s of analysis` : `${last.status}: ${last.reason}`;
  const overlay = by("overlay");
  overlay.hidden = last.status !== "done";
  if (last.status === "done") {
    overlay.alt = `${last.micrograph} with the outlines of its particles`;
    overlay.src = `api/micrographs/${last.id}/overlay.png`;
  }
}

async function refresh() {
  const [recent, samples] = await Promise.all([get("api/micrographs?limit=12"), get("api/samples")]);
  if (recent.length) showLast(recent[0]);
  by("recent").replaceChildren(...recent.map((m) => row(
    [m.micrograph, m.status, m.particles, number(m.mean_equivalent_diameter_nm, 2), number(m.seconds, 1), m.reason ?? ""],
    ["", m.status])));
  const summaries = await Promise.all(samples.map((s) => get(`api/samples/${encodeURIComponent(s.sample)}/summary`)));
  by("samples").replaceChildren(...samples.map((s, index) => {
    const size = summaries[index].statistics.equivalent_diameter_nm ?? {};
    const round = summaries[index].statistics.circularity ?? {};
    return row([s.sample, s.micrographs, s.particles, `${number(size.mean, 2)} ± ${number(size.sd, 2)}`,
      number(size.median, 2), number(round.mean, 3), s.refused, s.failed]);
  }));
}

async function state() {
  const line = by("state");
  try {
    const answer = await fetch("readyz");
    const body = await answer.json();
    line.textContent = answer.ok ? "watching" : body.missing.join("; ");
    line.className = answer.ok ? "" : "trouble";
  } catch {
    line.textContent = "the service does not answer";
    line.className = "trouble";
  }
}

let waiting = false;
function soon() {
  if (waiting) return;
  waiting = true;
  setTimeout(() => { waiting = false; refresh().catch(state); }, 50);
}

soon();
const events = new EventSource("api/events");
events.addEventListener("micrograph", soon);
events.addEventListener("open", () => { state(); soon(); });
events.addEventListener("error", state);
setInterval(state, 5000);
