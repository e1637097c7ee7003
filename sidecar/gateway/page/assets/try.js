// Another cluster, as it is: its own BM25 beside MaxSim over the same hits. Nothing is written, and credentials are kept
// in no storage: they are forgotten with this page.

import { api } from "./api.js";
import { announce, h, notice, problem } from "./dom.js";
import { count, plural, rerankWords } from "./format.js";
import { hitCard, left, mostOf, moved, walkable } from "./hits.js";
import { how } from "./how.js";
import { lines } from "./lines.js";
import { state } from "./state.js";

const LOCAL = /^https?:\/\/(localhost|127\.\d+\.\d+\.\d+|\[::1\])([:/]|$)/;

export const tryPanel = {
  id: "try",
  label: "Try",
  mount(root, app) {
    const found = h("div", {});
    const said = h("div", { class: "try-said" }, h("p", { class: "said" }, "Connect, then ask: the cluster's own BM25 hits beside the same hits reranked by MaxSim. It is only read, and nothing is kept."));
    const asked = new Map(); // query → what came back, for the means
    let turns = 0;
    const url = h("input", { type: "text", inputmode: "url", id: "try-url", placeholder: "https://…:9200", autocomplete: "off", spellcheck: "false" });
    const user = h("input", { type: "text", id: "try-user", autocomplete: "off", spellcheck: "false" });
    const secret = h("input", { type: "password", id: "try-secret", autocomplete: "off" });
    const index = h("input", { type: "text", id: "try-index", list: "try-indices", autocomplete: "off", spellcheck: "false" });
    const fields = h("input", { type: "text", id: "try-fields", placeholder: "all text fields", autocomplete: "off", spellcheck: "false" });
    const names = h("datalist", { id: "try-indices" });
    const target = () => ({ url: url.value.trim(), index: index.value.trim(), text: state.q, fields: fields.value.split(",").map((name) => name.trim()).filter(Boolean) });
    const open = (hit) => app.open(hit, null, () => api.tryWhy({ ...target(), id: hit.id }, credentials(user, secret)));

    async function connect() {
      said.replaceChildren(h("p", { class: "said" }, "Connecting…"));
      found.replaceChildren();
      asked.clear();
      try {
        const { engine, indices } = await api.tryCluster({ url: url.value.trim() }, credentials(user, secret));
        names.replaceChildren(...indices.map((name) => h("option", { value: name })));
        if (!indices.includes(index.value.trim())) index.value = indices[0] ?? "";
        const plain = url.value.trim().startsWith("http:") && secret.value && !LOCAL.test(url.value.trim());
        said.replaceChildren(...[
          h("p", { class: "said" }, `${engine.product} ${engine.version}, ${plural(indices.length, "index", "indices")}. It is only read.`),
          plain && notice("These credentials went over the network in plain text: use https."),
        ].filter(Boolean));
        announce(`Connected to ${engine.product} ${engine.version}`);
        if (state.q.trim() && index.value) await compare();
        else index.focus();
      } catch (error) {
        said.replaceChildren(problem(error));
        app.failed(error);
      }
    }

    async function compare() {
      if (!url.value.trim() || !index.value.trim() || !state.q.trim()) return;
      const turn = (turns += 1);
      const question = target();
      found.setAttribute("aria-busy", "true");
      if (!found.children.length) found.replaceChildren(h("p", { class: "said" }, "The best hits are encoded on the fly, which takes a moment…"));
      try {
        const result = await api.try(question, credentials(user, secret));
        if (turn !== turns) return;
        asked.set(question.text, result);
        found.replaceChildren(...beside(result, [...asked.values()], open));
        announce(`${result.overlap} of ${result.after.length} in both`);
      } catch (error) {
        if (turn !== turns) return;
        found.replaceChildren(problem(error));
        app.failed(error);
      }
      found.removeAttribute("aria-busy");
    }

    const field = (label, input, hint) => h("label", { class: "field", for: input.id }, h("span", { class: "label" }, label), input, hint && h("span", { class: "label" }, hint));
    const form = h(
      "form", { class: "card pad try-form", "aria-label": "Cluster", on: { submit: (event) => { event.preventDefault(); connect(); } } },
      field("Cluster", url), field("User, or empty for an API key", user), field("Password or API key", secret),
      h("button", { class: "primary", type: "submit" }, "Connect"),
      field("Index", index), field("Fields", fields), names, said,
    );
    index.addEventListener("change", () => asked.clear());
    const body = h("div", {});
    root.append(body);

    this.run = () => {
      if (!app.clusters.length) return void body.replaceChildren(closed());
      if (!form.isConnected) {
        if (!app.clusters.includes("*")) url.value ||= app.clusters[0];
        body.replaceChildren(form, found);
      }
      return compare();
    };
  },
};

