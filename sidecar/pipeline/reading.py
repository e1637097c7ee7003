"""How the models read one hit: its text, where the shared terms stand in it, and its similarity token by token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cherche_models import codec
from cherche_models.types import Floats
from sidecar.errors import ChercheError, not_found
from sidecar.pipeline.chunks import merged_tokens, surroundings
from sidecar.pipeline.context import Context
from sidecar.pipeline.encode import document_windows, field_starts
from sidecar.pipeline.explain import Shown, explain_hit, received, texts_of
from sidecar.pipeline.places import Place, places
from sidecar.pipeline.search import Trace, trace
from sidecar.pipeline.text import join
from sidecar.protocols import Encoder
from sidecar.values.index import IndexMeta
from sidecar.values.search import Explanation, Hit, SearchRequest, SearchResult


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """A hit as the models read it.

    Attributes
    ----------
    hit : Hit
    explanation : Explanation
    text : str
        What was encoded; "" where the caller did not receive it.
    terms : tuple of tuple of Place
        Where each of the explanation's terms stands in the text: nowhere, if the model added it.
    query_tokens : tuple of str
        One for each row of `similarities`.
    tokens : tuple of (str, Place or None)
        Document tokens, one for each column.
    similarities : float32 array, shape (query tokens, document tokens)
        Of the query with the codes; the sum of each row's maximum is the MaxSim. Empty where there was no rerank.
    """

    hit: Hit
    explanation: Explanation
    text: str
    terms: tuple[tuple[Place, ...], ...]
    query_tokens: tuple[str, ...]
    tokens: tuple[tuple[str, Place | None], ...]
    similarities: Floats


async def read_hit(request: SearchRequest, context: Context, id: str) -> tuple[SearchResult, Reading]:
    """Search, and read one of the hits of the page.

    Weights and codes are those that are stored, as in `explain`, and text is shown only to whom it was returned.

    Raises
    ------
    ChercheError
        As `search`; NOT_FOUND where the page has no such hit.
    """
    found = await trace(request, context, with_terms=True)
    hit = next((hit for hit in found.result.hits if hit.id == id), None)
    if hit is None:
        raise not_found(f"{id!r} is not among the hits of this page", "search again")
    shown = received(hit, found)
    explanation = await explain_hit(shown, found)
    texts = texts_of(hit.source, found.meta)
    terms: tuple[tuple[Place, ...], ...] = tuple(() for _ in explanation.terms)
    if found.sparse is not None and shown.terms_text:
        written = await _written(found.sparse, texts, found.meta)
        terms = tuple(
            tuple(dict.fromkeys(place for token, place in written if token == term.token and place))
            for term in explanation.terms
        )
    query_tokens, tokens, similarities = await _similarities(shown, found, texts)
    text = join(texts) if shown.terms_text or shown.codes_text else ""
    return found.result, Reading(hit, explanation, text, terms, query_tokens, tokens, similarities)


async def _similarities(
    shown: Shown, found: Trace, texts: Sequence[str]
) -> tuple[tuple[str, ...], tuple[tuple[str, Place | None], ...], Floats]:
    """Of each query token with each token of the hit's codes."""
    data, query = found.codes_of(shown.hit), found.query.embeddings
    if found.reranker is None or query is None or shown.hit.parts.maxsim is None or data is None:
        return (), (), np.zeros((0, 0), np.float32)
    document = codec.unpack_codes(data)
    tokens: list[tuple[str, Place | None]] = [("", None)] * len(document)
    written = await _written(found.reranker, texts, found.meta) if shown.codes_text else []
    if written:
        kept = found.reranker.kept(merged_tokens(await document_windows(found.reranker, texts, found.meta)), "document")
        tokens = [written[place] for place in kept] if len(kept) == len(document) else tokens
    return found.query.tokens, tuple(tokens), query.vectors @ document.vectors.T


async def _written(encoder: Encoder, texts: Sequence[str], meta: IndexMeta) -> list[tuple[str, Place | None]]:
    """Tokens of a document, window after window, and where they stand in the joined text; none if it is unreadable."""
    try:
        windows = [window.texts for window in await document_windows(encoder, texts, meta)]
        starts = await field_starts(encoder, texts, meta)
    except ChercheError:
        return []  # the explanation says so
    before, after = await surroundings(encoder)
    where = places(join(texts), windows, before, after, meta.chunks.overlap, starts)
    return list(zip((token for window in windows for token in window), where, strict=True))
