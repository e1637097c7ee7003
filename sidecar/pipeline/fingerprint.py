"""Fingerprints: what stored weights and codes were made with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

from cherche_models.chunks import MAX
from cherche_models.codec import CODECS
from sidecar.errors import ChercheError, Code, precondition
from sidecar.protocols import Encoder, Encoders
from sidecar.values.chunks import Chunks
from sidecar.values.index import IndexMeta
from sidecar.values.model import ModelDescription


def sha256_of(value: Any) -> str:  # noqa: ANN401  # any JSON value
    """Hexadecimal sha256 of canonical JSON.

    >>> sha256_of({"b": 1, "a": 2}) == sha256_of({"a": 2, "b": 1})
    True
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def sparse_fingerprint(
    model: ModelDescription, *, max_length: int, prune: str, naming: str, chunks: Chunks | None = None
) -> str:
    """Of term weights: files, head and prompts of the model (`digest`), length, pruning, naming, chunks, pooling."""
    return sha256_of(["sparse", model.digest, max_length, prune, naming, *_cut(chunks), *_pooled(chunks)])


def codes_fingerprint(model: ModelDescription, *, max_length: int, codec: str, chunks: Chunks | None = None) -> str:
    """Of token codes: model and tokenizer files, head and prompts, length, codec and its codebook, chunks."""
    known = CODECS.get(codec.rpartition("+")[2])  # None where a later release set the index up
    book = [model.codebook] if known is not None and known.needs_codebook else []
    return sha256_of(["codes", model.digest, max_length, codec, *book, *_cut(chunks)])


def sparse_encoder(meta: IndexMeta, encoders: Encoders) -> Encoder:
    """The served model that made an index's weights.

    Raises
    ------
    ChercheError
        FAILED_PRECONDITION naming the model to serve; UNAVAILABLE while it loads.
    """
    wanted = meta.fingerprint.sparse

    def made(info: ModelDescription) -> bool:
        # A model that reads less would cut documents at another place than the fingerprint says.
        if not info.sparse or info.max_document_length < meta.max_length:
            return False
        own = sparse_fingerprint(
            info, max_length=meta.max_length, prune=meta.prune, naming=meta.naming, chunks=meta.chunks
        )
        return own == wanted

    return _match(encoders, made, wanted, meta.model, "weights")


def codes_encoder(meta: IndexMeta, encoders: Encoders) -> Encoder | None:
    """The served model that made an index's codes; None where the index has none.

    Raises
    ------
    ChercheError
        FAILED_PRECONDITION naming the model to serve; UNAVAILABLE while it loads.
    """
    wanted = meta.fingerprint.codes
    if not wanted:
        return None

    def made(info: ModelDescription) -> bool:
        length = min(meta.max_length, info.max_document_length)
        own = codes_fingerprint(info, max_length=length, codec=meta.codec, chunks=meta.chunks)
        return info.late_interaction and own == wanted

    return _match(encoders, made, wanted, meta.reranker or meta.model, "codes")


def _cut(chunks: Chunks | None) -> list[list[int]]:
    """Nothing where documents are not cut, so that such an index keeps the fingerprint it always had."""
    return [[chunks.most, chunks.overlap]] if chunks is not None and chunks.most > 1 else []


def _pooled(chunks: Chunks | None) -> list[str]:
    """Nothing for the maximum, so that an index of an earlier release keeps the fingerprint it always had."""
    return [] if chunks is None or chunks.most == 1 or chunks.pooling == MAX else [chunks.pooling]


def _match(encoders: Encoders, made: Callable[[ModelDescription], bool], wanted: str, name: str, what: str) -> Encoder:
    found = next((encoder for encoder in encoders.ready() if made(encoder.info)), None)
    if found is not None:
        return found
    _raise_while_loading(name, encoders)
    raise precondition(
        f"the index's {what} were made by model {name!r} (fingerprint {wanted[:12]}), which is not served here",
        f"start it with: cherche serve --model {name}=PATH",
    )


def _raise_while_loading(name: str, encoders: Encoders) -> None:
    try:
        encoders.named(name)
    except ChercheError as error:
        if error.code is Code.UNAVAILABLE:
            raise
