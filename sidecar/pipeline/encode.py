"""Texts become what an index stores: pruned weights on the grid, token codes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar, get_args

import numpy as np
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception

from cherche_models import codec, grid, naming
from cherche_models.prune import Prune
from cherche_models.types import TermWeights, TokenEmbeddings, Tokens
from sidecar.errors import ChercheError, Code, precondition
from sidecar.pipeline.context import Context
from sidecar.pipeline.fingerprint import codes_encoder, sparse_encoder
from sidecar.pipeline.text import join
from sidecar.protocols import Encoded, Encoder, Encoders, Lane
from sidecar.types import IndexMeta, TextField

T = TypeVar("T")
Outcome = Encoded | ChercheError

PATIENCE = 300.0  # seconds of waiting for an overloaded model before documents fail
_PAUSES = (0.1, 10.0)
_NAMINGS: dict[str, naming.Naming] = {name: name for name in get_args(naming.Naming)}


@dataclass(frozen=True, slots=True)
class NeuralPart:
    """What is stored beside a document, and what was cut."""

    weights: TermWeights
    codes: bytes | None
    tokens: int
    truncated: bool


@dataclass(frozen=True, slots=True)
class DocumentEncoder:
    """The models and options of one index, ready to encode its documents.

    `codes` is None where the index stores none; the same encoder twice where one pass gives both.
    """

    meta: IndexMeta
    sparse: Encoder
    codes: Encoder | None
    prune: Prune

    @classmethod
    def of(cls, meta: IndexMeta, encoders: Encoders) -> DocumentEncoder:
        """Pick the served models by the index's fingerprint.

        Raises
        ------
        ChercheError
            FAILED_PRECONDITION naming the model to serve.
        """
        return cls(meta, sparse_encoder(meta, encoders), codes_encoder(meta, encoders), Prune.parse(meta.prune))

    def feature_names(self) -> list[str]:
        """Feature name of each vocabulary id."""
        return names_of(self.sparse.info.vocabulary, self.meta.naming)

    async def encode(
        self, texts: Sequence[Sequence[str]], context: Context, *, lane: Lane
    ) -> list[NeuralPart | ChercheError]:
        """Encode documents given as one text per field; one result each, in order.

        An overloaded model is waited for: a feed is slowed down by it, not failed.

        Raises
        ------
        ChercheError
            RESOURCE_EXHAUSTED after `PATIENCE` or near the deadline; DEADLINE_EXCEEDED; UNAVAILABLE.
        """

        def passed(encoder: Encoder) -> Coroutine[Any, Any, list[Outcome]]:
            return _patiently(partial(encode_documents, encoder, texts, self.meta, context, lane=lane), context)

        if self.codes is None or self.codes is self.sparse:
            weighted = coded = await passed(self.sparse)
        else:
            weighted, coded = await _both(passed(self.sparse), passed(self.codes))
        return await asyncio.to_thread(self._finish, weighted, coded)

    def _finish(self, weighted: Sequence[Outcome], coded: Sequence[Outcome]) -> list[NeuralPart | ChercheError]:
        return [self._part(one, two) for one, two in zip(weighted, coded, strict=True)]

    def _part(self, weighted: Outcome, coded: Outcome) -> NeuralPart | ChercheError:
        if isinstance(weighted, ChercheError):
            return weighted
        if isinstance(coded, ChercheError):
            return coded
        try:
            weights = storable_weights(_required(weighted.encoding.weights, self.sparse), self.prune)
            codes = self._codes(coded.encoding.embeddings)
        except ValueError as error:
            return ChercheError(Code.INTERNAL, str(error), "check the model with: cherche doctor")
        truncated = weighted.tokens.truncated or (codes is not None and coded.tokens.truncated)
        return NeuralPart(weights, codes, len(weighted.tokens), truncated)

    def _codes(self, embeddings: TokenEmbeddings | None) -> bytes | None:
        if self.codes is None:
            return None
        if embeddings is None:
            raise ValueError(f"model {self.codes.info.name!r} gave no token embeddings")
        return codec.pack_codes(embeddings)


def storable_weights(weights: TermWeights, prune: Prune) -> TermWeights:
    """Prune, drop what no engine stores, round to the grid.

    Raises
    ------
    ValueError
        If a weight is NaN or infinite: then the model is broken, not the text.
    """
    if not bool(np.isfinite(weights.weights).all()):
        raise ValueError("the model gave NaN or infinite term weights; nothing was stored")
    kept = grid.storable(weights.weights)
    clean = TermWeights(weights.ids[kept], weights.weights[kept])
    pruned = prune(clean)
    return TermWeights(pruned.ids, grid.round_to_grid(pruned.weights))


def names_of(vocabulary: Sequence[str], how: str) -> list[str]:
    """Feature names of a whole vocabulary: some milliseconds, so ask once for many texts.

    Raises
    ------
    ChercheError
        FAILED_PRECONDITION for a naming this release does not know.
    """
    return naming.feature_names(vocabulary, _known(how))


def name_of(vocabulary: Sequence[str], i: int, how: str) -> str:
    """Feature name of one vocabulary id.

    Raises
    ------
    ChercheError
        FAILED_PRECONDITION for a naming this release does not know.

    >>> name_of(["a", "##."], 1, "escaped"), name_of(["a", "##."], 1, "id")
    ('##%2E', '1')
    """
    return naming.escape(vocabulary[i]) if _known(how) == "escaped" else str(i)


def _known(how: str) -> naming.Naming:
    known = _NAMINGS.get(how)
    if known is None:
        raise precondition(f"the index uses the naming {how!r}, unknown to this release", "upgrade the sidecar")
    return known


async def encode_documents(
    encoder: Encoder, texts: Sequence[Sequence[str]], meta: IndexMeta, context: Context, *, lane: Lane
) -> list[Outcome]:
    """One pass over documents given as one text per field; one result each, in order."""
    if not texts:
        return []
    length = document_length(meta, encoder)
    if not any(field.token_share for field in meta.fields):
        joined = [join(parts) for parts in texts]
        return await encoder.encode(joined, "document", lane=lane, max_length=length, timeout=context.remaining())
    tokens = [await _tokens_or_error(encoder, parts, meta.fields, length) for parts in texts]
    readable = [one for one in tokens if isinstance(one, Tokens)]
    encoded = iter(await encoder.encode_tokens(readable, "document", lane=lane, timeout=context.remaining()))
    return [next(encoded) if isinstance(one, Tokens) else one for one in tokens]


async def tokenize_document(encoder: Encoder, texts: Sequence[str], meta: IndexMeta) -> Tokens:
    """The tokens that `encode_documents` encodes.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT, INTERNAL for a text that cannot be read.
    """
    length = document_length(meta, encoder)
    if any(field.token_share for field in meta.fields):
        return await share_tokens(encoder, texts, meta.fields, length)
    [tokens] = await encoder.tokenize([join(texts)], "document", length)
    return tokens


def document_length(meta: IndexMeta, encoder: Encoder) -> int:
    """Tokens that an encoder reads of an index's documents."""
    longest = encoder.info.max_document_length
    return min(meta.max_length or longest, longest)


