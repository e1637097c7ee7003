// Judgements by keyboard: the best hits of all modes, in no order that tells their mode, graded 0 to 3.

import { api } from "./api.js";
import { announce, h, problem } from "./dom.js";
import { evidence } from "./evidence.js";
import { plural, shown } from "./format.js";
import { walkable } from "./hits.js";
import { intro, searchRequest } from "./search.js";
import { written } from "./settings.js";
import { state } from "./state.js";

const POOLED = ["bm25", "hybrid", "hybrid+rerank"];
const GRADES = ["not relevant", "touches it", "relevant", "answers it"];

// The same shuffle for everybody: a hit's place says nothing of the mode that found it.
function scatter(text) {
  let mixed = 2166136261;
  for (const character of text) mixed = Math.imul(mixed ^ character.codePointAt(0), 16777619);
  return mixed >>> 0;
}

export const judgePanel = {
  id: "judge",
  label: "Judge",
  mount(root, app) {
    const pool = h("div", {});
    const side = h("aside", { class: "judge-side", "aria-label": "What was judged" });
    root.append(h("div", { class: "judge" }, pool, side));
    let turns = 0;
    this.run = async () => {
      const turn = (turns += 1);
      // A grade is of the question that its hits answer, whatever is asked meanwhile.
      const { index, q: query } = state;
      if (!index) return void pool.replaceChildren(app.nothing() ?? "");
      try {
        const judged = await api.judgements({ index });
        if (turn !== turns) return;
        const refresh = async () => {
          const now = await api.judgements({ index });
          if (turn === turns) side.replaceChildren(...summary(index, now, app));
        };
        side.replaceChildren(...[written(app), ...summary(index, judged, app)].filter(Boolean));
        if (!query.trim()) return void pool.replaceChildren(intro());
        const found = await Promise.all(POOLED.map((name) => api.search(searchRequest(name, { index, text: query }))));
        if (turn !== turns) return;
        const hits = [...new Map(found.flatMap((result) => result.hits).map((hit) => [hit.id, hit])).values()];
        hits.sort((a, b) => scatter(query + a.id) - scatter(query + b.id));
        const grades = judged.queries.find((one) => one.query === query)?.grades ?? {};
        pool.replaceChildren(...pooled({ index, query }, hits, grades, refresh));
        pool.querySelector(".hit-title")?.focus();
      } catch (error) {
        if (turn !== turns) return;
        pool.replaceChildren(problem(error));
        app.failed(error);
      }
    };
  },
};

function pooled(question, hits, grades, refresh) {
  const list = walkable(h("ol", { class: "hits" }, hits.map((hit) => judgeCard(question, hit, grades, refresh))));
  return [
    h("p", { class: "said judge-said" }, `${plural(hits.length, "hit")} of BM25, hybrid and hybrid + rerank, shuffled. Keys `, [0, 1, 2, 3].map((grade) => [h("kbd", {}, String(grade)), " "]), "grade the one in focus and go on; ", h("kbd", {}, "x"), " takes a grade back."),
    list,
  ];
}

function judgeCard(question, hit, grades, refresh) {
  const { title, text } = shown(hit);
  const failed = h("div", {});
  const buttons = GRADES.map((name, grade) =>
    h("button", { type: "button", class: "grade", "aria-pressed": String(grades[hit.id] === grade), on: { click: () => set(grades[hit.id] === grade ? null : grade) } }, `${grade} ${name}`));
  async function set(grade) {
    try {
      await api.judge({ ...question, id: hit.id, grade });
      if (grade === null) delete grades[hit.id];
      else grades[hit.id] = grade;
      buttons.forEach((button, i) => button.setAttribute("aria-pressed", String(i === grade)));
      announce(grade === null ? `${title}: no grade` : `${title}: ${GRADES[grade]}`);
      failed.replaceChildren();
      await refresh();
    } catch (error) {
      failed.replaceChildren(problem(error));
    }
  }
  const card = h(
    "li",
    { class: "hit judge-hit", "data-id": hit.id },
    h("h2", {}, h("button", { type: "button", class: "hit-title" }, title)),
    h("p", { class: "judge-text" }, text),
    h("div", { class: "grades", role: "group", "aria-label": `Grade of ${title}` }, buttons),
    failed,
  );
  card.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (/^[0-3x]$/.test(event.key)) {
      event.preventDefault();
      set(event.key === "x" ? null : Number(event.key));
      if (event.key !== "x") card.nextElementSibling?.querySelector(".hit-title")?.focus();
    }
  });
  return card;
}

function summary(index, judged, app) {
  const count = judged.queries.reduce((sum, one) => sum + Object.keys(one.grades).length, 0);
  return [
    ...evidence(index, count, judged.queries.length, app),
    h(
      "section", { class: "card pad" }, h("h2", {}, "Judged queries"),
      judged.queries.length
        ? h("ul", { class: "plain judged" }, judged.queries.map((one) => h("li", {}, h("button", { type: "button", class: "quiet", on: { click: () => app.ask(one.query) } }, one.query), h("span", { class: "said" }, plural(Object.keys(one.grades).length, "grade")))))
        : h("p", { class: "said" }, "None yet."),
      h("div", { class: "actions" }, download("qrels.tsv", judged.qrels_tsv, count), download("qrels.trec", judged.qrels_trec, count), download("queries.jsonl", judged.queries_jsonl, count)),
      judged.left_out > 0 && h("p", { class: "notice" }, `${plural(judged.left_out, "judgement")} cannot stand in qrels.tsv: the id holds a tab or a line break.`),
      judged.left_out_of_trec > judged.left_out && h("p", { class: "notice" }, `${plural(judged.left_out_of_trec, "judgement")} cannot stand in qrels.trec: the id holds a space.`),
      h("p", { class: "said" }, "Kept in ", h("code", {}, judged.path), ". With both files: ", h("code", {}, `cherche tune ${index} --queries queries.jsonl --qrels qrels.tsv`)),
    ),
  ];
}

function download(name, text, enabled) {
  const save = () => {
    const link = h("a", { href: URL.createObjectURL(new Blob([text], { type: "text/plain" })), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };
  return h("button", { type: "button", class: "secondary small", disabled: !enabled, on: { click: save } }, name);
}
