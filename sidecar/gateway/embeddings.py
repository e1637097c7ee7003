"""Token embeddings of a request's texts."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cherche_models.types import Floats
from sidecar.gateway.answers import answer
from sidecar.gateway.encode import EncodedBatch, choose_encoder, encode, lane_of, require_all
from sidecar.gateway.errors import too_large
from sidecar.gateway.json_text import array, numbers
from sidecar.pipeline.fingerprint import codes_fingerprint
from sidecar.values.index import DEFAULT_CODEC
from sidecar.values.model import Kind

if TYPE_CHECKING:
    from fastapi import Response

    from sidecar.services import Services

_NUMBER_BYTES = 12  # a float32 and its comma, as JSON


@dataclass(frozen=True, slots=True)
class EmbeddingsAnswer:
    """Token embeddings of each text, in order.

    Attributes
    ----------
    batch : EncodedBatch
    matrices : str
        A JSON array with a matrix for each text: one row per token, none for an empty text.
    """

    batch: EncodedBatch
    matrices: str

    @property
    def model(self) -> str:
        """Name of the model."""
        return self.batch.encoder.info.name

    @property
    def dim(self) -> int:
        """Length of a row."""
        return self.batch.encoder.info.dim

    def response(self, content: str) -> Response:
        """The HTTP response with `content` as its body."""
        batch, info = self.batch, self.batch.encoder.info
        return answer(
            content,
            batch.encoder,
            codes_fingerprint(info, max_length=info.max_document_length, codec=DEFAULT_CODEC),
            batch.timings,
            truncated=batch.truncated,
            unknown_language=batch.unknown_language,
        )


@dataclass(frozen=True, slots=True)
class EmbeddingsCall:
    """A request for token embeddings; `model` is "" for the default one."""

    texts: list[str]
    model: str
    kind: Kind

    async def run(self, services: Services, method: str) -> EmbeddingsAnswer:
        """Encode all texts.

        Raises
        ------
        ChercheError
            As `choose_encoder`, `encode` and `require_all`; 413 where the embeddings exceed the size of an answer.
        """
        encoder = choose_encoder(services, self.model, "late_interaction")
        batch = await encode(services, method, encoder, self.texts, self.kind, lane_of(self.kind))
        require_all(batch)
        matrices = _matrices(batch)
        size = sum(one.size for one in matrices) * _NUMBER_BYTES
        if size > services.limits.request_bytes:
            raise too_large(
                f"the answer would have about {size:,} bytes, the limit is {services.limits.request_bytes:,}",
                "send fewer texts at once, or use EncoderService over gRPC, whose codes are a tenth of that",
            )
        return EmbeddingsAnswer(batch, await asyncio.to_thread(_written, matrices))


def _matrices(batch: EncodedBatch) -> list[Floats]:
    """Token embeddings of each text, shape (tokens, dim); (0, dim) for an empty one."""
    empty = np.empty((0, batch.encoder.info.dim), np.float32)
    embeddings = [None if one is None else one.encoding.embeddings for one in batch.encoded]
    return [empty if one is None else one.vectors for one in embeddings]


def _written(matrices: Iterable[Floats]) -> str:
    return array(array(array(numbers(row)) for row in matrix) for matrix in matrices)