async def _tokens_or_error(
    encoder: Encoder, texts: Sequence[str], fields: Sequence[TextField], max_length: int
) -> Tokens | ChercheError:
    try:
        return await share_tokens(encoder, texts, fields, max_length)
    except ChercheError as error:
        return error


async def _patiently(attempt: Callable[[], Awaitable[T]], context: Context) -> T:
    """Try again where a model refuses because too much waits for it already."""

    def exhausted(state: RetryCallState) -> bool:
        left = context.remaining()
        late = left is not None and state.upcoming_sleep >= left
        return late or state.idle_for + state.upcoming_sleep > PATIENCE

    retrying = AsyncRetrying(
        retry=retry_if_exception(_is_overload), wait=_pause, stop=exhausted, sleep=context.sleep, reraise=True
    )
    return await retrying(attempt)


def _is_overload(error: BaseException) -> bool:
    return isinstance(error, ChercheError) and error.code is Code.RESOURCE_EXHAUSTED


def _pause(state: RetryCallState) -> float:
    """Seconds: what the model asks for, or longer from one refusal to the next."""
    error = state.outcome.exception() if state.outcome else None
    asked = error.retry_after if isinstance(error, ChercheError) else None
    shortest, longest = _PAUSES
    return max(asked or 0.0, min(shortest * 2.0 ** (state.attempt_number - 1), longest))


async def _both(first: Coroutine[Any, Any, T], second: Coroutine[Any, Any, T]) -> tuple[T, T]:
    """Both at once; where one fails the other is ended."""
    try:
        async with asyncio.TaskGroup() as group:
            one, two = group.create_task(first), group.create_task(second)
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return one.result(), two.result()


async def share_tokens(encoder: Encoder, texts: Sequence[str], fields: Sequence[TextField], max_length: int) -> Tokens:
    """Cut each field to its share of the maximum length, then join the tokens.

    A share is a bound, never more than what the fields before left over; a field without one may take it all.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT, INTERNAL for a text that cannot be read.
    """
    frame, probe, *parts = await encoder.tokenize(["", "a", *texts], "document")
    edge = _leading(frame, probe)
    bodies = [_body(part, frame, edge) for part in parts]
    room = max(0, max_length - len(frame))
    caps = [int(field.token_share * room) if field.token_share else room for field in fields]
    ids = list(frame.ids[:edge])
    names = list(frame.texts[:edge])
    left = room
    for (body_ids, body_texts), cap in zip(bodies, caps, strict=True):
        kept = min(cap, left, len(body_ids))
        ids += body_ids[:kept]
        names += body_texts[:kept]
        left -= kept
    total = len(frame) + sum(part.total - len(frame) for part in parts)
    return Tokens((*ids, *frame.ids[edge:]), (*names, *frame.texts[edge:]), total)


def _leading(frame: Tokens, probe: Tokens) -> int:
    """Special tokens before the text: where a text that holds none of them departs from the empty one."""
    same = (a == b for a, b in zip(frame.ids, probe.ids, strict=False))
    return next((i for i, equal in enumerate(same) if not equal), len(frame))


def _body(part: Tokens, frame: Tokens, edge: int) -> tuple[tuple[int, ...], tuple[str, ...]]:
    end = len(part) - (len(frame) - edge)
    return part.ids[edge:end], part.texts[edge:end]


def _required(weights: TermWeights | None, encoder: Encoder) -> TermWeights:
    if weights is None:
        raise ValueError(f"model {encoder.info.name!r} gave no term weights")
    return weights
