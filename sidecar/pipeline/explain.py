"""Why a hit is where it is: term contributions and the MaxSim alignment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from cherche_models import codec, scores
from sidecar.errors import ChercheError
from sidecar.pipeline.context import Context
from sidecar.pipeline.encode import tokenize_document
from sidecar.pipeline.search import Trace, trace
from sidecar.pipeline.text import content_hash, field_texts
from sidecar.protocols import Encoder
from sidecar.values.documents import SEISMIC, Json
from sidecar.values.first_stage import EngineHit, SparseClause
from sidecar.values.index import IndexMeta
from sidecar.values.search import Explanation, Hit, SearchRequest, SearchResult, TermContribution, TokenMatch


async def explain(
    request: SearchRequest, context: Context, ids: Sequence[str] = ()
) -> tuple[SearchResult, tuple[Explanation, ...]]:
    """Search, and explain the hits of the page (or those of them named by `ids`).

    Contributions are read from the packed terms, without the model: their sum is the hit's sparse
    part. Similarities are of the codes: their sum is the hit's MaxSim. Tokens are shown only where
    the caller received, with the hit, all of the text that they come from.

    Raises
    ------
    ChercheError
        As `search`.
    """
    found = await trace(request, context, with_terms=True)
    shown = [hit for hit in found.result.hits if not ids or hit.id in ids]
    explained = [await explain_hit(received(hit, found), found) for hit in shown]
    absent = sorted(set(ids) - {hit.id for hit in shown})
    if absent:
        warning = f"not explained, since not on this page: {', '.join(absent)}"
        return replace(found.result, warnings=(*found.result.warnings, warning)), tuple(explained)
    return found.result, tuple(explained)


@dataclass(frozen=True, slots=True)
class Shown:
    """A hit, and whether the caller received all of the text behind its terms, and behind its codes."""

    hit: Hit
    fetched: EngineHit
    terms_text: bool
    codes_text: bool


def received(hit: Hit, found: Trace) -> Shown:
    """Compare what was returned with what was encoded: by hash, or with the text that was encoded just now."""
    meta, fetched, texts = found.meta, found.page.hits[found.place(hit)], texts_of(hit.source, found.meta)
    whole = texts == texts_of(fetched.source, meta)
    held = fetched.held
    same = held is not None and content_hash(texts, meta.fields, meta.fingerprint) == held.hash
    has_codes = bool(meta.fingerprint.codes) and not found.by_text
    return Shown(hit, fetched, same, same if has_codes else whole)


def texts_of(source: Json, meta: IndexMeta) -> list[str]:
    """The text of each encoded field of what a caller received; empty where that has none."""
    try:
        return field_texts("hit", source, meta.fields)
    except ChercheError:
        return []


async def explain_hit(shown: Shown, found: Trace) -> Explanation:
    """Contributions to the score of one hit."""
    terms, term_notes = _terms(shown.fetched, found)
    matches, match_notes = await _matches(shown, found)
    notes = (*term_notes, *match_notes)
    if (terms and not shown.terms_text) or (matches and not shown.codes_text):
        fields = ", ".join(field.name for field in found.meta.fields)
        terms = terms if shown.terms_text else tuple(replace(term, token="") for term in terms)
        notes += (f"tokens are not shown: the hit came without all of {fields}, or they changed since encoded",)
    return Explanation(shown.hit.id, terms, matches, found.sparse_boost * shown.fetched.boost, notes)


def _terms(fetched: EngineHit, found: Trace) -> tuple[tuple[TermContribution, ...], tuple[str, ...]]:
    """Contributions of the clauses that the engine was sent."""
    if found.sparse is None:
        return (), ()
    if fetched.terms is None:
        return (), ("this hit has no packed terms: it was not encoded, feed it again",)
    if found.meta.weights == SEISMIC and not fetched.sparse:
        return (), ("Seismic did not score the weights of this hit: it is not among the nearest of its segment",)
    try:
        weights = dict(codec.unpack_terms(fetched.terms).items())
    except codec.CodecError as error:
        return (), (str(error),)
    return contributions(found.clauses, weights, found.sparse.info.vocabulary, found.sparse_boost * fetched.boost), ()


def contributions(
    clauses: Sequence[SparseClause], weights: Mapping[int, float], vocabulary: Sequence[str], boost: float
) -> tuple[TermContribution, ...]:
    """Shared terms by falling contribution; ties by token.

    Parameters
    ----------
    clauses : query terms
    weights : vocabulary id → weight in the document
    vocabulary : token strings in id order
    boost : factor of the sparse clause

    >>> contributions([SparseClause(1, "a", 2.0)], {1: 0.5}, ["[PAD]", "a"], 3.0)[0].contribution
    3.0
    """
    shared = [
        TermContribution(vocabulary[c.id], c.weight, weights[c.id], boost * c.weight * weights[c.id])
        for c in clauses
        if c.id in weights
    ]
    return tuple(sorted(shared, key=lambda term: (-term.contribution, term.token)))


async def _matches(shown: Shown, found: Trace) -> tuple[tuple[TokenMatch, ...], tuple[str, ...]]:
    hit = shown.hit
    data, query = found.codes_of(hit), found.query.embeddings
    if found.reranker is None or query is None or hit.parts.maxsim is None or data is None:
        is_cold = found.meta.makes_codes and found.place(hit) < len(found.codes) and data is None
        return (), ("this hit had no token codes yet, so it was not reranked",) if is_cold else ()
    document = codec.unpack_codes(data)
    alignment = scores.align(query, document)
    texts, notes = [""] * len(document), tuple[str, ...]()
    if shown.codes_text:
        texts, notes = await _document_tokens(hit, len(document), found.meta, found.reranker)
    matches = [
        TokenMatch(token, texts[place], place, similarity)
        for token, place, similarity in zip(
            found.query.tokens, alignment.tokens.tolist(), alignment.similarities.tolist(), strict=True
        )
    ]
    return tuple(matches), notes


async def _document_tokens(hit: Hit, rows: int, meta: IndexMeta, encoder: Encoder) -> tuple[list[str], tuple[str, ...]]:
    """Token string of each row of the codes."""
    try:
        tokens = await tokenize_document(encoder, texts_of(hit.source, meta), meta)
    except ChercheError as error:
        return [""] * rows, (error.reason,)
    kept = encoder.kept(tokens, "document")
    if len(kept) != rows:
        return [""] * rows, ("document tokens are not shown: they do not fit the codes, feed the document again",)
    return [tokens.texts[place] for place in kept], ()
