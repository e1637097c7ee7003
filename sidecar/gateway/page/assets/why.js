// Why a hit is where it is: its terms, and its similarity to the query token by token.

import { api } from "./api.js";
import { dialog, h, notice, problem } from "./dom.js";
import { number, shown } from "./format.js";
import { bar } from "./hits.js";
import { heatMap } from "./heat.js";
import { readable } from "./text.js";

const TERMS = 40;

// `read` brings the reading, where it is not of a search of this sidecar's own index.
export async function openWhy(hit, search, read = () => api.why({ search, id: hit.id })) {
  const { title } = shown(hit);
  const body = h("div", { class: "why-body", "aria-live": "polite" }, h("p", { class: "muted" }, "Reading its weights and codes…"));
  const close = h("button", { type: "button", class: "secondary", on: { click: () => box.close() } }, "Close");
  const box = dialog(`${hit.rank}. ${title}`, { class: "why" }, close, body);
  try {
    body.replaceChildren(h("div", { class: "why-body" }, content(await read())));
  } catch (error) {
    body.replaceChildren(problem(error));
  }
}

function content(reading) {
  const text = readable(reading);
  const aligned = reading.query_tokens.length > 0;
  const map = aligned && heatMap(reading);
  return [
    h("div", { class: "why-sum" }, bar(reading, Math.max(reading.score, 1e-9))),
    reading.notes.map(notice),
    h(
      "div",
      { class: "why-grid" },
      h("section", { class: "why-text", "aria-label": "The text" }, text.element, aligned && alignment(reading, text, map), added(reading.terms)),
      h("div", { class: "why-parts" }, reading.terms.length > 0 && terms(reading), aligned && similarities(reading, map)),
    ),
    aligned && h("p", { class: "said" }, scales(reading)),
    !aligned && h("p", { class: "said" }, "No MaxSim: this search was not reranked, or not this hit. Choose Hybrid + rerank to see it."),
  ];
}

// What the numbers of both tables are to those of the bar, and tokens that are no words of the text.
function scales(reading) {
  const tokens = [...reading.query_tokens, ...reading.tokens.map((one) => one.token), ...reading.terms.map((one) => one.token)];
  const pieces = tokens.some((token) => token?.startsWith("##"));
  const framed = reading.query_tokens.some((token) => /^\[.+\]$/.test(token));
  return [
    "The bar has first stage and MaxSim scaled to the window's range, each times its share; the tables have them as they are. ",
    pieces && "“##” begins a piece within a word. ",
    framed && "Tokens in brackets are the model's own, around each text.",
  ];
}

// Terms of the query that the model gave the document though its text does not hold them.
function added(found) {
  const absent = found.filter((term) => !term.places.length);
  if (!absent.length) return null;
  return h(
    "div",
    { class: "added sparse" },
    h("h3", { class: "small" }, "Matched without standing in the text"),
    h("ul", {}, absent.slice(0, TERMS).map((term) => h("li", { class: "chip" }, term.token || "withheld", " ", h("span", { class: "number" }, number(term.contribution))))),
  );
}

function terms(reading) {
  const most = Math.max(...reading.terms.map((term) => term.contribution), 1e-9);
  const rows = reading.terms.slice(0, TERMS).map((term) =>
    h(
      "tr",
      {},
      h("th", { scope: "row", class: term.places.length ? "" : "is-added" }, term.token || "withheld", !term.places.length && h("span", { class: "unseen" }, ", added by the model")),
      h("td", {}, number(term.query_weight)),
      h("td", {}, number(term.document_weight)),
      h("td", {}, number(term.contribution)),
      h("td", { class: "cell-bar", "aria-hidden": "true" }, h("i", { style: { width: `${(100 * term.contribution) / most}%` } })),
    ),
  );
  const more = reading.terms.length - rows.length;
  return h(
    "section",
    { class: "sparse" },
    h("h3", { class: "part-title" }, "Term weights ", h("span", { class: "muted" }, `add up to ${number(reading.parts.sparse)}, boost ${reading.sparse_boost}`)),
    h(
      "div",
      { class: "scroll", tabindex: "0", role: "group", "aria-label": "Term weights" },
      h("table", { class: "terms" }, h("thead", {}, h("tr", {}, ["term", "query", "document", "adds"].map((name) => h("th", { scope: "col" }, name)), h("td", {}))), h("tbody", {}, rows)),
    ),
    more > 0 && h("p", { class: "said" }, `and ${more} lighter terms`),
  );
}

// Query tokens as buttons: the one that is pointed at, or has the focus, shades the text.
function alignment(reading, text, map) {
  const best = reading.similarities.map((row) => Math.max(...row));
  const light = (row) => { text.shade(row); map.light(row); };
  const buttons = reading.query_tokens.map((token, row) => {
    const kept = reading.tokens[reading.best[row]]?.token;
    const button = h(
      "button",
      { type: "button", class: "token", "aria-pressed": "false", style: { "--heat": Math.max(0, best[row]) } },
      token,
      h("span", { class: "partner" }, kept ? ` ${kept} ` : " withheld ", number(best[row])),
    );
    const hold = () => light(row);
    const leave = () => light(pressed());
    for (const [event, act] of Object.entries({ pointerenter: hold, focus: hold, pointerleave: leave, blur: leave })) button.addEventListener(event, act);
    button.addEventListener("click", () => {
      const on = button.getAttribute("aria-pressed") === "true";
      for (const one of buttons) one.setAttribute("aria-pressed", "false");
      button.setAttribute("aria-pressed", String(!on));
      light(on ? null : row);
    });
    return button;
  });
  const pressed = () => {
    const row = buttons.findIndex((one) => one.getAttribute("aria-pressed") === "true");
    return row < 0 ? null : row;
  };
  return h(
    "div",
    { class: "maxsim" },
    h("h3", { class: "small" }, "Each token of the query, and its best token in the text"),
    h("div", { class: "tokens" }, buttons),
  );
}

function similarities(reading, map) {
  return h(
    "section",
    { class: "maxsim" },
    h("h3", { class: "part-title" }, "MaxSim ", h("span", { class: "muted" }, `the best of each row add up to ${number(reading.parts.maxsim)}`)),
    map.element,
  );
}
