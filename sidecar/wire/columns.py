"""Weights and codes of several texts, in columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from itertools import pairwise

import numpy as np

from cherche_models import codec
from cherche_models.types import TermWeights
from sidecar.errors import ChercheError, invalid
from sidecar.pb.cherche.v1 import common_pb2 as pb
from sidecar.values.index import Fingerprint
from sidecar.values.search import Timings
from sidecar.wire.fields import from_message, to_message
from sidecar.wire.status import clean, from_status, to_status


def weights_to_pb(texts: Sequence[TermWeights | None], name: Callable[[int], str]) -> pb.TermWeightsBatch:
    """Columns of several texts; one that failed (None) owns no entries.

    Parameters
    ----------
    texts : term weights, or None
    name : vocabulary id → feature name
    """
    sizes = [0 if weights is None else len(weights) for weights in texts]
    held = [weights for weights in texts if weights is not None and len(weights)]
    if not held:
        return pb.TermWeightsBatch(offsets=[0] * (len(texts) + 1))
    distinct, position = np.unique(np.concatenate([weights.ids for weights in held]), return_inverse=True)
    return pb.TermWeightsBatch(
        offsets=[0, *np.cumsum(sizes).tolist()],
        features=[name(i) for i in distinct.tolist()],
        feature_index=position.tolist(),
        weights=np.concatenate([weights.weights for weights in held]).tolist(),
    )


def weights_from_pb(batch: pb.TermWeightsBatch) -> list[dict[str, float]]:
    """Feature name → weight of each text.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT if the columns do not fit together.
    """
    offsets = list(batch.offsets) or [0]
    count = len(batch.weights)
    if len(batch.feature_index) != count or not _rises(offsets, count):
        raise invalid("the columns of the term weights do not fit together", "fill them as common.proto says")
    if any(place >= len(batch.features) for place in batch.feature_index):
        raise invalid("a term weight names a feature that is not in the batch", "fill it as common.proto says")
    features = [batch.features[place] for place in batch.feature_index]
    pairs = list(zip(features, batch.weights, strict=True))
    return [dict(pairs[start:stop]) for start, stop in pairwise(offsets)]


def codes_to_pb(texts: Sequence[bytes | None]) -> pb.TokenCodes:
    """Codes of several texts back to back; one that failed (None) owns no bytes.

    Damaged codes travel too, with 0 tokens: who reads them says what is wrong.
    """
    headers = [None if data is None else _header(data) for data in texts]
    known = next((header for header in headers if header is not None), None)
    sizes = [0 if data is None else len(data) for data in texts]
    tokens = [0 if header is None else header.tokens for header in headers]
    return pb.TokenCodes(
        data=b"".join(data for data in texts if data is not None),
        byte_offsets=[0, *np.cumsum(sizes, dtype=np.int64).tolist()],
        token_offsets=[0, *np.cumsum(tokens, dtype=np.int64).tolist()],
        dim=known.dim if known else 0,
        codec=known.codec if known else "",
        version=codec.VERSION,
    )


def _header(data: bytes) -> codec.CodesHeader | None:
    try:
        return codec.codes_header(data)
    except codec.CodecError:
        return None


def codes_from_pb(codes: pb.TokenCodes) -> list[bytes | None]:
    """Codes of each text; None where a text owns no bytes.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT if the offsets do not fit the bytes.
    """
    offsets = list(codes.byte_offsets) or [0]
    if not _rises(offsets, len(codes.data)):
        raise invalid("the byte_offsets of the token codes do not fit their data", "fill them as common.proto says")
    return [codes.data[start:stop] or None for start, stop in pairwise(offsets)]


def _rises(offsets: Sequence[int], end: int) -> bool:
    return offsets[0] == 0 and offsets[-1] == end and all(a <= b for a, b in pairwise(offsets))


def item_to_pb(
    index: int,
    id: str,
    error: ChercheError | None = None,
    *,
    truncated: bool = False,
    tokens: int = 0,
    unknown_language: bool = False,
) -> pb.ItemResult:
    """The result of one item."""
    status = None if error is None else to_status(error)
    return pb.ItemResult(
        index=index,
        id=clean(id),
        status=status,
        truncated=truncated,
        token_count=tokens,
        unknown_language=unknown_language,
    )


def item_error(item: pb.ItemResult) -> ChercheError | None:
    """Why an item failed; None where it succeeded."""
    return from_status(item.status) if item.HasField("status") else None


_STAGES = tuple(stage.name for stage in fields(Timings))


def timings_to_pb(timings: Timings) -> pb.StageTimings:
    """Seconds to milliseconds."""
    return pb.StageTimings(**{f"{stage}_ms": getattr(timings, stage) * 1000 for stage in _STAGES})


def timings_from_pb(timings: pb.StageTimings) -> Timings:
    """Milliseconds to seconds."""
    return Timings(**{stage: getattr(timings, f"{stage}_ms") / 1000 for stage in _STAGES})


def fingerprint_to_pb(fingerprint: Fingerprint) -> pb.Fingerprint:
    """A fingerprint for the wire."""
    return to_message(fingerprint, pb.Fingerprint)


def fingerprint_from_pb(fingerprint: pb.Fingerprint) -> Fingerprint:
    """A fingerprint from the wire."""
    return from_message(fingerprint, Fingerprint)
