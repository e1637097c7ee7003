"""Term weights of a request's texts."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from cherche_models.naming import feature_names
from cherche_models.prune import Prune
from cherche_models.types import TermWeights
from sidecar.errors import ChercheError, Code, precondition
from sidecar.gateway.answers import answer
from sidecar.gateway.encode import EncodedBatch, choose_encoder, encode, lane_of, require_all
from sidecar.gateway.errors import unprocessable
from sidecar.gateway.fields import Naming
from sidecar.gateway.json_text import array, mapping, numbers, quoted
from sidecar.pipeline.encoded_texts import leaving_weights
from sidecar.pipeline.fingerprint import sparse_fingerprint
from sidecar.values.model import Encoded, Kind

if TYPE_CHECKING:
    from fastapi import Response

    from sidecar.services import Services

_UNPRUNED = Prune.parse("none")

Pairs = list[tuple[str, str]]
"""Quoted name, or id, and number of each term of a text."""


@dataclass(frozen=True, slots=True)
class SparseAnswer:
    """Term weights of each text, in order, as fragments of JSON."""

    batch: EncodedBatch
    naming: Naming
    texts: list[Pairs]

    def maps(self) -> str:
        """An array with a JSON object for each text."""
        return array(map(mapping, self.texts))

    def lists(self, name: str, value: str) -> list[str]:
        """For each text an array of ``{name: term, value: weight}``."""
        keys = quoted(name), quoted(value)
        return [array(mapping(zip(keys, pair, strict=True)) for pair in pairs) for pairs in self.texts]

    def response(self, content: str) -> Response:
        """The HTTP response with `content` as its body."""
        batch, info = self.batch, self.batch.encoder.info
        fingerprint = sparse_fingerprint(
            info, max_length=info.max_document_length, prune=str(_UNPRUNED), naming=self.naming
        )
        return answer(
            content,
            batch.encoder,
            fingerprint,
            batch.timings,
            truncated=batch.truncated,
            unknown_language=batch.unknown_language,
        )


@dataclass(frozen=True, slots=True)
class SparseCall:
    """A request for term weights.

    Attributes
    ----------
    texts : list of str
    model : str
        "" for the default one.
    kind : Kind
    naming : Naming or None
        How terms are written; None for ids as JSON numbers.
    refuse_truncated : bool
        Whether a text that is longer than the model reads fails the request.
    """

    texts: list[str]
    model: str
    kind: Kind
    naming: Naming | None
    refuse_truncated: bool = False

    async def run(self, services: Services, method: str) -> SparseAnswer:
        """Encode all texts.

        Raises
        ------
        ChercheError
            As `choose_encoder`, `encode` and `require_all`; FAILED_PRECONDITION where the naming does not suit the
            vocabulary; 422 for texts whose weights cannot be stored.
        """
        encoder = choose_encoder(services, self.model, "sparse")
        names = None if self.naming is None else _quoted_names(encoder.info.vocabulary, self.naming)
        batch = await encode(services, method, encoder, self.texts, self.kind, lane_of(self.kind))
        require_all(batch, refuse_truncated=self.refuse_truncated)
        texts = await asyncio.to_thread(_written, batch.encoded, self.kind, names)
        return SparseAnswer(batch, self.naming or "id", texts)


def _quoted_names(vocabulary: tuple[str, ...], naming: Naming) -> tuple[str, ...]:
    """The vocabulary as quoted JSON names, in id order.

    Raises
    ------
    ChercheError
        FAILED_PRECONDITION where two terms would share a name: one of them would be lost.
    """
    try:
        return _cached_names(vocabulary, naming)
    except ValueError as error:
        raise precondition(str(error), "request ids: ?naming=id, or sparse_embedding_format token_id") from None


@lru_cache(maxsize=16)
def _cached_names(vocabulary: tuple[str, ...], naming: Naming) -> tuple[str, ...]:
    if naming != "raw":
        return tuple(quoted(name) for name in feature_names(vocabulary, naming))
    # A repeated name would be one key of the JSON object: a term would be lost.
    if len(set(vocabulary)) != len(vocabulary) or "" in vocabulary:
        raise ValueError("the vocabulary repeats a token, or has an empty one")
    return tuple(quoted(token) for token in vocabulary)


def _written(encoded: Sequence[Encoded | None], kind: Kind, names: Sequence[str] | None) -> list[Pairs]:
    weights = [_weights(place, one, kind) for place, one in enumerate(encoded)]
    return [_pairs(one, names) for one in weights]


def _weights(place: int, encoded: Encoded | None, kind: Kind) -> TermWeights:
    """Weights of one text, rounded as an index holds them; none for an empty one."""
    if encoded is None or encoded.encoding.weights is None:
        return TermWeights.from_pairs([])
    try:
        return leaving_weights(encoded.encoding.weights, kind, _UNPRUNED)
    except ValueError as error:
        broken = ChercheError(Code.INTERNAL, f"text {place}: {error}", "check the model with: cherche doctor")
        raise unprocessable(broken, [(place, broken)]) from None


def _pairs(weights: TermWeights, names: Sequence[str] | None) -> Pairs:
    ids = weights.ids.tolist()
    terms = [str(i) for i in ids] if names is None else [names[i] for i in ids]
    return list(zip(terms, numbers(weights.weights), strict=True))
