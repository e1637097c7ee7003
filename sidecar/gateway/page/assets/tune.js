// Sparse boost, share of MaxSim and window by hand: hits are reordered from the parts of one search.

import { api } from "./api.js";
import { announce, h, notice, problem } from "./dom.js";
import { rerankWords } from "./format.js";
import { partsOf, reordered } from "./fuse.js";
import { hitCard, mostOf, moved, walkable } from "./hits.js";
import { intro } from "./search.js";
import { DEPTH, SETTINGS, confirmWrite, written } from "./settings.js";
import { state } from "./state.js";

const SHOWN = 10;
const QUERY_MODES = { full: "all terms", pruned: "the heaviest terms", doc_only: "its own words by idf" };

export const tunePanel = {
  id: "tune",
  label: "Tune",
  mount(root, app) {
    const body = h("div", {});
    root.append(body);
    let queryMode = "full";
    let turns = 0;
    this.run = async () => {
      const turn = (turns += 1);
      if (!state.q.trim() || !state.index) return void body.replaceChildren(app.nothing() ?? intro());
      const { index, q: text } = state; // what the address says when the answer comes may be another question
      try {
        const { meta } = await api.index({ index });
        if (turn !== turns) return;
        if (!meta) return void body.replaceChildren(notice(`${index} is not set up: there is nothing to tune. Run: cherche setup ${index}`));
        const question = { index, text, mode: "hybrid", rerank: true, size: DEPTH, rerank_window: DEPTH, query_mode: queryMode };
        const result = await api.search(question);
        if (turn !== turns) return;
        body.replaceChildren(workbench(result, meta, question, { app, queryMode, again: (mode) => { queryMode = mode; this.run(); } }));
      } catch (error) {
        if (turn !== turns) return;
        body.replaceChildren(problem(error));
        app.failed(error);
      }
    };
  },
};

function workbench(result, meta, question, { app, queryMode, again }) {
  const old = { boost: meta.sparse_boost, weight: meta.rerank.weight, window: meta.rerank.window };
  const now = { ...old };
  const parts = partsOf(result.hits, old.boost);
  const before = new Map(reordered(parts, old).map((hit) => [hit.id, hit.rank]));
  const hits = h("div", { "aria-label": "Hits under these settings", role: "region" });
  const outcome = rerankWords(result.rerank);

  const rows = Object.entries(SETTINGS).map(([name, { label, hint, min, max, step }]) => {
    const shown = h("output", { class: "number" });
    const input = h("input", { type: "range", id: `tune-${name}`, "aria-describedby": `hint-${name}`, min, max: Math.max(max, old[name]), step, value: String(now[name]), on: { input: () => { now[name] = Number(input.value); draw(); } } });
    const row = h("div", { class: "slider" }, h("label", { for: `tune-${name}` }, label), shown, input, h("p", { class: "said hint", id: `hint-${name}` }, hint));
    return { name, row, draw: () => {
      shown.textContent = now[name] === old[name] ? `${now[name]}` : `${old[name]} → ${now[name]}`;
      input.value = now[name];
    } };
  });

  const mode = h("select", { id: "tune-mode", on: { change: () => again(mode.value) } }, Object.entries(QUERY_MODES).map(([value, text]) => h("option", { value }, text)));
  mode.value = queryMode;
  const reset = h("button", { type: "button", class: "secondary", on: { click: () => { Object.assign(now, old); draw(); } } }, "As the index has it");
  const write = h("button", { type: "button", class: "primary", on: { click: () => confirmWrite(question.index, old, now, app) } }, "Write to the index…");

  function draw() {
    for (const row of rows) row.draw();
    const same = Object.keys(old).every((name) => old[name] === now[name]);
    write.disabled = reset.disabled = same;
    const order = reordered(parts, now);
    const best = order.slice(0, SHOWN);
    const open = (hit) => app.open(hit, { ...question, sparse_boost: now.boost, rerank_weight: now.weight, rerank_window: now.window });
    hits.replaceChildren(walkable(h("ol", { class: "hits" }, best.map((hit) => hitCard(hit, mostOf(best), { move: moved(hit, before), open })))));
    announce(same ? "As the index has it" : `First now: ${best[0]?.id ?? "nothing"}`);
  }
  draw();
  return h(
    "div",
    { class: "tune" },
    h(
      "section",
      { class: "card pad tune-controls", "aria-label": "Settings" },
      h("h2", {}, "Settings"),
      rows.map(({ row }) => row),
      h("div", { class: "slider" }, h("label", { for: "tune-mode" }, "Query's terms"), h("span", { class: "said" }, "searches again"), mode),
      h("div", { class: "actions" }, reset, write),
      written(app),
      h("p", { class: "said" }, `Reordered here, without another search: the ${result.hits.length} best hits at boost ${old.boost}. What lies below them is not seen.`),
      !outcome.good && notice(outcome.text),
    ),
    hits,
  );
}
