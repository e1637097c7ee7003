// A document's text, shaded by what its terms add or by its similarity to one query token.

import { h } from "./dom.js";

// Places are counted in characters, which JavaScript's strings are not made of.
export function readable(reading) {
  const characters = Array.from(reading.text);
  if (!characters.length) return { element: h("p", { class: "muted" }, "The text was not returned with this hit."), shade() {} };
  const spans = [...reading.terms.flatMap((term) => term.places), ...reading.tokens.map((one) => one.place).filter(Boolean)];
  const cuts = [...new Set([0, characters.length, ...spans.flat()])].sort((a, b) => a - b);
  const pieces = cuts.slice(0, -1).map((start, i) => ({ start, end: cuts[i + 1], element: h("span", {}, characters.slice(start, cuts[i + 1]).join("")) }));
  const title = h("p", { class: "said" });
  const body = h("p", { class: "document" }, pieces.map((piece) => piece.element));

  function paint(part, said, weights, best) {
    title.textContent = said;
    body.className = `document ${part}`;
    const most = Math.max(...weights.map(([, , weight]) => weight), 1e-9);
    const at = (piece) => weights.filter(([start, end]) => start <= piece.start && piece.end <= end);
    for (const piece of pieces) {
      const heat = Math.max(0, ...at(piece).map(([, , weight]) => weight)) / most;
      piece.element.classList.toggle("warm", heat > 0.02);
      piece.element.classList.toggle("best", best !== undefined && best !== null && best[0] <= piece.start && piece.end <= best[1]);
      piece.element.style.setProperty("--heat", heat.toFixed(3));
    }
  }

  function shade(row) {
    if (row === null) {
      const weights = reading.terms.flatMap((term) => term.places.map(([start, end]) => [start, end, term.contribution]));
      return paint("sparse", "Shaded by what each term adds to the score.", weights);
    }
    const weights = reading.tokens.flatMap(({ place }, column) => (place ? [[...place, Math.max(0, reading.similarities[row][column]) ** 3]] : []));
    paint("maxsim", `Shaded by similarity to “${reading.query_tokens[row]}”; its best token is outlined.`, weights, reading.tokens[reading.best[row]]?.place);
  }
  shade(null);
  return { element: h("div", {}, title, body), shade };
}
