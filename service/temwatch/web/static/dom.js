// Makes the elements of the page.
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
  if (select.dataset.shown === wanted) return;  // replacing the options would close an open list
  select.replaceChildren(...entries.map(([value, text]) => make("option", { value, selected: value === chosen }, text)));
  select.dataset.shown = wanted;
}
