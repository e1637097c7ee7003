// Two ways to search, side by side.

import { api } from "./api.js";
import { announce, h, notice, problem } from "./dom.js";
import { MODES, PARTS, count, plural, rerankWords, sparseWords } from "./format.js";
import { hitCard, left, mostOf, moved, walkable } from "./hits.js";
import { how } from "./how.js";
import { lines } from "./lines.js";
import { remember, state } from "./state.js";

const SIZE = 10;

function chooser(side, run) {
  const select = h(
    "select",
    { "aria-label": side === "left" ? "Left column" : "Right column", on: { change: () => { remember({ [side]: select.value }); run(); } } },
    Object.entries(MODES).map(([name, { label }]) => h("option", { value: name }, label)),
  );
  select.value = state[side] in MODES ? state[side] : "hybrid";
  return select;
}

export function searchRequest(name, more = {}) {
  const { mode, rerank } = MODES[name];
  return { index: state.index, text: state.q, mode, rerank, size: SIZE, ...more };
}

function head(select, result) {
  const sum = result && `${result.total_is_lower_bound ? "≥ " : ""}${plural(result.total, "hit")}`;
  const rerank = result && rerankWords(result.rerank);
  return h(
    "div",
    { class: "column-head" },
    h("div", { class: "column-top" }, select, h("span", { class: "column-sum" }, sum)),
    result && h("p", { class: "said" }, sparseWords(result), " ", rerank.good ? rerank.text : ""),
    result && rerank.text && !rerank.good && notice(rerank.text),
    result?.warnings.map(notice),
    result && how(result),
  );
}

function list(result, move, others, open) {
  const most = mostOf(result.hits);
  const cards = result.hits.map((hit) => hitCard(hit, most, { move: move(hit, others), open }));
  return walkable(h("ol", { class: "hits" }, cards));
}

const ranksOf = (result) => new Map(result.hits.map((hit) => [hit.id, hit.rank]));

export function intro() {
  const said = {
    lexical: "BM25: the words of the query, as your cluster scores them today.",
    sparse: "SPLADE: weighted terms, also of words that the text does not use.",
    maxsim: "ColBERT: each token of the query, and its best token in the document.",
  };
  return h(
    "div",
    { class: "empty" },
    h("h2", {}, "See what term weights and MaxSim do to your own queries"),
    h("p", { class: "muted" }, "Type a query. Both columns show the same search in two modes, the lines where each hit moved, and each bar what its score is made of. Enter on a hit says why it is there."),
    h("ul", { class: "parts" }, Object.entries(said).map(([part, text]) => h("li", { class: `card ${part}` }, h("h3", {}, PARTS[part]), h("p", { class: "small" }, text)))),
  );
}

export const searchPanel = {
  id: "search",
  label: "Search",
  mount(root, app) {
    const body = h("div", {});
    root.append(body);
    let running = null;
    const run = () => this.run();
    const selects = { left: chooser("left", run), right: chooser("right", run) };

    this.run = async () => {
      running?.abort();
      if (!state.q.trim() || !state.index) return void body.replaceChildren(app.nothing() ?? intro());
      const { signal } = (running = new AbortController());
      body.setAttribute("aria-busy", "true");
      try {
        // Two, as the first one may be the title, which is shown anyway; none where no model could find them.
        const more = app.index?.reranks ? { passages: 2 } : {};
        const asked = [searchRequest(state.left), searchRequest(state.right)];
        const left = api.search({ ...asked[0], ...more }, signal);
        const same = state.left === state.right;
        const [one, other] = await Promise.all([left, same ? left : api.search({ ...asked[1], ...more }, signal)]);
        body.replaceChildren(...shownResults(one, other, selects, app, asked));
        announce(`${plural(one.total, "hit")} in ${MODES[state.left].label}, ${count(other.total)} in ${MODES[state.right].label}`);
      } catch (error) {
        if (error.name === "AbortError") return;
        body.replaceChildren(problem(error));
        app.failed(error);
      } finally {
        if (!signal.aborted) body.removeAttribute("aria-busy");
      }
    };
  },
};

function shownResults(one, other, selects, app, asked) {
  const from = list(one, left, ranksOf(other), (hit) => app.open(hit, asked[0]));
  const to = list(other, moved, ranksOf(one), (hit) => app.open(hit, asked[1]));
  const between = h("div", { class: "lines" });
  const none = (result) => !result.hits.length && h("p", { class: "muted" }, "No hits. Try other words, or another mode.");
  const columns = h(
    "div",
    { class: "columns" },
    head(selects.left, one), h("div", {}), head(selects.right, other),
    h("section", { "aria-label": "Left hits" }, from, none(one)), between, h("section", { "aria-label": "Right hits" }, to, none(other)),
  );
  const growing = other.jobs.map(({ kind, encoded }) => notice(`A ${kind === "feed" ? "feed" : "backfill"} is going on, ${plural(encoded, "document")} so far: search again to find more.`));
  const details = [...columns.querySelectorAll(".how")];
  for (const each of details) each.addEventListener("toggle", () => details.forEach((one) => (one.open = each.open)));
  queueMicrotask(() => lines(between, from, to));
  return [...growing, columns];
}
