// What somebody decides on the page: posted with the token, told in one line, and undone from there.
import { make } from "./dom.js";
import { postWithToken } from "./token.js";

let page;
let parts;
let undoable = []; // ids of the changes of the last decision

export const author = () => localStorage.getItem("by") ?? "";
export const setAuthor = (name) => localStorage.setItem("by", name.trim().slice(0, 100));

export function mount(shared) {
  page = shared;
  parts = {
    element: document.getElementById("told"),
    text: make("span", { role: "status", id: "told-words" }),
    undo: make("button", { type: "button", title: "Undo (U)", onclick: () => undoLast() }, "Undo"),
    close: make("button", { type: "button", className: "quiet", "aria-label": "Close", onclick: () => (parts.element.hidden = true) }, "×"),
  };
  parts.element.append(parts.text, parts.undo, parts.close);
}

// the answer, or null where nothing was decided; `words` tells of the answer
export async function decide(path, body, words, { complain = tell } = {}) {
  const by = author();
  try {
    const answer = await postWithToken(path, JSON.stringify({ ...body, ...(by ? { by } : {}) }), { "Content-Type": "application/json" });
    if (!answer) return null;
    undoable = answer.changes ?? []; // another reading of a file has none
    tell(words(answer));
    page.decided();
    return answer;
  } catch (error) {
    complain(error.message, true);
    return null;
  }
}

// stays until the next decision: nobody has to be quick
function tell(text, failed = false) {
  if (failed) undoable = [];
  const inside = document.activeElement?.closest(".selected-particles, #told"); // its buttons may vanish
  parts.element.hidden = false;
  parts.element.classList.toggle("failed", failed);
  parts.text.textContent = text;
  parts.undo.hidden = !undoable.length;
  parts.undo.textContent = "Undo";
  if (inside) (parts.undo.hidden ? parts.close : parts.undo).focus({ preventScroll: true });
}

export function undoLast() {
  if (!undoable.length) return false;
  undo(undoable);
  return true;
}

// what undid something can be undone as well
export async function undo(changes) {
  const answer = await decide("api/history/undo", { changes }, ({ changes: made }) => (made.length === 1 ? "Undone." : `${made.length} changes undone.`));
  if (answer) parts.undo.textContent = "Redo";
}
