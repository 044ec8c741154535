// The service's token: asked for once a browser session, and sent with everything that is posted.
import { post } from "./api.js";
import { make } from "./dom.js";

let token = sessionStorage.getItem("token") ?? "";
let dialog;
let asking = null; // the question that is open

// a link of `temwatch status --link`: its fragment never reaches a server, and leaves the address at once
function takeFromLink() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (!given) return;
  token = given;
  sessionStorage.setItem("token", token);
  history.replaceState(null, "", location.pathname + location.search);
}
takeFromLink();
addEventListener("hashchange", takeFromLink);

// null where the user gave no token
export async function postWithToken(path, body, headers, signal) {
  if (!token && !(await askForToken())) return null;
  try {
    return await post(path, body, { ...headers, Authorization: `Bearer ${token}` }, signal);
  } catch (error) {
    if (error.status !== 401) throw error;
    token = "";
    sessionStorage.removeItem("token");
    return (await askForToken(error.message)) ? postWithToken(path, body, headers, signal) : null;
  }
}

function askForToken(remark = "`temwatch status --link`, on the machine of the service, prints a link that brings it.") {
  asking ??= ask(remark).finally(() => { asking = null; });
  return asking;
}

function ask(remark) {
  if (!dialog) {
    dialog = make("dialog", { "aria-label": "Service token" });
    document.body.append(dialog);
  }
  return new Promise((resolve) => {
    const input = make("input", { type: "password", autocomplete: "off", required: true, id: "token" });
    const form = make("form", { method: "dialog", onsubmit: () => {
      token = input.value.trim();
      if (token) sessionStorage.setItem("token", token);
    } },
      make("h2", {}, "Service token"), make("p", { id: "token-remark" }, remark), make("label", { htmlFor: "token" }, "Token"), input,
      make("div", { className: "line" }, make("button", { type: "submit" }, "Continue"),
        make("button", { type: "button", className: "quiet", onclick: () => dialog.close() }, "Cancel")));
    dialog.replaceChildren(form);
    dialog.addEventListener("close", () => resolve(Boolean(token)), { once: true });
    dialog.showModal();
  });
}
