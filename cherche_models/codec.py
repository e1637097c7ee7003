"""Bytes of term weights and token embeddings, behind versioned headers.

Both kinds live in the index as binary doc values, so a sidecar of another
version must be able to tell what it reads. Integers are little-endian.

Packed terms::

    magic "CT" | version u8 | reserved u8 | terms u32 | 16-bit grid weights | varint id deltas

Token codes::

    magic "CC" | version u8 | codec u8 | dim u16 | tokens u32 | body

What a body holds, `cherche_models.bodies` says.

Codes of a document that was cut into chunks have version 2, all rows back to back, and behind the body::

    rows u32 of each chunk | chunks u16
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cherche_models import bodies
from cherche_models.bodies import Body
from cherche_models.codes.codebook import Codebook
from cherche_models.codes.form import CODECS, VERSION, Codec, CodecError, Form, open_header
from cherche_models.codes.pool import pool
from cherche_models.codes.terms import pack_terms, unpack_terms
from cherche_models.scores import Packed, offsets
from cherche_models.types import Floats, TokenEmbeddings

__all__ = [
    "CHUNKED",
    "CODECS",
    "VERSION",
    "Codec",
    "CodecError",
    "CodesHeader",
    "Form",
    "codes_header",
    "pack_codes",
    "pack_terms",
    "transcode",
    "unpack_codes",
    "unpack_many",
    "unpack_terms",
]

CHUNKED = 2
_WIDEST = 2**16 - 1
_CODES = struct.Struct("<2sBBHI")


@dataclass(frozen=True, slots=True)
class CodesHeader:
    """What the header of token codes says.

    Attributes
    ----------
    codec : Codec
    dim, tokens : int
    chunks : tuple of int
        Rows of each chunk, in order.
    codebook : str
        The beginning of a digest; empty for int8.
    """

    codec: Codec
    dim: int
    tokens: int
    chunks: tuple[int, ...] = ()
    codebook: str = ""


def pack_codes(
    embeddings: TokenEmbeddings, codec: str = "int8", chunks: Sequence[int] = (), book: Codebook | None = None
) -> bytes:
    """Quantise token embeddings of a document.

    int8 scales each token's values by their largest to [-127, 127]: the error of a
    component is at most half a step, max|v| / 254, times 1 + 2**-11 for the float16
    scale; for vectors shorter than 0.008 at most 4e-6. The residual codecs keep unit
    vectors; the error of a component of a residual's direction is at most half the gap between two
    levels, where it lies within the outermost, and bringing the sum to unit length at most doubles
    a token's.

    Parameters
    ----------
    embeddings : TokenEmbeddings, shape (tokens, dim)
    codec : str
        With pooling or without, see `Form`.
    chunks : sequence of int
        Rows of each chunk of the document, before pooling; none, or one, where it was not cut.
    book : Codebook or None
        Needed by the residual codecs.

    Raises
    ------
    ValueError
        If a value is NaN, infinite or beyond the scale's range, the vectors are
        wider than 65,535, the codec is unknown, it lacks its codebook, or the chunks
        do not add up to the rows.

    >>> data = pack_codes(TokenEmbeddings(np.array([[1.0, -0.5]], dtype=np.float32)))
    >>> len(data), unpack_codes(data).vectors.round(2).tolist()
    (14, [[1.0, -0.5]])
    """
    wanted = Form.parse(codec)
    if embeddings.dim > _WIDEST:
        raise ValueError(f"token embeddings have {embeddings.dim} dimensions, the codec holds {_WIDEST}")
    pooled, sizes = _pooled(embeddings, wanted.pool, chunks)
    body = bodies.encode(pooled.vectors, wanted.codec, book)
    version = CHUNKED if len(sizes) > 1 else VERSION
    header = _CODES.pack(b"CC", version, CODECS[wanted.codec], pooled.dim, len(pooled))
    return header + body + _trailer(pooled, sizes)


def transcode(data: bytes, codec: str, book: Codebook | None = None) -> bytes:
    """The same document in another codec, without the model.

    Tokens that an earlier pooling joined cannot be told apart again: pooling them once
    more is on top of it.

    Raises
    ------
    CodecError
        If the codes cannot be read.
    ValueError
        As `pack_codes`.

    >>> data = pack_codes(TokenEmbeddings(np.eye(4, dtype=np.float32)))
    >>> codes_header(transcode(data, "pool2+int8")).tokens
    2
    """
    return pack_codes(TokenEmbeddings(_unit(unpack_codes(data).vectors)), codec, codes_header(data).chunks, book)


def _unit(vectors: Floats) -> Floats:
    """Undo what int8 did to the length of unit vectors; others stay."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: Floats = np.where(np.abs(norms - 1) < 0.02, vectors / np.maximum(norms, 0.5), vectors)
    return unit


