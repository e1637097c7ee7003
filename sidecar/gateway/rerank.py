"""MaxSim of a query with the texts of a request; codes of texts are cached between requests."""

from __future__ import annotations

import asyncio
import struct
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from cherche_models.types import Floats
from sidecar.errors import ChercheError, invalid
from sidecar.gateway.answers import answer
from sidecar.gateway.encode import EncodedBatch, choose_encoder, encode, require_all, text_name, truncation_errors
from sidecar.gateway.errors import failed_items, too_large, unprocessable
from sidecar.gateway.fields import either
from sidecar.gateway.json_text import array, numbers
from sidecar.observe import telemetry
from sidecar.pipeline.encoded_texts import scorable_codes
from sidecar.pipeline.fingerprint import codes_fingerprint
from sidecar.protocols import Encoder
from sidecar.values.index import DEFAULT_CODEC
from sidecar.values.search import Timings

if TYPE_CHECKING:
    from fastapi import Response

    from sidecar.services import Services

_CACHED = struct.Struct("<?I")
"""Before the codes of a cached document: whether it was cut, and its tokens."""


@dataclass(frozen=True, slots=True)
class DocumentCodes:
    """Documents to rank.

    Attributes
    ----------
    encoder : Encoder
    texts : sequence of str
    codes : dict of int to bytes
        By position; an empty document has none.
    failures : dict of int to ChercheError
        By position.
    truncated : list of int
        Positions of documents that were cut to the model's length.
    tokens : int
        That the model read of all of them, special tokens included.
    timings : Timings
    """

    encoder: Encoder
    texts: Sequence[str]
    codes: dict[int, bytes]
    failures: dict[int, ChercheError]
    truncated: list[int]
    tokens: int
    timings: Timings


@dataclass(frozen=True, slots=True)
class RankedTexts:
    """Documents with their scores.

    Attributes
    ----------
    documents : DocumentCodes
    order : list of int
        Positions in descending order of score, ties by position.
    scores : list of str
        By position, as JSON numbers. A document that is empty or failed has a score below all others.
    model : str
        As the request named it, else as it is served.
    tokens : int
        Of the query and the documents.
    characters : int
        Of the query and the documents.
    id : str
        Drawn for this answer.
    """

    documents: DocumentCodes
    order: list[int]
    scores: list[str]
    model: str
    tokens: int
    characters: int
    id: str

    @property
    def failures(self) -> Mapping[int, ChercheError]:
        """Why a document has no score of its own, by position."""
        return self.documents.failures

    @property
    def warnings(self) -> list[str]:
        """A sentence for each document that has no score of its own."""
        return [f"{error} (scored below all others)" for _, error in sorted(self.failures.items())]

    def results(self, result: Callable[[int, str], str], top_n: int | None) -> str:
        """An array of ``result(position, score)`` in descending order of score."""
        return array(result(place, self.scores[place]) for place in self.order[:top_n])

    def response(self, content: str) -> Response:
        """The HTTP response with `content` as its body."""
        documents, info = self.documents, self.documents.encoder.info
        return answer(
            content,
            documents.encoder,
            codes_fingerprint(info, max_length=info.max_document_length, codec=DEFAULT_CODEC),
            documents.timings,
            truncated=documents.truncated,
            unscored=documents.failures,
        )


@dataclass(frozen=True, slots=True)
class RerankCall:
    """A request for the order of texts by MaxSim with a query.

    Attributes
    ----------
    query : str
    texts : list of str
    model : str
        "" for the default one.
    refuse_truncated : bool
        Whether a text that is longer than the model reads fails the request.
    """

    query: str
    texts: list[str]
    model: str
    refuse_truncated: bool = False

    def with_url(self, model: str) -> RerankCall:
        """The same call, of the model that the URL names.

        Raises
        ------
        ChercheError
            422 where the body names another.
        """
        return replace(self, model=either("model", self.model, model) or "")

    async def run(self, services: Services, method: str) -> RankedTexts:
        """Score all texts.

        Raises
        ------
        ChercheError
            As `choose_encoder` and `encode`; 422 for a query without tokens, where no text can be scored, and for
            truncated texts that are refused; 413 for a query that is too long.
        """
        encoder = choose_encoder(services, self.model, "late_interaction")
        _check_query(services, self.query)
        services.check_items(len(self.texts))
        query = await encode(services, method, encoder, [self.query], "query", "query")
        documents = await _read(services, method, encoder, self.texts)
        scores = await _scores(services, query, documents, refuse_truncated=self.refuse_truncated)
        return RankedTexts(
            documents,
            order=np.argsort(-scores, kind="stable").tolist(),
            scores=numbers(scores),
            model=self.model or encoder.info.name,
            tokens=documents.tokens + _tokens(query),
            characters=len(self.query) + sum(map(len, self.texts)),
            id=str(uuid.uuid4()),
        )


