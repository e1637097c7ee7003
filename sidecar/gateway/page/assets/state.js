// What the address keeps behind its '#', which browsers send to no server. A token is taken out of it at once.

import { access } from "./api.js";

const DEFAULTS = { panel: "search", index: "", q: "", left: "bm25", right: "hybrid+rerank" };

function read() {
  const given = new URLSearchParams(location.hash.slice(1));
  if (given.has("token")) access.token = given.get("token");
  return Object.fromEntries(Object.entries(DEFAULTS).map(([key, value]) => [key, given.get(key) ?? value]));
}

export const state = read();

export function remember(changes) {
  Object.assign(state, changes);
  const changed = Object.entries(state).filter(([key, value]) => value !== DEFAULTS[key]);
  history.replaceState(null, "", `#${new URLSearchParams(changed)}`);
}
