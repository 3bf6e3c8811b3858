// Makes elements of the page. Texts become text nodes, never markup, so that a name may hold anything.

const isContent = (child) => child !== null && child !== undefined && child !== false && child !== "";
const byId = (id) => document.getElementById(id);

function el(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name in node && !name.startsWith("aria") && name !== "style") node[name] = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter(isContent));
  return node;
}

function fill(id, ...children) {
  byId(id).replaceChildren(...children.flat(Infinity).filter(isContent));
}

function options(select, choices, chosen) {
  select.replaceChildren(...choices.map(([value, text]) => el("option", { value, selected: value === chosen }, text)));
}

function drop(id) {
  byId(id).remove();
}

function table(headings, rows, properties = {}) {
  return el("div", { class: "wide", tabIndex: 0, role: "region", "aria-label": properties.label ?? "Table" },
    el("table", { class: properties.class ?? "" },
      el("thead", {}, el("tr", {}, headings.map((text) => el("th", { scope: "col" }, text)))),
      el("tbody", {}, rows.map((row) => el("tr", {}, row.map((content, place) =>
        place === 0 ? el("th", { scope: "row" }, content) : el("td", {}, content)))))));
}

// A command line with a button that copies it.
function commandLine(command, label) {
  const code = el("code", {}, command);
  const button = el("button", { type: "button", class: "copy", "aria-label": `Copy: ${label}`, onclick: () => copy(code, button) }, "Copy");
  return el("div", { class: "command" }, el("pre", { tabIndex: 0 }, code), button);
}

async function copy(code, button) {
  try {
    await navigator.clipboard.writeText(code.textContent);
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(code);
    button.textContent = "Selected";
  }
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
}

function trialButton(id, text = id) {
  return el("button", { type: "button", class: "trial-link", onclick: () => showDetail(id) }, text);
}
