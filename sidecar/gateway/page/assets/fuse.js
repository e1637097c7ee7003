// The order of hits under other settings, from the parts that one search brought: as `cherche_models.fuse` computes it.

const byId = (a, b) => (a < b ? -1 : a > b ? 1 : 0);

// Values scaled to [0, 1]; all equal become 1, and what is no number 0.
export function minMax(values) {
  const finite = values.filter(Number.isFinite);
  const [low, high] = [Math.min(...finite), Math.max(...finite)];
  return values.map((value) => (!Number.isFinite(value) ? 0 : high > low ? (value - low) / (high - low) : 1));
}

// Parts of a search's hits, the sparse one without its boost.
export const partsOf = (hits, boost) =>
  hits.map((hit) => ({ hit, lexical: hit.parts.lexical, sparse: hit.parts.sparse / boost, maxsim: hit.parts.maxsim ?? -Infinity }));

// Hits in their order under a setting, with score and shares.
export function reordered(parts, { boost, weight, window }) {
  const first = parts
    .map((part) => ({ ...part, first: part.lexical + boost * part.sparse }))
    .sort((a, b) => b.first - a.first || byId(a.hit.id, b.hit.id));
  const inside = first.slice(0, window);
  const scaled = minMax(inside.map((one) => one.first));
  const late = minMax(inside.map((one) => one.maxsim));
  const fused = inside
    .map((one, i) => {
      const start = (1 - weight) * scaled[i];
      const lexical = one.first ? (start * one.lexical) / one.first : start;
      return { ...one.hit, score: start + weight * late[i], shares: { lexical, sparse: start - lexical, maxsim: weight * late[i] } };
    })
    .sort((a, b) => b.score - a.score || byId(a.id, b.id));
  const below = first.slice(window).map((one) => ({ ...one.hit, score: -1 / (1 + one.first), shares: null }));
  return [...fused, ...below].map((hit, i) => ({ ...hit, rank: i + 1 }));
}
