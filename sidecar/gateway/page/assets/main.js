// The page: panels, the index, the query, and the keys that work everywhere.

import { access, api } from "./api.js";
import { byId, dialog, h, problem } from "./dom.js";
import { indexPanel } from "./indexpanel.js";
import { judgePanel } from "./judge.js";
import { searchPanel } from "./search.js";
import { remember, state } from "./state.js";
import { startTheme } from "./theme.js";
import { tryPanel } from "./try.js";
import { tunePanel } from "./tune.js";
import { openWhy } from "./why.js";

const PANELS = [searchPanel, judgePanel, tunePanel, indexPanel, tryPanel];
const KEYS = [
  ["/", "to the query"],
  ["Enter", "search; on a hit: why is it here?"],
  ["j k or ↑ ↓", "from hit to hit"],
  ["[ ]", "the panel before, the next one"],
  ["0 1 2 3, x", "in Judge: grade a hit, take the grade back"],
  ["Esc", "close"],
  ["?", "these keys"],
];

const app = {
  indices: [],
  clusters: [],
  wrote: "",
  get index() { return this.indices.find((one) => one.name === state.index); },
  open: openWhy,
  rerun() { current().panel.run(); },
  // Another query, in the panel that is open.
  ask(query) {
    byId("query").value = query;
    remember({ q: query });
    this.rerun();
  },
  failed(error) { if (error.status === 401) askAccess(error); },
  // What stands in a panel's place where there is no index to work with.
  nothing() {
    if (this.indices.length) return null;
    return h(
      "div", { class: "empty" },
      h("h2", {}, "There is no index yet"),
      h("p", {}, "Make one of a file with one JSON document a line:"),
      h("pre", { tabindex: "0" }, "cherche setup articles\ncherche feed articles articles.jsonl"),
    );
  },
};

const panels = PANELS.map((panel) => {
  const tab = h("button", { type: "button", role: "tab", id: `tab-${panel.id}`, "aria-controls": `panel-${panel.id}`, on: { click: () => show(panel.id) } }, panel.label);
  const root = h("section", { role: "tabpanel", id: `panel-${panel.id}`, "aria-labelledby": `tab-${panel.id}` });
  byId("tabs").append(tab);
  byId("main").append(root);
  panel.mount(root, app);
  return { ...panel, panel, tab, root };
});

function place(id) {
  const known = panels.some((one) => one.id === id) ? id : panels[0].id;
  remember({ panel: known });
  // The index that is searched there is another cluster's.
  byId("ask").classList.toggle("elsewhere", known === "try");
  for (const one of panels) {
    one.root.hidden = one.id !== known;
    one.tab.setAttribute("aria-selected", one.id === known);
    one.tab.tabIndex = one.id === known ? 0 : -1;
  }
}

function show(id) {
  place(id);
  return current().panel.run();
}

const current = () => panels.find((one) => one.id === state.panel);

function step(by, focus) {
  const next = panels[(panels.indexOf(current()) + by + panels.length) % panels.length];
  show(next.id);
  if (focus) next.tab.focus();
}

byId("tabs").addEventListener("keydown", (event) => {
  const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (by) step(by, true);
});

byId("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  remember({ q: byId("query").value });
  current().panel.run();
});

byId("index").addEventListener("change", () => {
  remember({ index: byId("index").value });
  current().panel.run();
});

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (event.target.matches("select, textarea, input:not([type=range])")) return;
  const act = { "/": () => byId("query").select(), "?": showKeys, "]": () => step(1), "[": () => step(-1) }[event.key];
  if (!act) return;
  event.preventDefault();
  act();
});

function showKeys() {
  dialog("Keyboard", {}, h("dl", { class: "keys" }, KEYS.map(([key, text]) => [h("dt", {}, h("kbd", {}, key)), h("dd", {}, text)])));
}

function askAccess(error) {
  if (document.querySelector("dialog[open]")) return;
  const token = h("input", { type: "password", autocomplete: "off", value: access.token });
  const cluster = h("input", { type: "password", autocomplete: "off", value: access.cluster });
  const box = dialog(
    "Access", {},
    h(
      "form",
      { on: { submit: (event) => { event.preventDefault(); access.token = token.value.trim(); access.cluster = cluster.value.trim(); box.close(); start(); } } },
      error?.status === 401 && problem(error),
      h("label", { class: "field" }, h("span", { class: "label" }, "Token of the sidecar (CHERCHE_TOKEN)"), token),
      h("label", { class: "field" }, h("span", { class: "label" }, "Your cluster credentials, such as Basic … or ApiKey …"), cluster),
      h("p", { class: "small muted" }, "Kept until this tab is closed; sent to this sidecar alone."),
      h("div", { class: "actions" }, h("button", { class: "secondary", type: "button", on: { click: () => box.close() } }, "Cancel"), h("button", { class: "primary", type: "submit" }, "Use")),
    ),
  );
}

async function start() {
  const select = byId("index");
  try {
    const found = await api.indices();
    app.indices = found.indices;
    app.clusters = found.clusters;
    byId("trouble").replaceChildren();
    byId("engine").textContent = `${found.engine.product} ${found.engine.version}`;
    const named = found.indices.map((one) => one.name);
    // An alias or a pattern is no index of the list, and can be searched.
    if (state.index && !named.includes(state.index)) named.push(state.index);
    if (!state.index && named.length) state.index = (found.indices.find((one) => one.model) ?? found.indices[0]).name;
    select.replaceChildren(...named.map((name) => h("option", { value: name }, name)));
    select.disabled = !named.length;
    select.value = state.index;
    byId("query").value = state.q;
    await show(state.panel);
    if (!state.q) byId("query").focus();
  } catch (error) {
    byId("trouble").replaceChildren(problem(error));
    app.failed(error);
    await show(state.panel); // whoever may not list indices may search one
  }
}

startTheme(byId("theme"));
byId("help").addEventListener("click", showKeys);
byId("access").addEventListener("click", () => askAccess());
// A panel asks once it is known what the index has.
place(state.panel);
remember({});
start();
