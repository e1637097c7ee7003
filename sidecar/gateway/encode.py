"""Texts of a request, through the same models, lanes and limits as over gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from cherche_models.naming import feature_names
from cherche_models.prune import Prune
from cherche_models.types import Floats, TermWeights
from sidecar.errors import ChercheError, Code, invalid, item_name, naming, precondition, unavailable
from sidecar.gateway.errors import failed_items, too_large, unprocessable
from sidecar.gateway.shapes import Naming
from sidecar.gateway.wire import quoted
from sidecar.pipeline.encoded_texts import leaving_weights, slowest
from sidecar.pipeline.fingerprint import codes_fingerprint, sparse_fingerprint
from sidecar.protocols import Encoder
from sidecar.services import Services
from sidecar.values.index import DEFAULT_CODEC
from sidecar.values.model import Encoded, Kind, Lane, ModelState
from sidecar.values.search import Timings

Head = Literal["sparse", "late_interaction"]

UNPRUNED = Prune.parse("none")
NUMBER_BYTES = 12  # a float32 and its comma, as JSON
_CALLED = {"sparse": "sparse", "late_interaction": "late-interaction"}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the texts of a request.

    Attributes
    ----------
    encoder : Encoder
    encoded : sequence of Encoded or None
        In the order of the texts; None for an empty or a failed one.
    failures : dict of int to ChercheError
        By place.
    timings : Timings
    """

    encoder: Encoder
    encoded: tuple[Encoded | None, ...]
    failures: dict[int, ChercheError]
    timings: Timings

    @property
    def truncated(self) -> list[int]:
        """Places of texts that were cut to the model's length."""
        return [place for place, one in enumerate(self.encoded) if one is not None and one.tokens.truncated]

    @property
    def unknown_language(self) -> list[int]:
        """Places of texts of a language that the model does not know: they got nothing."""
        return [place for place, one in enumerate(self.encoded) if one is not None and one.encoding.unknown_language]


def pick(services: Services, name: str, head: Head) -> Encoder:
    """The named model, else the default, else the only other one that has the head.

    Dialects without a model name need the last: sparse and reranking model are often two. Never the first of
    several: weights of two models must not mix in an index.

    Raises
    ------
    ChercheError
        NOT_FOUND, FAILED_PRECONDITION naming the choice, UNAVAILABLE while models load.
    """
    registry = services.registry
    if name:
        encoder = registry.named(name)
        if not getattr(encoder.info, head):
            raise precondition(f"model {name!r} has no {_CALLED[head]} head", "name another: cherche models list")
        return encoder
    ready = registry.ready()
    default = next((model.name for model in registry.list() if model.is_default), "")
    able = [encoder for encoder in ready if getattr(encoder.info, head)]
    chosen = next((encoder for encoder in able if encoder.info.name == default), None)
    if chosen is not None:
        return chosen
    if any(model.state is ModelState.LOADING for model in registry.list()):
        raise unavailable("models are being loaded", "try again in some seconds")
    if len(able) == 1:
        return able[0]
    if not able:
        raise precondition(f"no served model has a {_CALLED[head]} head", "start with: cherche serve --model NAME=PATH")
    names = ", ".join(encoder.info.name for encoder in able)
    raise precondition(f"several models have a {_CALLED[head]} head: {names}", "name one: model in body or address")


async def encode(
    services: Services, method: str, encoder: Encoder, texts: Sequence[str], kind: Kind, lane: Lane
) -> Outcome:
    """Encode what can be encoded; empty texts cost nothing and are no failure.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT for too many texts; what the encoder raises.
    """
    services.check_items(len(texts))
    clock = services.base.clock
    started = clock()
    failures: dict[int, ChercheError] = {}
    sound: dict[int, str] = {}
    for place, text in enumerate(texts):
        if not text.strip():
            continue
        try:
            _check_text(services, item_name(kind, place, ""), text)
            sound[place] = text
        except ChercheError as error:
            failures[place] = error
    results = (
        await encoder.encode(list(sound.values()), kind, lane=lane, timeout=services.limits.deadline) if sound else []
    )
    encoded: list[Encoded | None] = [None] * len(texts)
    for place, result in zip(sound, results, strict=True):
        if isinstance(result, ChercheError):
            failures[place] = naming(result, item_name(kind, place, ""))
        else:
            encoded[place] = result
    timings = slowest([one for one in encoded if one is not None], clock() - started)
    outcome = Outcome(encoder, tuple(encoded), failures, timings)
    services.metrics.stages(timings)
    services.count(method, [failures.get(place) for place in range(len(texts))], len(outcome.truncated))
    return outcome


