"""Encoding the texts of a request, with the models, lanes and limits of the gRPC port."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from sidecar.errors import ChercheError, invalid, item_name, naming, precondition, unavailable
from sidecar.gateway.errors import failed_items
from sidecar.gateway.json_text import quoted
from sidecar.pipeline.encoded_texts import slowest
from sidecar.protocols import Encoder
from sidecar.values.model import Encoded, Kind, Lane, ModelState
from sidecar.values.search import Timings

if TYPE_CHECKING:
    from sidecar.services import Services

Head = Literal["sparse", "late_interaction"]

_OPENING = 40
"""Characters of a text that an error repeats: clusters sort a batch before they send it, so a position says little."""

_HEADS = {"sparse": "sparse", "late_interaction": "late-interaction"}


@dataclass(frozen=True, slots=True)
class EncodedBatch:
    """The texts of a request, encoded.

    Attributes
    ----------
    encoder : Encoder
    texts : sequence of str
    encoded : sequence of Encoded or None
        In the order of the texts; None for an empty or a failed one.
    cut : frozenset of int
        Positions of texts beyond the limit of bytes, of which only the beginning was read.
    failures : dict of int to ChercheError
        By position.
    timings : Timings
    """

    encoder: Encoder
    texts: Sequence[str]
    encoded: tuple[Encoded | None, ...]
    cut: frozenset[int]
    failures: dict[int, ChercheError]
    timings: Timings

    @property
    def truncated(self) -> list[int]:
        """Positions of texts that were cut to the model's length, or to the limit of bytes."""
        return [
            place
            for place, one in enumerate(self.encoded)
            if one is not None and (one.tokens.truncated or place in self.cut)
        ]

    @property
    def unknown_language(self) -> list[int]:
        """Positions of texts of a language that the model does not know; they have no weights and no embeddings."""
        return [place for place, one in enumerate(self.encoded) if one is not None and one.encoding.unknown_language]


def choose_encoder(services: Services, name: str, head: Head) -> Encoder:
    """The named model, else the default, else the only one that has the head.

    Dialects without a model name need the last: the sparse model and the reranker are often two. With several
    candidates none is chosen: weights of two models must not mix in an index.

    Raises
    ------
    ChercheError
        NOT_FOUND, FAILED_PRECONDITION naming the choice, UNAVAILABLE while models load.
    """
    registry = services.registry
    if name:
        encoder = registry.named(name)
        if not getattr(encoder.info, head):
            raise precondition(f"model {name!r} has no {_HEADS[head]} head", "choose another one: cherche models list")
        return encoder
    ready = registry.ready()
    default = next((model.name for model in registry.list() if model.is_default), "")
    able = [encoder for encoder in ready if getattr(encoder.info, head)]
    chosen = next((encoder for encoder in able if encoder.info.name == default), None)
    if chosen is not None:
        return chosen
    if any(model.state is ModelState.LOADING for model in registry.list()):
        raise unavailable("models are being loaded", "try again in a few seconds")
    if len(able) == 1:
        return able[0]
    if not able:
        raise precondition(f"no served model has a {_HEADS[head]} head", "start with: cherche serve --model NAME=PATH")
    names = ", ".join(encoder.info.name for encoder in able)
    raise precondition(
        f"several models have a {_HEADS[head]} head: {names}", "choose one with `model` in the body or the URL"
    )


def lane_of(kind: Kind) -> Lane:
    """Queries go before documents."""
    return "query" if kind == "query" else "ingest"


async def encode(
    services: Services, method: str, encoder: Encoder, texts: Sequence[str], kind: Kind, lane: Lane
) -> EncodedBatch:
    """Encode the texts. One that fails does not affect the others; empty ones are skipped, too large ones cut.

    These dialects have no place for the failure of one text, and a model reads a fraction of a mebibyte.

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
    cut: set[int] = set()
    for place, text in enumerate(texts):
        if not text.strip():
            continue
        try:
            _check_unicode(text_name(kind, place, text), text)
            sound[place] = _beginning(text, services.limits.document_bytes)
            if len(sound[place]) < len(text):
                cut.add(place)
        except ChercheError as error:
            failures[place] = error
    results = (
        await encoder.encode(list(sound.values()), kind, lane=lane, timeout=services.limits.deadline) if sound else []
    )
    encoded: list[Encoded | None] = [None] * len(texts)
    for place, result in zip(sound, results, strict=True):
        if isinstance(result, ChercheError):
            failures[place] = naming(result, text_name(kind, place, texts[place]))
        else:
            encoded[place] = result
    timings = slowest([one for one in encoded if one is not None], clock() - started)
    batch = EncodedBatch(encoder, texts, tuple(encoded), frozenset(cut), failures, timings)
    services.metrics.stages(timings)
    services.count(method, [failures.get(place) for place in range(len(texts))], len(batch.truncated))
    return batch


def text_name(kind: Kind, place: int, text: str) -> str:
    """How messages call a text: by its position and its first words.

    >>> text_name("document", 3, "Aspirin lowers the risk of a second stroke, and of a third")
    'document 3 ("Aspirin lowers the risk of a second stro"...)'
    """
    opening = " ".join(text[: 4 * _OPENING].split())
    return f"{item_name(kind, place, '')} ({quoted(opening[:_OPENING])}{'...' if len(opening) > _OPENING else ''})"


def _beginning(text: str, most: int) -> str:
    """The text up to a number of bytes, cut between characters.

    >>> _beginning("zürich", 2), _beginning("zürich", 7)
    ('z', 'zürich')
    """
    if 4 * len(text) <= most:
        return text
    data = text.encode()
    return text if len(data) <= most else data[:most].decode(errors="ignore")


def _check_unicode(name: str, text: str) -> None:
    """Refuse half a surrogate pair, which JSON can escape and UTF-8 cannot hold."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        reason = f"{name} is not valid Unicode: a lone surrogate at character {error.start}"
        raise invalid(reason, "send both halves of the pair, or neither") from None


def require_all(batch: EncodedBatch, *, refuse_truncated: bool = False) -> None:
    """Fail unless every text was encoded: these dialects have no place for the failure of one text.

    Raises
    ------
    ChercheError
        422 naming every failed text; with `refuse_truncated`, also those that were cut.
    """
    cut = truncation_errors(batch.encoder, batch.texts, batch.truncated) if refuse_truncated else {}
    if failures := {**batch.failures, **cut}:
        raise failed_items(failures, len(batch.encoded))


def truncation_errors(encoder: Encoder, texts: Sequence[str], truncated: Sequence[int]) -> dict[int, ChercheError]:
    """The error of each truncated text, by position, for a request that refuses truncation."""
    longest = encoder.info.max_document_length
    return {
        place: invalid(
            f"{text_name('document', place, texts[place])} is longer than {longest} tokens",
            "shorten it, or let it be truncated",
        )
        for place in truncated
    }