// As the cluster's clients send them.
function credentials(user, secret) {
  if (!secret.value) return "";
  const bytes = new TextEncoder().encode(`${user.value}:${secret.value}`);
  return user.value ? `Basic ${btoa(String.fromCharCode(...bytes))}` : `ApiKey ${secret.value.trim()}`;
}

function closed() {
  return h(
    "div", { class: "empty" },
    h("h2", {}, "Try a cluster of yours, as it is"),
    h("p", {}, "Its own BM25 beside MaxSim over the same hits: no setup, nothing written. A sidecar that others reach contacts no cluster but its own. On your machine:"),
    h("pre", { tabindex: "0" }, "cherche ui"),
    h("p", {}, "or, on the server, the clusters that people may try:"),
    h("pre", { tabindex: "0" }, "CHERCHE_GATEWAY__CLUSTERS='[\"https://…:9200\"]'"),
  );
}

function beside(result, all, open) {
  const { before, after } = result;
  if (!after.length) return [h("p", { class: "muted" }, "No hits. Try other words, another index, or name its fields.")];
  const ranks = (hits) => new Map(hits.map((hit) => [hit.id, hit.rank]));
  const was = new Map(after.map((hit) => [hit.id, hit.parts.first_stage_rank]));
  const list = (hits, move) => {
    const most = mostOf(hits);
    return walkable(h("ol", { class: "hits" }, hits.map((hit) => hitCard(hit, most, { move: move(hit), open }))));
  };
  const from = list(before, (hit) => left(hit, ranks(after)));
  const to = list(after, (hit) => moved(hit, was));
  const rerank = rerankWords(result.rerank);
  const between = h("div", { class: "lines" });
  const head = (title, ...more) => h("div", { class: "column-head" }, h("div", { class: "column-top" }, h("h2", {}, title)), more);
  queueMicrotask(() => lines(between, from, to));
  return [
    h("p", { class: "try-sum" }, h("strong", {}, `${result.overlap} of ${after.length} in both, ${result.risen} risen from below. `), means(all)),
    h(
      "div", { class: "columns" },
      head("BM25, as the cluster has it", h("p", { class: "said" }, `${result.total_is_lower_bound ? "≥ " : ""}${plural(result.total, "hit")}.`)),
      h("div", {}),
      head("Reranked by MaxSim", rerank.good ? h("p", { class: "said" }, rerank.text) : notice(rerank.text), result.warnings.map(notice), how(result)),
      h("section", { "aria-label": "Left hits" }, from), between, h("section", { "aria-label": "Right hits" }, to),
    ),
  ];
}

// What one query shows may be chance.
function means(all) {
  if (all.length < 2) return "Ask more queries: one decides nothing.";
  const mean = all.reduce((sum, one) => sum + one.overlap, 0) / all.length;
  const changed = all.filter((one) => one.first_changed).length;
  return `${count(all.length)} queries so far: ${mean.toFixed(1)} in both on average, ${count(changed)} first hits changed.`;
}
