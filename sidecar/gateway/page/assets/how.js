// How a search was made: time of each stage, and what was asked of the engine.

import { copied, h } from "./dom.js";
import { milliseconds } from "./format.js";

const STAGES = { tokenize: "tokenize", queue: "wait", encode: "encode", engine: "engine", rerank: "rerank" };
const style = (stage) => (stage === "engine" ? "engine-stage" : stage);

function spans(timings) {
  let start = 0;
  const found = Object.keys(STAGES).filter((stage) => timings[stage] > 0).map((stage) => {
    const one = { stage, start, length: timings[stage] };
    start += timings[stage];
    return one;
  });
  return { found, whole: Math.max(timings.total, start, 1e-6) };
}

function waterfall({ found, whole }) {
  const rows = found.map(({ stage, start, length }) => [
    h("span", {}, STAGES[stage]),
    h("span", { class: "track", "aria-hidden": "true" }, h("i", { class: style(stage), style: { left: `${(100 * start) / whole}%`, width: `${(100 * length) / whole}%` } })),
    h("span", { class: "number" }, milliseconds(length)),
  ]);
  return h("div", { class: "waterfall" }, rows);
}

function request({ curl, request: asked, reason }) {
  const text = curl || JSON.stringify(asked, null, 2);
  const button = h("button", { type: "button", class: "secondary small", on: { click: () => copied(button, text) } }, "Copy");
  const label = curl ? "The engine's request" : `The engine's request as it is: ${reason}`;
  return h("div", {}, h("div", { class: "copy small muted" }, h("span", {}, label), button), h("pre", { tabindex: "0" }, text));
}

export function how(result) {
  const times = spans(result.timings);
  const mini = times.found.map(({ stage, length }) => h("i", { class: style(stage), style: { width: `${(100 * length) / times.whole}%` } }));
  return h(
    "details",
    { class: "how" },
    h("summary", {}, `${milliseconds(result.timings.total)}, step by step`, h("span", { class: "mini", "aria-hidden": "true" }, mini)),
    h("div", { class: "how-body" }, waterfall(times), request(result.engine_request)),
  );
}