def _check_query(services: Services, query: str) -> None:
    most = services.limits.query_characters
    if not query.strip():
        raise unprocessable(invalid("the query is empty", "give the text to compare the documents with"))
    if len(query) > most:
        raise too_large(
            f"the query has {len(query):,} characters, the limit is {most:,}",
            "shorten it, or raise CHERCHE_LIMITS__QUERY_CHARACTERS on the server",
        )


async def _read(services: Services, method: str, encoder: Encoder, texts: Sequence[str]) -> DocumentCodes:
    """Codes of documents, as an index would hold them, from the cache or encoded.

    They are encoded before documents of a feed, as a user waits for them, but after the queries of other searches.
    """
    cache, info = services.base.codes_cache, encoder.info
    keys = [cache.key(info, (info.max_document_length,), (), [text]) for text in texts]
    cached = {place: found for place, key in enumerate(keys) if (found := cache.get(key)) is not None}
    fresh = ["" if place in cached else text for place, text in enumerate(texts)]  # empty texts are not encoded
    batch = await encode(services, method, encoder, fresh, "document", "rerank")
    codes, failures = await asyncio.to_thread(_packed, batch)
    truncated, tokens = set(batch.truncated), _tokens(batch)
    for place, data in codes.items():
        one = batch.encoded[place]
        cache.put(keys[place], _CACHED.pack(place in truncated, len(one.tokens) if one else 0) + data)
    for place, found in cached.items():
        was_cut, length = _CACHED.unpack_from(found)
        codes[place] = found[_CACHED.size :]
        tokens += length
        if was_cut:
            truncated.add(place)
    return DocumentCodes(encoder, texts, codes, failures, sorted(truncated), tokens, batch.timings)


def _tokens(batch: EncodedBatch) -> int:
    return sum(len(one.tokens) for one in batch.encoded if one is not None)


def _packed(batch: EncodedBatch) -> tuple[dict[int, bytes], dict[int, ChercheError]]:
    """Codes, and why there are none, by position."""
    texts = {place: one for place, one in enumerate(batch.encoded) if one is not None}
    made = {
        place: scorable_codes(one, text_name("document", place, batch.texts[place])) for place, one in texts.items()
    }
    codes = {place: one for place, one in made.items() if isinstance(one, bytes)}
    failed = {place: one for place, one in made.items() if isinstance(one, ChercheError)}
    return codes, {**batch.failures, **failed}


async def _scores(
    services: Services, query: EncodedBatch, documents: DocumentCodes, *, refuse_truncated: bool
) -> Floats:
    """MaxSim of each document with the query, shape (documents,).

    Every document must be in the answer, and one bad document must not cost a search its ranking: one that is
    empty or failed gets a score below all others. Where all are, there is no order: an answer of equal scores would
    replace the caller's own, an error leaves it as it is.
    """
    require_all(query)
    count = len(documents.texts)
    embeddings = query.encoded[0].encoding.embeddings if query.encoded[0] is not None else None
    if embeddings is None or not len(embeddings):
        raise unprocessable(invalid("the query has no token to compare with", "give a query with words"))
    if refuse_truncated and documents.truncated:
        raise failed_items(truncation_errors(documents.encoder, documents.texts, documents.truncated), count)
    if documents.failures and not documents.codes:
        raise failed_items(documents.failures, count)
    if count and not documents.codes:
        problem = invalid(
            f"all {count} documents are empty" if count > 1 else "the document is empty",
            "send their texts; in a cluster: name fields that the hits have in _source (document_fields)",
        )
        raise unprocessable(problem, [(place, problem) for place in range(count)])
    started = services.base.clock()
    scores = np.full(count, -np.inf, np.float32)
    if documents.codes:
        places, codes = zip(*documents.codes.items(), strict=True)
        with telemetry.stage("rerank"):
            scores[list(places)] = await asyncio.to_thread(services.base.maxsim, embeddings, list(codes))
    services.metrics.stages(Timings(rerank=services.base.clock() - started))
    finite = np.isfinite(scores)
    # Rows have length 1, so no similarity is below -1 and no sum below minus the number of query tokens.
    floor = min(-float(len(embeddings)), float(scores[finite].min(initial=0.0))) - 1.0
    return np.where(finite, scores, np.float32(floor))
