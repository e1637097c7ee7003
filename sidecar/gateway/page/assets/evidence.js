// What the judgements say: nDCG of each mode, and the settings that they would choose.

import { api } from "./api.js";
import { announce, h, notice, problem } from "./dom.js";
import { MODES, count, plural } from "./format.js";
import { SETTINGS, confirmWrite } from "./settings.js";

const FEW = 20;
const LEAST = 10; // as the sidecar's
const TUNING = `Takes at least ${LEAST} queries with a relevant document. Searches each judged query once, ranks its hits under some 300 settings, and shows what would change. Nothing is written without a click.`;

export function evidence(index, judgements, queries, app) {
  const number = `${plural(judgements, "judgement")} on ${plural(queries, "query", "queries")}.`;
  return [
    working("What the modes are worth", number, "Measure the modes", { index, app, begin: api.measure, shown: modes, enabled: judgements }),
    working("Tune from these", TUNING, "Find better settings", { index, app, begin: api.tune, shown: choice, enabled: judgements }),
  ];
}

// A card whose button begins work of many searches; while they go on it stops them.
function working(title, said, label, { index, app, begin, shown, enabled }) {
  const out = h("div", {});
  let running = null;
  const button = h("button", { type: "button", class: "primary", disabled: !enabled, on: { click: () => (running ? running.abort() : start()) } }, label);

  async function start() {
    running = new AbortController();
    button.textContent = "Stop";
    const bar = h("progress", { "aria-label": title });
    const words = h("p", { class: "said" }, "Searching…");
    out.replaceChildren(words, bar);
    try {
      const found = await begin({ index }, running.signal, ({ done, of }) => {
        if (!out.isConnected) running.abort(); // another grade, another panel
        words.textContent = `${count(done)} of ${plural(of, "query", "queries")}`;
        bar.max = of;
        bar.value = done;
      });
      out.replaceChildren(...shown(found, app, index));
      announce(`${title}: done`);
    } catch (error) {
      if (error.name === "AbortError") out.replaceChildren();
      else out.replaceChildren(problem(error));
      app.failed(error);
    }
    running = null;
    button.textContent = label;
  }
  return h("section", { class: "card pad" }, h("h2", {}, title), h("p", { class: "said" }, said), out, h("div", { class: "actions" }, button));
}

const plusMinus = (value, error) => `${value.toFixed(3)}${error === null ? "" : ` ± ${error.toFixed(3)}`}`;

function table(heads, rows) {
  return h("table", { class: "changes" }, h("thead", {}, h("tr", {}, heads.map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, rows.map(([name, ...cells]) => h("tr", {}, h("th", { scope: "row" }, name), cells.map((cell) => h("td", {}, cell))))));
}

const gain = ({ difference, p_value: p }) => `${difference >= 0 ? "+" : ""}${difference.toFixed(3)}, p ${p < 0.01 ? "< 0.01" : p.toFixed(2)}`;

function modes(found) {
  const rows = found.modes.map(({ mode, ndcg, standard_error: error, against_bm25: against }) => [MODES[mode].label, plusMinus(ndcg, error), against ? gain(against) : "–"]);
  return [
    table(["mode", "nDCG@10", "over BM25"], rows),
    h("p", { class: "said" }, `${plural(found.queries, "query", "queries")} with a relevant document; ± is the standard error. `, found.queries < FEW && "Fewer than 20 queries decide little."),
  ];
}

// What would change, what it is worth on queries that did not choose it, and the click that writes it.
function choice(found, app, index) {
  const old = named(found.before);
  const now = named(found.choice);
  const rows = Object.entries(SETTINGS).map(([name, { label }]) => [label, String(old[name]), old[name] === now[name] ? "the same" : String(now[name])]);
  const { a, b } = found.held_out;
  const write = h("button", { type: "button", class: "primary", on: { click: () => confirmWrite(index, old, now, app) } }, "Write to the index…");
  return [
    table(["setting", "now", "chosen"], [...rows, ["nDCG@10", plusMinus(a, found.errors[0]), plusMinus(b, found.errors[1])], ["gain", "", gain(found.held_out)]]),
    h("p", { class: "said" }, `${plural(found.queries, "query", "queries")}; the gain is measured on queries that did not choose: each fifth is ranked with what the others chose (${agreement(found)}).`),
    found.offered ? h("p", { class: "fine" }, found.reason) : notice(found.reason),
    found.offered && h("div", { class: "actions" }, write),
  ].filter(Boolean);
}

const named = (setting) => Object.fromEntries(Object.entries(SETTINGS).map(([name, { option }]) => [name, setting[option]]));

function agreement({ folds, choice: chosen }) {
  const same = folds.filter((fold) => JSON.stringify(fold) === JSON.stringify(chosen)).length;
  return `${same} of ${folds.length} chose the same as all together`;
}
