// How the index stands: model, documents by state, bytes by part, what is to be mended, and what goes on.

import { api } from "./api.js";
import { h, problem } from "./dom.js";
import { bytes, count } from "./format.js";
import { jobsCard } from "./jobs.js";
import { state } from "./state.js";

export const indexPanel = {
  id: "index",
  label: "Index",
  mount(root, app) {
    const body = h("div", { class: "index-panel" });
    root.append(body);
    let turns = 0;
    this.run = async () => {
      const turn = (turns += 1);
      const { index } = state;
      if (!index) return void body.replaceChildren(app.nothing() ?? "");
      try {
        const found = await api.index({ index });
        if (turn !== turns) return;
        const parts = found.meta ? [sizes(found), facts(found)] : [];
        body.replaceChildren(health(found), counts(found), ...parts, jobsCard(index, () => this.run()));
      } catch (error) {
        if (turn !== turns) return;
        body.replaceChildren(problem(error));
        app.failed(error);
      }
    };
  },
};

const card = (title, ...children) => h("section", { class: "card pad" }, h("h2", {}, title), ...children);

function health({ findings, served, meta }) {
  if (!findings.length) return card("Health", h("p", { class: "fine" }, "✓ All in order: the model is served, and every document that has text is encoded."));
  const list = findings.map((finding) => {
    const [, reason, command] = /^(.*?)(?: — run: |: run )(cherche .*)$/s.exec(finding) ?? [null, finding, ""];
    return h("li", { class: "notice" }, h("p", {}, reason), command && h("p", {}, "Run: ", h("code", {}, command)));
  });
  return card(served || !meta ? "To mend" : "To mend: the index cannot be searched by its weights", h("ul", { class: "plain" }, list));
}

function bars(rows, total) {
  return h("dl", { class: "bars" }, rows.map(([name, value, text, style]) => [
    h("dt", {}, name),
    h("dd", {}, h("span", { class: "track", "aria-hidden": "true" }, h("i", { class: `fill ${style}`, style: { width: `${(100 * value) / Math.max(1, total)}%` } })), h("span", { class: "number" }, text)),
  ]));
}

function counts({ counts: { documents, encoded, pending } }) {
  const rest = Math.max(0, documents - encoded - pending);
  const rows = [["encoded", encoded, "maxsim"], ["waiting", pending, "sparse"], ["by BM25 alone", rest, "lexical"]];
  return card(`${count(documents)} documents`, bars(rows.map(([name, value, style]) => [name, value, count(value), style]), documents));
}

function sizes({ bytes: parts, sampled, room, counts: { encoded } }) {
  const styles = { weights: "lexical", "packed terms": "sparse", "token codes": "maxsim" };
  const total = Object.values(parts).reduce((sum, value) => sum + value, 0);
  const rows = Object.entries(parts).map(([name, value]) => [name, value, bytes(value), styles[name]]);
  const store = room && `The whole index takes ${bytes(room.store)} in ${room.copies === 1 ? "one copy" : `${room.copies} copies`}; ${bytes(room.free)} are free.`;
  return card(`${bytes(total)} of its own, in one copy`, bars(rows, total), h("p", { class: "said" }, `Projected from ${count(sampled)} documents. `, encoded > 0 && `A million like these take ${bytes((1e6 * total) / encoded)}. `, store));
}

function facts({ meta, engine, groups, replaced }) {
  const rows = [
    ["model", meta.model],
    ["reranker", meta.reranker || (meta.fingerprint.codes ? "the model itself" : "none")],
    ["fields", meta.fields.map((field) => `${field.name}${field.boost === 1 ? "" : ` ^${field.boost}`}`).join(", ")],
    ["sparse boost", meta.sparse_boost],
    ["MaxSim", `share ${meta.rerank.weight} over the best ${meta.rerank.window}`],
    ["length", `${meta.max_length} tokens${meta.chunks.most > 1 ? `, up to ${meta.chunks.most} windows` : ""}`],
    ["codec", meta.codec],
    ["pruning", meta.prune],
    ["fingerprint of weights", h("code", {}, meta.fingerprint.sparse.slice(0, 16))],
    ["fingerprint of codes", h("code", {}, meta.fingerprint.codes.slice(0, 16) || "–")],
    ["engine", `${engine.product} ${engine.version}`],
    groups.length > 1 && ["behind the name", groups.map((group) => `${group.names.join(", ")} (${group.model || "BM25 alone"})`).join("; ")],
    replaced.length > 0 && ["kept for a way back", replaced.join(", ")],
  ].filter(Boolean);
  return card("How it was set up", h("dl", { class: "facts" }, rows.map(([name, value]) => [h("dt", {}, name), h("dd", {}, String(value instanceof Node ? "" : value), value instanceof Node && value)])));
}