def _pooled(embeddings: TokenEmbeddings, factor: int, chunks: Sequence[int]) -> tuple[TokenEmbeddings, list[int]]:
    """Pool each chunk by itself, so that its rows stay its own."""
    if len(chunks) < 2:
        return pool(embeddings, factor), []
    if sum(chunks) != len(embeddings):
        raise ValueError(f"chunks of {sum(chunks)} rows are no parts of {len(embeddings)} token embeddings")
    parts = np.split(embeddings.vectors, np.cumsum(chunks)[:-1])
    pooled = [pool(TokenEmbeddings(part), factor).vectors for part in parts]
    return TokenEmbeddings(np.concatenate(pooled)), [len(part) for part in pooled]


def unpack_codes(data: bytes) -> TokenEmbeddings:
    """Token embeddings of codes, as float32.

    Raises
    ------
    CodecError
        If the bytes are cut, not ours, of a later version or codec, or of a codebook that is unknown here.
    """
    body, _ = _body(data)
    body.check_codebook()
    return TokenEmbeddings(bodies.decode([body], body.dim))


def unpack_many(items: Sequence[bytes | None], dim: int | None = None) -> tuple[Packed, dict[int, CodecError]]:
    """Codes of many documents, straight into one matrix.

    Parameters
    ----------
    items : sequence of bytes or None
        None stands for a document without codes.
    dim : int, optional
        Width the query has; without it, the first readable item's.

    Returns
    -------
    Packed
        In the items' order; None and unreadable items own no rows, so `scores.maxsim`
        gives them -inf.
    dict of int to CodecError
        Position and reason of each item that could not be read. One damaged item
        never costs its neighbours.

    >>> one = pack_codes(TokenEmbeddings(np.array([[1.0, -0.5]], dtype=np.float32)))
    >>> packed, failures = unpack_many([one, None, b"?", one])
    >>> packed.offsets.tolist(), {i: str(error) for i, error in failures.items()}
    ([0, 1, 1, 1, 2], {2: 'these 1 bytes are not token codes'})
    """
    readable: list[Body] = []
    sizes, failures = [0] * len(items), {}
    for i, item in enumerate(items):
        if item is None:
            continue
        try:
            body, _ = _body(item)
            body.check_codebook()
            dim = body.dim if dim is None else dim
            _check_width(body.dim, dim)
        except CodecError as error:
            failures[i] = error
        else:
            readable.append(body)
            sizes[i] = body.tokens
    return Packed(bodies.decode(readable, dim or 0), offsets(sizes)), failures


def codes_header(data: bytes) -> CodesHeader:
    """Read the header of token codes and check the body against it.

    Raises
    ------
    CodecError
        If the bytes are cut, not ours, or of a later version or codec, or a scale is not a number.
    """
    body, chunks = _body(data)
    return CodesHeader(body.codec, body.dim, body.tokens, chunks or (body.tokens,), body.codebook)


def _body(data: bytes) -> tuple[Body, tuple[int, ...]]:
    """The checked body, and the rows of each chunk."""
    plain, chunks = _peel(data)
    code, dim, tokens = open_header(plain, _CODES, b"CC", "token codes")
    codec = next((name for name, number in CODECS.items() if number == code), None)
    if codec is None:
        raise CodecError(f"token codes use codec {code}, which this release does not read: upgrade the sidecar")
    body = Body(codec, dim, tokens, memoryview(plain)[_CODES.size :])
    body.check()
    if chunks and sum(chunks) != tokens:
        raise CodecError(f"token codes are damaged: chunks of {sum(chunks)} rows, {tokens} present")
    return body, chunks


def _peel(data: bytes) -> tuple[bytes, tuple[int, ...]]:
    """Codes as if the document had not been cut into chunks, and the rows of each chunk; none where it was not."""
    if data[:3] != bytes((*b"CC", CHUNKED)):
        return data, ()
    count = int.from_bytes(data[-2:], "little")
    end = len(data) - 2 - 4 * count
    if count < 2 or end < _CODES.size:
        raise CodecError(f"token codes are damaged: {count} chunks announced in {len(data)} bytes")
    return b"CC" + bytes((VERSION,)) + data[3:end], struct.unpack_from(f"<{count}I", data, end)


def _trailer(embeddings: TokenEmbeddings, chunks: Sequence[int]) -> bytes:
    if len(chunks) < 2:
        return b""
    if sum(chunks) != len(embeddings):
        raise ValueError(f"chunks of {sum(chunks)} rows are no parts of {len(embeddings)} token embeddings")
    return struct.pack(f"<{len(chunks)}IH", *chunks, len(chunks))


def _check_width(found: int, wanted: int) -> None:
    if found != wanted:
        raise CodecError(f"token codes have {found} dimensions, {wanted} are wanted: they come from another reranker")
