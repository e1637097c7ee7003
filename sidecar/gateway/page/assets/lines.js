// Lines between two columns: where each hit moved.

import { svg } from "./dom.js";

export function lines(holder, left, right) {
  const picture = svg("svg", { "aria-hidden": "true" });
  holder.replaceChildren(picture);
  const cards = (list) => new Map([...list.children].map((card) => [card.dataset.id, card]));

  function draw() {
    const box = holder.getBoundingClientRect();
    const middle = (card) => card.getBoundingClientRect().top - box.top + Math.min(card.offsetHeight / 2, 40);
    const [from, to] = [cards(left), cards(right)];
    const ids = new Set([...from.keys(), ...to.keys()]);
    picture.replaceChildren(...[...ids].map((id) => path(id, from.get(id), to.get(id), middle, box.width)));
  }

  function path(id, one, other, middle, width) {
    const half = width / 2;
    if (!one) return svg("path", { "data-id": id, class: "new", d: `M${width} ${middle(other)}h${-0.3 * width}` });
    if (!other) return svg("path", { "data-id": id, class: "gone", d: `M0 ${middle(one)}h${0.3 * width}` });
    const ranks = [one, other].map((card) => Number(card.querySelector(".rank").textContent));
    const kind = ranks[1] < ranks[0] ? "up" : ranks[1] > ranks[0] ? "down" : "same";
    const [start, end] = [middle(one), middle(other)];
    return svg("path", { "data-id": id, class: kind, d: `M0 ${start}C${half} ${start} ${half} ${end} ${width} ${end}` });
  }

  // A hit that is pointed at or has the focus lights up in both columns.
  function light(event) {
    const id = event.type === "pointerleave" ? null : event.target.closest?.(".hit")?.dataset.id;
    for (const one of picture.children) one.classList.toggle("lit", one.dataset.id === id);
    for (const card of [...left.children, ...right.children]) card.classList.toggle("twin", card.dataset.id === id);
  }
  for (const list of [left, right]) {
    for (const event of ["pointerover", "pointerleave", "focusin"]) list.addEventListener(event, light);
  }
  new ResizeObserver(draw).observe(holder);
  draw();
}
