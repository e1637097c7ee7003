// The numbers of an index that may change without encoding it again, and the click that writes them.

import { api } from "./api.js";
import { announce, dialog, h, problem } from "./dom.js";

// What was just written, once: the old values are nowhere else.
export function written(app) {
  const said = app.wrote && h("p", { class: "fine written" }, app.wrote);
  app.wrote = "";
  return said || null;
}

export const DEPTH = 200;
export const SETTINGS = {
  boost: { label: "Sparse boost", hint: "factor of the term weights beside BM25", min: 0.05, max: 4, step: 0.05, option: "sparse_boost" },
  weight: { label: "Share of MaxSim", hint: "in the final score; the first stage has the rest", min: 0, max: 1, step: 0.05, option: "rerank_weight" },
  window: { label: "Window", hint: "best hits that MaxSim reorders", min: 10, max: DEPTH, step: 10, option: "rerank_window" },
};

// The change in numbers, before anything is written.
export function confirmWrite(index, old, now, app) {
  const changes = Object.entries(SETTINGS).filter(([name]) => old[name] !== now[name]);
  const said = h("div", {});
  const send = async () => {
    const given = Object.fromEntries(Object.entries(SETTINGS).map(([name, { option }]) => [option, { old: old[name], new: now[name] }]));
    try {
      await api.settings({ index, ...given });
      box.close();
      app.wrote = `Written to ${index}: ${changes.map(([name, { label }]) => `${label} ${old[name]} → ${now[name]}`).join(", ")}.`;
      announce(app.wrote);
      app.rerun();
    } catch (error) {
      said.replaceChildren(problem(error));
    }
  };
  const box = dialog(
    `Write to ${index}?`, {},
    h("table", { class: "changes" }, h("thead", {}, h("tr", {}, ["setting", "now", "then"].map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", {}, changes.map(([name, { label }]) => h("tr", {}, h("th", { scope: "row" }, label), h("td", {}, String(old[name])), h("td", {}, String(now[name])))))),
    h("p", { class: "small muted" }, "Every search that names no values of its own will use these. Documents stay as they are."),
    said,
    h("div", { class: "actions" }, h("button", { type: "button", class: "secondary", on: { click: () => box.close() } }, "Cancel"), h("button", { type: "button", class: "primary", on: { click: send } }, "Write")),
  );
}
