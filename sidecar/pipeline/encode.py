"""Texts become what an index stores: pruned weights on the grid, token codes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, TypeVar, get_args

import numpy as np
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception

from cherche_models import codec, grid, naming
from cherche_models.codes import codebook
from cherche_models.prune import Prune
from cherche_models.types import TermWeights, Tokens
from sidecar.errors import ChercheError, Code, precondition
from sidecar.pipeline.chunks import kept_of_each, merged, merged_tokens, windows
from sidecar.pipeline.context import Context
from sidecar.pipeline.fingerprint import codes_encoder, sparse_encoder
from sidecar.pipeline.text import join
from sidecar.protocols import Encoder, Encoders
from sidecar.values.index import IndexMeta, TextField
from sidecar.values.model import Encoded, Lane

T = TypeVar("T")
Outcome = Encoded | ChercheError

PATIENCE = 300.0  # seconds of waiting for an overloaded model before documents fail
_PAUSES = (0.1, 10.0)
_WAITED = 0.5  # of the time left: what comes after a longer wait would be too late, and is better known at once
_NAMINGS: dict[str, naming.Naming] = {name: name for name in get_args(naming.Naming)}


@dataclass(frozen=True, slots=True)
class NeuralPart:
    """What is stored beside a document, and what was cut."""

    weights: TermWeights
    codes: bytes | None
    tokens: int
    truncated: bool
    unknown_language: bool = False


@dataclass(frozen=True, slots=True)
class DocumentEncoder:
    """The models and options of one index, ready to encode its documents.

    `codes` is None where the index stores none; the same encoder twice where one pass gives both. Where the index makes
    codes on demand, `encode` makes none.
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

    def feature_names(self) -> tuple[str, ...]:
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

        if self.codes is None or self.codes is self.sparse or self.meta.makes_codes:
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
            codes = self._codes(coded)
        except ValueError as error:
            return ChercheError(Code.INTERNAL, str(error), "check the model with: cherche doctor")
        truncated = weighted.tokens.truncated or (codes is not None and coded.tokens.truncated)
        return NeuralPart(weights, codes, len(weighted.tokens), truncated, weighted.encoding.unknown_language)

    def _codes(self, coded: Encoded) -> bytes | None:
        return None if self.codes is None or self.meta.makes_codes else packed_codes(coded, self.codes, self.meta)


def packed_codes(coded: Encoded, encoder: Encoder, meta: IndexMeta) -> bytes:
    """The token codes of a document in the codec of its index.

    Raises
    ------
    ValueError
        If the model gave none, or none that can be packed.
    """
    if coded.encoding.embeddings is None:
        raise ValueError(f"model {encoder.info.name!r} gave no token embeddings")
    book = codebook.known(encoder.info.codebook)
    return codec.pack_codes(coded.encoding.embeddings, meta.codec, chunks=coded.chunks, book=book)


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


@lru_cache(maxsize=16)
def names_of(vocabulary: tuple[str, ...], how: str) -> tuple[str, ...]:
    """Feature names of a whole vocabulary, kept for the next call: they take 20 ms of the event loop.

    Raises
    ------
    ChercheError
        FAILED_PRECONDITION for a naming this release does not know.
    """
    return tuple(naming.feature_names(vocabulary, _known(how)))


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
    if meta.chunks.most == 1 and not any(field.token_share for field in meta.fields):
        # Without shares and chunks a document is its joined text: one call of the tokenizer serves all of them.
        joined, length = [join(parts) for parts in texts], document_length(meta, encoder)
        return await encoder.encode(joined, "document", lane=lane, max_length=length, timeout=context.remaining())
    cut = await windows_of_each(encoder, texts, meta)
    readable = [window for one in cut if not isinstance(one, ChercheError) for window in one]
    pooling = meta.chunks.pooling
    encoded = iter(await encoder.encode_tokens(readable, "document", lane=lane, timeout=context.remaining()))
    return [one if isinstance(one, ChercheError) else merged([next(encoded) for _ in one], pooling) for one in cut]


async def tokenize_document(encoder: Encoder, texts: Sequence[str], meta: IndexMeta) -> Tokens:
    """The tokens that `encode_documents` encodes, window after window.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT, INTERNAL for a text that cannot be read.
    """
    return merged_tokens(await document_windows(encoder, texts, meta))


def document_length(meta: IndexMeta, encoder: Encoder) -> int:
    """Tokens that an encoder reads of an index's documents."""
    longest = encoder.info.max_document_length
    return min(meta.max_length or longest, longest)


