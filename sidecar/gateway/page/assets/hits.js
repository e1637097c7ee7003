// One column of hits: rank, move, words, and a bar whose parts add up to the score.

import { h } from "./dom.js";
import { PARTS, number, shown } from "./format.js";

const LETTER = /[\p{L}\p{M}\p{N}_]/u;

// How a hit moved from the ranking on the left to this one.
export function moved(hit, before) {
  const rank = before.get(hit.id);
  if (rank === undefined) return { kind: "new", text: "new", words: "not in the left column" };
  const by = rank - hit.rank;
  if (by === 0) return { kind: "same", text: "=", words: "same rank as on the left" };
  const kind = by > 0 ? "up" : "down";
  return { kind, text: `${by > 0 ? "▲" : "▼"} ${Math.abs(by)}`, words: `${Math.abs(by)} ${kind} from rank ${rank}` };
}

// Whether a hit of the left column is also on the right.
export const left = (hit, after) => (after.has(hit.id) ? null : { kind: "gone", text: "gone", words: "not in the right column" });

export function bar(hit, most) {
  if (!hit.shares) return h("p", { class: "said" }, "Below the rerank window: it keeps the first stage's order.");
  const parts = Object.entries(hit.shares).filter(([, value]) => value > 0);
  const fills = parts.map(([name, value]) => h("span", { class: `fill ${name}`, style: { width: `${(100 * value) / most}%` } }));
  const numbers = parts.map(([name, value]) => h("span", { class: `num ${name}` }, `${PARTS[name]} ${number(value)}`));
  return [
    h("div", { class: "bar", "aria-hidden": "true" }, fills),
    h("p", { class: "nums" }, h("span", { class: "sum" }, `score ${number(hit.score)}`), numbers),
  ];
}

export function hitCard(hit, most, { move, open, extra }) {
  const { title, text } = shown(hit);
  return h(
    "li",
    { class: "hit", "data-id": hit.id },
    h(
      "div",
      { class: "place" },
      h("div", { class: "rank" }, String(hit.rank)),
      move && h("div", { class: `move ${move.kind}` }, h("span", { "aria-hidden": "true" }, move.text), h("span", { class: "unseen" }, move.words)),
    ),
    h(
      "div",
      {},
      h("h2", {}, h("button", { class: "hit-title", type: "button", title: "Why is it here? (Enter)", on: { click: () => open(hit) } }, breakable(title))),
      snippet(hit, text),
      bar(hit, most),
      extra,
    ),
  );
}

// The best passage of a hit, with what answers the query marked, or the first words of its text.
function snippet(hit, text) {
  const passage = hit.passages?.find(({ field }) => field !== "title" && field !== "name");
  if (!passage) return h("p", { class: "snippet" }, text);
  const pieces = [passage.start ? "…" : ""];
  let end = 0;
  // Offsets are counted in characters, which JavaScript's strings are not made of.
  const characters = Array.from(passage.text);
  for (const { from, to, answers } of words(passage, characters)) {
    const said = `answers ${answers.map((one) => `“${one.query_token}” (${number(one.similarity)})`).join(", ")}`;
    pieces.push(characters.slice(end, from).join(""), h("mark", { title: said }, characters.slice(from, to).join("")));
    end = to;
  }
  const whole = String(hit.source[passage.field] ?? "");
  return h("p", { class: "snippet passage" }, pieces, characters.slice(end).join(""), whole.endsWith(passage.text) ? "" : "…");
}

// The words that hold answers no worse than the mean of all, in the order of the text.
function words({ start, answers }, characters) {
  const mean = answers.reduce((sum, one) => sum + one.similarity, 0) / answers.length;
  const found = new Map();
  for (const one of answers.filter(({ similarity }) => similarity >= mean - 1e-6)) {
    let [from, to] = [one.start - start, one.end - start];
    while (from > 0 && LETTER.test(characters[from]) && LETTER.test(characters[from - 1])) from -= 1;
    while (to < characters.length && LETTER.test(characters[to - 1]) && LETTER.test(characters[to])) to += 1;
    const word = found.get(from) ?? { from, to, answers: [] };
    found.set(from, { from, to: Math.max(to, word.to), answers: [...word.answers, one] });
  }
  const sorted = [...found.values()].sort((one, other) => one.from - other.from);
  return sorted.filter(({ from }, i) => !i || from >= sorted[i - 1].to);
}

// A long name may be broken behind its dots rather than anywhere.
const breakable = (name) => name.split(/(?<=[._/])/).flatMap((piece) => [piece, h("wbr")]);

export const mostOf = (hits) => Math.max(...hits.map((hit) => hit.score), 1e-9);

// Up and down between hits: j and k, or the arrows.
export function walkable(list) {
  list.addEventListener("keydown", (event) => {
    const step = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 }[event.key];
    if (!step || event.ctrlKey || event.metaKey || event.altKey) return;
    const titles = [...list.querySelectorAll(".hit-title")];
    const next = titles[titles.indexOf(event.target.closest(".hit")?.querySelector(".hit-title")) + step];
    if (next) {
      next.focus();
      event.preventDefault();
    }
  });
  return list;
}
