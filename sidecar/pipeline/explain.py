"""Why a hit is where it is: term contributions and the MaxSim alignment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cherche_models import codec, scores
from cherche_models.types import Tokens
from sidecar.errors import ChercheError
from sidecar.pipeline.context import Context
from sidecar.pipeline.encode import share_tokens
from sidecar.pipeline.search import Trace, trace
from sidecar.pipeline.text import field_texts, join
from sidecar.protocols import Encoder
from sidecar.types import (
    EngineHit,
    Explanation,
    Hit,
    IndexMeta,
    SearchRequest,
    SearchResult,
    SparseClause,
    TermContribution,
    TokenMatch,
)


async def explain(
    request: SearchRequest, context: Context, ids: Sequence[str] = ()
) -> tuple[SearchResult, tuple[Explanation, ...]]:
    """Search, and explain the hits of the page (or those named by `ids`).

    Contributions are read from the packed terms, without the model: their sum is the hit's sparse
    part. Similarities are of the stored codes: their sum is the hit's MaxSim.

    Raises
    ------
    ChercheError
        As `search`.
    """
    found = await trace(request, context, with_terms=True)
    wanted = set(ids)
    fetched = {hit.id: hit for hit in found.page.hits}
    shown = [hit for hit in found.result.hits if not wanted or hit.id in wanted]
    explanations = [await _explain_hit(hit, fetched[hit.id], found) for hit in shown]
    return found.result, tuple(explanations)


async def _explain_hit(hit: Hit, fetched: EngineHit, found: Trace) -> Explanation:
    terms, term_notes = _terms(fetched, found)
    matches, match_notes = await _matches(hit, found)
    return Explanation(hit.id, terms, matches, found.sparse_boost, (*term_notes, *match_notes))


def _terms(fetched: EngineHit, found: Trace) -> tuple[tuple[TermContribution, ...], tuple[str, ...]]:
    if found.sparse is None:
        return (), ()
    if fetched.terms is None:
        return (), ("this hit has no packed terms: it was not encoded, feed it again",)
    try:
        weights = dict(codec.unpack_terms(fetched.terms).items())
    except codec.CodecError as error:
        return (), (str(error),)
    return contributions(found.query.clauses, weights, found.sparse.info.vocabulary, found.sparse_boost), ()


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


async def _matches(hit: Hit, found: Trace) -> tuple[tuple[TokenMatch, ...], tuple[str, ...]]:
    data, query = found.codes.get(hit.id), found.query.embeddings
    if found.reranker is None or query is None or hit.parts.maxsim is None or data is None:
        return (), ()
    document = codec.unpack_codes(data)
    alignment = scores.align(query, document)
    texts, notes = await _document_tokens(hit, len(document), found.meta, found.reranker)
    matches = [
        TokenMatch(token, texts[place] if texts else "", place, similarity)
        for token, place, similarity in zip(
            found.query.tokens, alignment.tokens.tolist(), alignment.similarities.tolist(), strict=True
        )
    ]
    return tuple(matches), notes


async def _document_tokens(hit: Hit, rows: int, meta: IndexMeta, encoder: Encoder) -> tuple[list[str], tuple[str, ...]]:
    """Token strings of the codes' rows, from fields that the caller received; [] where any was withheld."""
    if any(field.name not in hit.source for field in meta.fields):
        missing = ", ".join(field.name for field in meta.fields if field.name not in hit.source)
        return [], (f"document tokens are not shown: the hit came without {missing}",)
    try:
        tokens = await _tokens(hit, meta, encoder)
    except ChercheError as error:
        return [], (error.reason,)
    kept = encoder.kept(tokens, "document")
    if len(kept) != rows:
        return [], ("document tokens are not shown: the text changed since it was encoded, feed it again",)
    return [tokens.texts[place] for place in kept], ()


async def _tokens(hit: Hit, meta: IndexMeta, encoder: Encoder) -> Tokens:
    texts = field_texts(f"hit {hit.id!r}", hit.source, meta.fields)
    longest = encoder.info.max_document_length
    length = min(meta.max_length or longest, longest)
    if any(field.token_share for field in meta.fields):
        return await share_tokens(encoder, texts, meta.fields, length)
    [tokens] = await encoder.tokenize([join(texts)], "document", length)
    return tokens