async def windows_of_each(
    encoder: Encoder, texts: Sequence[Sequence[str]], meta: IndexMeta
) -> list[list[Tokens] | ChercheError]:
    """The windows of each document; the tokenizer is called once where it can read all, and no field has a share."""
    if not any(field.token_share for field in meta.fields):
        with suppress(ChercheError):  # of one text, which is found below
            whole = await encoder.tokenize([join(parts) for parts in texts], "document", document_length(meta, encoder))
            return [
                await _cut_or_error(encoder, parts, meta) if one.truncated else [one]
                for parts, one in zip(texts, whole, strict=True)
            ]
    return [await _windows_or_error(encoder, parts, meta) for parts in texts]


async def _cut_or_error(encoder: Encoder, texts: Sequence[str], meta: IndexMeta) -> list[Tokens] | ChercheError:
    """The windows of a document that is known not to fit one, without reading it as one again."""
    try:
        return await windows(encoder, [join(texts)], (TextField(""),), document_length(meta, encoder), meta.chunks)
    except ChercheError as error:
        return error


async def _windows_or_error(encoder: Encoder, texts: Sequence[str], meta: IndexMeta) -> list[Tokens] | ChercheError:
    try:
        return await document_windows(encoder, texts, meta)
    except ChercheError as error:
        return error


async def document_windows(encoder: Encoder, texts: Sequence[str], meta: IndexMeta) -> list[Tokens]:
    """The windows of a document given as one text per field; one that fits is one window, as if there were no chunks.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT, INTERNAL for a text that cannot be read.
    """
    length = document_length(meta, encoder)
    fields = meta.fields
    if any(field.token_share for field in fields):
        whole = [await share_tokens(encoder, texts, fields, length)]
    else:
        texts, fields = [join(texts)], (TextField(""),)
        whole = await encoder.tokenize(texts, "document", length)
    if meta.chunks.most == 1 or not whole[0].truncated:
        return whole
    return await windows(encoder, texts, fields, length, meta.chunks)


async def field_starts(encoder: Encoder, texts: Sequence[str], meta: IndexMeta) -> dict[int, int]:
    """Where in the joined text a field begins, by its first token among those of `document_windows`, each counted once.

    Empty where no field has a share: then no field is cut before another begins.

    Raises
    ------
    ChercheError
        As `document_windows`.
    """
    if not any(field.token_share for field in meta.fields):
        return {}
    length = document_length(meta, encoder)
    kept, is_cut = await kept_of_each(encoder, texts, meta.fields, length)
    if is_cut and meta.chunks.most > 1:
        kept, _ = await kept_of_each(encoder, texts, meta.fields, length, meta.chunks)
    starts: dict[int, int] = {}
    token, start = 0, 0
    for text, count in zip(texts, kept, strict=True):
        starts[token] = start
        token += count
        start += len(text) + 1 if text else 0
    return starts


async def _patiently(attempt: Callable[[], Awaitable[T]], context: Context) -> T:
    """Try again where a model refuses because too much waits for it already."""

    def exhausted(state: RetryCallState) -> bool:
        left = context.remaining()
        late = left is not None and state.upcoming_sleep >= left * _WAITED
        return late or state.idle_for + state.upcoming_sleep > PATIENCE

    retrying = AsyncRetrying(
        retry=retry_if_exception(_is_overload), wait=_pause, stop=exhausted, sleep=context.sleep, reraise=True
    )
    return await retrying(attempt)


def _is_overload(error: BaseException) -> bool:
    return isinstance(error, ChercheError) and error.code is Code.RESOURCE_EXHAUSTED


def _pause(state: RetryCallState) -> float:
    """Seconds: the `retry_after` of the model, or longer from one refusal to the next."""
    error = state.outcome.exception() if state.outcome else None
    stated = error.retry_after if isinstance(error, ChercheError) else None
    shortest, longest = _PAUSES
    return max(stated or 0.0, min(shortest * 2.0 ** (state.attempt_number - 1), longest))


async def _both(first: Coroutine[Any, Any, T], second: Coroutine[Any, Any, T]) -> tuple[T, T]:
    """Both at once; where one fails the other is ended."""
    try:
        async with asyncio.TaskGroup() as group:
            one, two = group.create_task(first), group.create_task(second)
    except ExceptionGroup as failures:
        # A group would hide the typed error from callers.
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
    [tokens] = await windows(encoder, texts, fields, max_length)
    return tokens


def _required(weights: TermWeights | None, encoder: Encoder) -> TermWeights:
    if weights is None:
        raise ValueError(f"model {encoder.info.name!r} gave no term weights")
    return weights
