// Numbers, documents and statuses as people read them.

export const PARTS = { lexical: "lexical", sparse: "sparse", maxsim: "MaxSim" };

export const MODES = {
  bm25: { label: "BM25", mode: "bm25", rerank: false },
  sparse: { label: "Term weights", mode: "sparse", rerank: false },
  hybrid: { label: "Hybrid", mode: "hybrid", rerank: false },
  "hybrid+rerank": { label: "Hybrid + rerank", mode: "hybrid", rerank: true },
};

export const count = (value) => value.toLocaleString("en");

export const plural = (value, noun, several = `${noun}s`) => `${count(value)} ${value === 1 ? noun : several}`;

// Three or four digits that matter.
export function number(value) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  return value.toFixed(size >= 100 ? 1 : size >= 10 ? 2 : size >= 0.01 ? 3 : 5);
}

export const milliseconds = (value) => `${value >= 100 ? Math.round(value) : value.toFixed(1)} ms`;

// Seconds, in the unit that people would use.
export function duration(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

export function bytes(value) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  for (; value >= 1024 && unit < units.length - 1; unit += 1) value /= 1024;
  return `${unit ? value.toFixed(1) : value} ${units[unit]}`;
}

// Title and text of a document that may have any fields.
export function shown(hit) {
  const texts = Object.entries(hit.source).filter(([, value]) => typeof value === "string" && value.trim());
  const title = texts.find(([name]) => name === "title" || name === "name");
  const rest = texts.filter((field) => field !== title).map(([, value]) => value);
  return { title: title ? title[1] : hit.id, text: rest.join(" ") };
}

const RERANK = {
  APPLIED: (o) => `MaxSim reordered the best ${count(o.window)}, its share is ${o.weight}.`,
  PARTIAL: (o) => `MaxSim reordered ${count(o.reranked)} of the best ${plural(o.window, "hit")}.`,
  SKIPPED_SORT: () => "Not reranked: the search sorts by something else than the score.",
  OUTSIDE_WINDOW: () => "Not reranked: this page lies below the window.",
  DEADLINE: () => "Not reranked: time ran out.",
  UNAVAILABLE: () => "Not reranked: no reranker answered.",
  CODES_MISSING: () => "Not reranked: the hits have no token codes.",
  UNKNOWN_LANGUAGE: () => "Not reranked: the model does not know the language of the query.",
};

// rerank_status in words, and whether it is what was asked for.
export function rerankWords(outcome) {
  const words = RERANK[outcome.status]?.(outcome) ?? "";
  return { text: [words, outcome.reason].filter(Boolean).join(" "), good: outcome.status === "APPLIED" };
}

// What the first stage did, in words.
export function sparseWords(result) {
  const { status, terms, reason } = result.sparse;
  if (status === "APPLIED") return `${plural(terms, "weighted term")}.`;
  return status === "NOT_REQUESTED" ? "The words of the query alone." : reason;
}