def _check_text(services: Services, name: str, text: str) -> None:
    """As gRPC, whose strings cannot hold what JSON's escapes can: half a surrogate pair."""
    services.check_text(name, text)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        reason = f"{name} is no Unicode text: a lone surrogate at character {error.start}"
        raise invalid(reason, "send the pair, or leave it out") from None


def require_all(outcome: Outcome, *, uncut: bool = False) -> None:
    """Refuse an answer with holes: these dialects cannot say which text failed.

    Raises
    ------
    ChercheError
        422 naming every failed text; with `uncut`, also those that were cut.
    """
    failures = {**outcome.failures, **(cut(outcome.encoder, outcome.truncated) if uncut else {})}
    if failures:
        raise failed_items(failures, len(outcome.encoded))


def cut(encoder: Encoder, truncated: Sequence[int]) -> dict[int, ChercheError]:
    """Why texts that were cut are not wanted so, by place."""
    longest = encoder.info.max_document_length
    return {
        place: invalid(f"text {place} is longer than {longest} tokens", "shorten it, or let it be truncated")
        for place in truncated
    }


async def term_weights(outcome: Outcome, kind: Kind) -> list[TermWeights]:
    """Weights of each text, in order; none for an empty one.

    Raises
    ------
    ChercheError
        422 for texts whose weights cannot be stored.
    """

    def finish() -> list[TermWeights]:
        return [_weights(place, one, kind) for place, one in enumerate(outcome.encoded)]

    return await asyncio.to_thread(finish)


def _weights(place: int, encoded: Encoded | None, kind: Kind) -> TermWeights:
    if encoded is None or encoded.encoding.weights is None:
        return TermWeights.from_pairs([])
    try:
        return leaving_weights(encoded.encoding.weights, kind, UNPRUNED)
    except ValueError as error:
        broken = ChercheError(Code.INTERNAL, f"text {place}: {error}", "check the model with: cherche doctor")
        raise unprocessable(broken, [(place, broken)]) from None


def matrices(services: Services, outcome: Outcome) -> list[Floats]:
    """Token embeddings of each text, shape (tokens, dim); (0, dim) for an empty one.

    Raises
    ------
    ChercheError
        413 where they would not fit into an answer.
    """
    dim = outcome.encoder.info.dim
    empty = np.empty((0, dim), np.float32)
    embeddings = [None if one is None else one.encoding.embeddings for one in outcome.encoded]
    found = [empty if one is None else one.vectors for one in embeddings]
    size = sum(one.size for one in found) * NUMBER_BYTES
    if size > services.limits.request_bytes:
        raise too_large(
            f"the answer would have about {size:,} bytes, the limit is {services.limits.request_bytes:,}",
            "send fewer texts at once, or use EncoderService over gRPC, whose codes are a tenth of that",
        )
    return found


def names(encoder: Encoder, how: Naming) -> tuple[str, ...]:
    """The vocabulary as quoted JSON names, in id order.

    Raises
    ------
    ChercheError
        FAILED_PRECONDITION where two terms would share a name: one of them would be lost.
    """
    try:
        return _names(encoder.info.vocabulary, how)
    except ValueError as error:
        raise precondition(str(error), "ask for ids: ?naming=id, or sparse_embedding_format token_id") from None


@lru_cache(maxsize=16)
def _names(vocabulary: tuple[str, ...], how: Naming) -> tuple[str, ...]:
    if how != "word":
        return tuple(quoted(name) for name in feature_names(vocabulary, how))
    if len(set(vocabulary)) != len(vocabulary) or "" in vocabulary:
        raise ValueError("the vocabulary repeats a token, or has an empty one")
    return tuple(quoted(token) for token in vocabulary)


def fingerprint(encoder: Encoder, head: Head, how: Naming = "word") -> str:
    """What made the numbers of an answer."""
    info = encoder.info
    if head == "sparse":
        return sparse_fingerprint(info, max_length=info.max_document_length, prune=str(UNPRUNED), naming=how)
    return codes_fingerprint(info, max_length=info.max_document_length, codec=DEFAULT_CODEC)
