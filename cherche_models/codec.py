"""Term weights and token embeddings as bytes: the public door of `cherche_models.codes`.

Both kinds live in the index as binary doc values behind versioned headers, so a sidecar of
another version can tell what it reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from cherche_models import scores
from cherche_models.codes import codebook, frame
from cherche_models.codes.base import Codec
from cherche_models.codes.codebook import Codebook
from cherche_models.codes.codecs.residual import Residual
from cherche_models.codes.form import LARGEST_POOL, Form
from cherche_models.codes.frame import CHUNKED, Frame
from cherche_models.codes.header import VERSION, CodecError
from cherche_models.codes.pool import pool
from cherche_models.codes.table import CODECS
from cherche_models.codes.terms import pack_terms, unpack_terms
from cherche_models.kernel import library
from cherche_models.scores import Packed, Scores, offsets
from cherche_models.types import Floats, TokenEmbeddings

__all__ = [
    "CHUNKED",
    "CODECS",
    "LARGEST_POOL",
    "VERSION",
    "Codec",
    "CodecError",
    "CodesHeader",
    "Form",
    "books",
    "codes_header",
    "maxsim",
    "pack_codes",
    "pack_terms",
    "transcode",
    "unpack_codes",
    "unpack_many",
    "unpack_terms",
]


@dataclass(frozen=True, slots=True)
class CodesHeader:
    """What the header of token codes says.

    Attributes
    ----------
    codec : str
        Its name.
    dim, tokens : int
    chunks : tuple of int
        Rows of each chunk, in order.
    codebook : str
        The beginning of a digest; empty for codecs without codebooks.
    """

    codec: str
    dim: int
    tokens: int
    chunks: tuple[int, ...] = ()
    codebook: str = ""


def pack_codes(
    embeddings: TokenEmbeddings, codec: str = "int8", chunks: Sequence[int] = (), book: Codebook | None = None
) -> bytes:
    """Encode the token embeddings of a document; how much is lost, each codec's class says.

    Parameters
    ----------
    embeddings : TokenEmbeddings, shape (tokens, dim)
    codec : str
        With pooling or without, see `Form`.
    chunks : sequence of int
        Rows of each chunk of the document, before pooling; none, or one, where it was not cut.
    book : Codebook or None
        Needed by some codecs, see `Form.needs_codebook`.

    Raises
    ------
    ValueError
        If a value is NaN, infinite or beyond the codec's range, the vectors are
        wider than 65,535, the codec is unknown, it lacks its codebook, or the chunks
        do not add up to the rows.

    >>> data = pack_codes(TokenEmbeddings(np.array([[1.0, -0.5]], dtype=np.float32)))
    >>> len(data), unpack_codes(data).vectors.round(2).tolist()
    (14, [[1.0, -0.5]])
    """
    form = Form.parse(codec)
    if embeddings.dim > frame.WIDEST:
        raise ValueError(f"token embeddings have {embeddings.dim} dimensions, the codec holds {frame.WIDEST}")
    vectors, sizes = _pooled(embeddings, form.pool, chunks)
    found = CODECS[form.codec]
    if not bool((np.abs(vectors) <= found.largest).all()):
        raise ValueError("token embeddings hold NaN, infinite or huge values: the model is broken")
    return frame.write(found, embeddings.dim, len(vectors), found.encode(vectors, book), sizes)


def _pooled(embeddings: TokenEmbeddings, factor: int, chunks: Sequence[int]) -> tuple[Floats, list[int]]:
    """Pool each chunk by itself, so that its rows stay its own."""
    if len(chunks) < 2:
        return pool(embeddings, factor).vectors, []
    if sum(chunks) != len(embeddings):
        raise ValueError(f"chunks of {sum(chunks)} rows are no parts of {len(embeddings)} token embeddings")
    parts = np.split(embeddings.vectors, np.cumsum(chunks)[:-1])
    pooled = [pool(TokenEmbeddings(part), factor).vectors for part in parts]
    return np.concatenate(pooled), [len(part) for part in pooled]


def transcode(data: bytes, codec: str, book: Codebook | None = None) -> bytes:
    """The same document in another codec, without the model.

    Tokens that an earlier pooling joined cannot be separated again: pooling them once
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
    """Undo what a codec did to the length of unit vectors; others stay."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: Floats = np.where(np.abs(norms - 1) < 0.02, vectors / np.maximum(norms, 0.5), vectors)
    return unit


def unpack_codes(data: bytes) -> TokenEmbeddings:
    """Token embeddings of codes, as float32.

    Raises
    ------
    CodecError
        If the bytes are cut, not ours, of a later version or codec, or of a codebook that is unknown here.
    """
    found = _decodable(data)
    return TokenEmbeddings(frame.decode([found], found.body.dim))


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
    readable: list[Frame] = []
    sizes, failures = [0] * len(items), {}
    for i, item in enumerate(items):
        if item is None:
            continue
        try:
            found = _decodable(item)
            dim = found.body.dim if dim is None else dim
            if found.body.dim != dim:
                raise CodecError(
                    f"token codes have {found.body.dim} dimensions, {dim} are wanted: they come from another reranker"
                )
        except CodecError as error:
            failures[i] = error
        else:
            readable.append(found)
            sizes[i] = found.body.tokens
    return Packed(frame.decode(readable, dim or 0), offsets(sizes)), failures


def maxsim(query: TokenEmbeddings, items: Sequence[bytes | None]) -> Scores:
    """MaxSim of one query with the codes of each document: what a rerank computes on a CPU.

    Codes are read by the compiled kernel where there is one (`cherche_models.kernel`), whose scores are those
    of numpy to 1e-5, or of residual codes to 5e-5. What it does not read is unpacked, see `unpack_many`.

    Returns
    -------
    float32 array, shape (items,)
        -inf where there are no codes, none that can be read, none of the query's width, or no tokens.

    >>> one = pack_codes(TokenEmbeddings(np.array([[1.0, -0.5]], dtype=np.float32)))
    >>> query = TokenEmbeddings(np.array([[0.0, 1.0], [1.0, 0.0]], dtype=np.float32))
    >>> maxsim(query, [one, None, b"?"]).round(2).tolist()
    [0.5, -inf, -inf]
    """
    found, scored = np.full(len(items), -np.inf, np.float32), np.zeros(len(items), np.bool_)
    if kernels := library.installed().kernels:
        found, scored = kernels[-1].maxsim(query.vectors, items)
        for book in books([item for item, done in zip(items, scored, strict=True) if item and not done], query.dim):
            more, done = kernels[-1].maxsim(query.vectors, items, book)
            found[done] = more[done]
            scored |= done
    rest = [place for place, item in enumerate(items) if item is not None and not scored[place]]
    if rest:
        packed, _ = unpack_many([items[place] for place in rest], query.dim)
        found[rest] = scores.maxsim(query, packed)
    return found


def books(items: Sequence[bytes], dim: int) -> Iterator[library.Book]:
    """What the kernel decodes residual codes of that width with, as far as it is known here; none for int8."""
    by_number = {found.number: found for found in CODECS.values() if isinstance(found, Residual)}
    for number, digest in {(item[3], item[10:18]) for item in items if len(item) >= 18}:
        found, book = by_number.get(number), codebook.known(digest.hex())
        if found is not None and book is not None and book.dim == dim:
            yield library.Book(number, found.bits, digest, book.centroids, book.levels[found.bits])


def codes_header(data: bytes) -> CodesHeader:
    """Read the header of token codes and check the body against it.

    Raises
    ------
    CodecError
        If the bytes are cut, not ours, of a later version or codec, or would not decode to numbers.
    """
    found = frame.read(data)
    body = found.body
    return CodesHeader(found.codec.name, body.dim, body.tokens, found.chunks or (body.tokens,), found.digest)


def _decodable(data: bytes) -> Frame:
    """Codes taken apart and checked, against their codebook too."""
    found = frame.read(data)
    found.codec.codebook(found.body)
    return found
