"""Texts become what an index stores: pruned weights on the grid, packed terms, codes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cherche_models import codec, grid, naming
from cherche_models.prune import Prune
from cherche_models.types import TermWeights, TokenEmbeddings, Tokens
from sidecar.errors import ChercheError, Code, precondition
from sidecar.pipeline.fingerprint import codes_encoder, sparse_encoder
from sidecar.pipeline.text import join
from sidecar.protocols import Encoded, Encoder, Encoders, Lane
from sidecar.types import IndexMeta, TextField


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
        self, texts: Sequence[Sequence[str]], *, lane: Lane, timeout: float | None
    ) -> list[NeuralPart | ChercheError]:
        """Encode documents given as one text per field; one result each, in order."""
        same = self.codes is None or self.codes is self.sparse
        first = _encode(self.sparse, texts, self.meta, lane, timeout)
        if same:
            weighted = await first
            coded = weighted
        else:
            assert self.codes is not None
            second = _encode(self.codes, texts, self.meta, lane, timeout)
            weighted, coded = await asyncio.gather(first, second)
        return await asyncio.to_thread(self._finish, weighted, coded)

    def _finish(
        self, weighted: Sequence[Encoded | ChercheError], coded: Sequence[Encoded | ChercheError]
    ) -> list[NeuralPart | ChercheError]:
        return [self._part(one, two) for one, two in zip(weighted, coded, strict=True)]

    def _part(self, weighted: Encoded | ChercheError, coded: Encoded | ChercheError) -> NeuralPart | ChercheError:
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
    """Feature names of a vocabulary.

    Raises
    ------
    ChercheError
        FAILED_PRECONDITION for a naming this release does not know.
    """
    if how == "escaped":
        return _escaped(tuple(vocabulary))
    if how == "id":
        return naming.feature_names(vocabulary, "id")
    raise precondition(f"the index uses the naming {how!r}, unknown to this release", "upgrade the sidecar")


_NAMES: dict[int, tuple[tuple[str, ...], list[str]]] = {}


def _escaped(vocabulary: tuple[str, ...]) -> list[str]:
    """Names are asked for with every batch; a vocabulary object keeps its own."""
    known = _NAMES.get(id(vocabulary))
    if known is None or known[0] is not vocabulary:
        known = (vocabulary, naming.feature_names(vocabulary))
        _NAMES[id(vocabulary)] = known
    return known[1]


async def _encode(
    encoder: Encoder, texts: Sequence[Sequence[str]], meta: IndexMeta, lane: Lane, timeout: float | None
) -> list[Encoded | ChercheError]:
    length = min(meta.max_length, encoder.info.max_document_length)
    if not any(field.token_share for field in meta.fields):
        return await encoder.encode(
            [join(parts) for parts in texts], "document", lane=lane, max_length=length, timeout=timeout
        )
    tokens = [await share_tokens(encoder, parts, meta.fields, length) for parts in texts]
    return await encoder.encode_tokens(tokens, "document", lane=lane, timeout=timeout)


async def share_tokens(encoder: Encoder, texts: Sequence[str], fields: Sequence[TextField], max_length: int) -> Tokens:
    """Cut each field to its share of the maximum length, then join the tokens.

    What a short field leaves over goes to the fields without a share.
    """
    frame, *parts = await encoder.tokenize(["", *texts], "document")
    edge = _leading(frame, parts)
    bodies = [_body(part, frame, edge) for part in parts]
    room = max_length - len(frame)
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


def _leading(frame: Tokens, parts: Sequence[Tokens]) -> int:
    """Special tokens before the text, found by comparing with the empty text."""
    longest = max(parts, key=len, default=frame)
    same = (a == b for a, b in zip(frame.ids, longest.ids, strict=False))
    count = next((i for i, equal in enumerate(same) if not equal), len(frame))
    return min(count, len(frame))


def _body(part: Tokens, frame: Tokens, edge: int) -> tuple[tuple[int, ...], tuple[str, ...]]:
    end = len(part) - (len(frame) - edge)
    return part.ids[edge:end], part.texts[edge:end]


def _required(weights: TermWeights | None, encoder: Encoder) -> TermWeights:
    if weights is None:
        raise ValueError(f"model {encoder.info.name!r} gave no term weights")
    return weights
