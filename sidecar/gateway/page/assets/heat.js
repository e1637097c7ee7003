// Query tokens against the document tokens that answer them best, as a table of similarities.

import { h } from "./dom.js";

const COLUMNS = 14;
const EACH = 2;

// Document tokens that are among the best of some query token, in the order of the text.
export function bestColumns(similarities, most = COLUMNS) {
  const strongest = new Map();
  for (const row of similarities) {
    const order = row.map((_, column) => column).sort((a, b) => row[b] - row[a]).slice(0, EACH);
    for (const column of order) strongest.set(column, Math.max(strongest.get(column) ?? -1, row[column]));
  }
  return [...strongest.keys()].sort((a, b) => strongest.get(b) - strongest.get(a)).slice(0, most).sort((a, b) => a - b);
}

export function heatMap(reading) {
  const columns = bestColumns(reading.similarities);
  const rows = reading.query_tokens.map((token, row) =>
    h(
      "tr",
      {},
      h("th", { scope: "row" }, token),
      columns.map((column) => {
        const value = reading.similarities[row][column];
        return h("td", { class: reading.best[row] === column ? "best" : "", style: { "--heat": Math.max(0, value).toFixed(3) } }, value.toFixed(2));
      }),
    ),
  );
  const heads = columns.map((column) => h("th", { scope: "col" }, reading.tokens[column].token || String(column)));
  const element = h(
    "div",
    { class: "scroll", tabindex: "0", role: "group", "aria-label": "Similarities" },
    h("table", { class: "heat" }, h("thead", {}, h("tr", {}, h("td", {}), heads)), h("tbody", {}, rows)),
  );
  return { element, light: (chosen) => rows.forEach((row, i) => row.classList.toggle("lit", i === chosen)) };
}
