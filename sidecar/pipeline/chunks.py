"""Long documents: cut into windows of the model's own tokens, encoded one by one, put together again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from cherche_models.chunks import pooled
from cherche_models.types import Encoding, TokenEmbeddings, Tokens
from sidecar.errors import ChercheError
from sidecar.protocols import Encoder
from sidecar.values.chunks import Chunks
from sidecar.values.index import TextField
from sidecar.values.model import Encoded

WHOLE = Chunks()
PROBES = ("", "a")
"""Texts that show which special tokens and prompt surround a text."""


async def windows(
    encoder: Encoder, texts: Sequence[str], fields: Sequence[TextField], max_length: int, chunks: Chunks = WHOLE
) -> list[Tokens]:
    """The windows of a document given as one text per field, each with the model's special tokens and prompt.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT, INTERNAL for a text that cannot be read.
    """
    return cut(await _reading(encoder, texts, max_length, chunks), fields, max_length, chunks)


async def kept_of_each(
    encoder: Encoder, texts: Sequence[str], fields: Sequence[TextField], max_length: int, chunks: Chunks = WHOLE
) -> tuple[list[int], bool]:
    """How many tokens of each field all `windows` hold together, each counted once, and whether any is left out.

    Raises
    ------
    ChercheError
        As `windows`.
    """
    frame, probe, *parts = await _reading(encoder, texts, max_length, chunks)
    edge = _leading(frame, probe)
    space = capacity(max(0, max_length - len(frame)), chunks)
    kept = _kept([len(_body(part, frame, edge)[0]) for part in parts], fields, space)
    return kept, sum(part.total - len(frame) for part in parts) > sum(kept)


async def _reading(encoder: Encoder, texts: Sequence[str], max_length: int, chunks: Chunks) -> list[Tokens]:
    beyond = chunks.most > 1
    return list(await encoder.tokenize([*PROBES, *texts], "document", reach(max_length, chunks), beyond=beyond))


async def surroundings(encoder: Encoder) -> tuple[int, int]:
    """Special tokens, and those of a prompt, before and after the text in each window."""
    frame, probe = await encoder.tokenize(PROBES, "document")
    edge = _leading(frame, probe)
    return edge, len(frame) - edge


def reach(max_length: int, chunks: Chunks) -> int:
    """Tokens to read of a document so that `cut` fills all windows; 0 for one window."""
    return max_length * chunks.most if chunks.most > 1 else 0


def cut(read: Sequence[Tokens], fields: Sequence[TextField], max_length: int, chunks: Chunks) -> list[Tokens]:
    """The windows of a document whose `PROBES` and fields were read `reach` tokens far.

    A field's token share is a bound on its part of all windows together, never more than what the fields before
    left over; a field without one may take it all.
    """
    frame, probe, *parts = read
    edge = _leading(frame, probe)
    room = max(0, max_length - len(frame))
    space = capacity(room, chunks)
    bodies = [_body(part, frame, edge) for part in parts]
    kept = _kept([len(ids) for ids, _ in bodies], fields, space)
    ids = [one for (body, _), most in zip(bodies, kept, strict=True) for one in body[:most]]
    names = [one for (_, body), most in zip(bodies, kept, strict=True) for one in body[:most]]
    lost = sum(part.total - len(frame) for part in parts) - len(ids)
    found = [_framed(frame, edge, ids[start:end], names[start:end]) for start, end in spans(len(ids), room, chunks)]
    return [*found[:-1], replace(found[-1], total=found[-1].total + lost)]


def _kept(lengths: Sequence[int], fields: Sequence[TextField], space: int) -> list[int]:
    """How many tokens of each field there is room for."""
    kept: list[int] = []
    for length, field in zip(lengths, fields, strict=True):
        cap = int(field.token_share * space) if field.token_share else space
        kept.append(min(cap, space - sum(kept), length))
    return kept


def capacity(room: int, chunks: Chunks) -> int:
    """Tokens of text that all windows hold, where one holds `room`.

    >>> capacity(100, Chunks()), capacity(100, Chunks(4, 20))
    (100, 340)
    """
    return room + (chunks.most - 1) * (room - _overlap(room, chunks))


def spans(length: int, room: int, chunks: Chunks) -> Iterator[tuple[int, int]]:
    """Start and end of each window of a text: as few as hold it, of equal length but for one token.

    >>> list(spans(10, 5, Chunks(4, 1))), list(spans(3, 5, Chunks(4, 1)))
    ([(0, 4), (3, 7), (6, 10)], [(0, 3)])
    """
    overlap = _overlap(room, chunks)
    count = min(chunks.most, max(1, -(-(length - overlap) // max(1, room - overlap))))
    size, longer = divmod(length + (count - 1) * overlap, count)
    start = 0
    for window in range(count):
        end = start + size + (window < longer)
        yield start, end
        start = end - overlap


def merged_tokens(parts: Sequence[Tokens]) -> Tokens:
    """The tokens of all windows, one after the other."""
    if len(parts) == 1:
        return parts[0]
    return Tokens(
        tuple(i for part in parts for i in part.ids),
        tuple(text for part in parts for text in part.texts),
        sum(part.total for part in parts),
    )


def merged(parts: Sequence[Encoded | ChercheError], pooling: str) -> Encoded | ChercheError:
    """One encoding of all windows; the first error where one failed."""
    sound = [part for part in parts if isinstance(part, Encoded)]
    if len(sound) < len(parts):
        return next(part for part in parts if isinstance(part, ChercheError))
    return merge(sound, pooling)


def merge(parts: Sequence[Encoded], pooling: str) -> Encoded:
    """One encoding of all windows.

    Weights are pooled, see `cherche_models.chunks`. Rows of embeddings stand one after the other, so that MaxSim
    takes, for each query token, the best of all windows.
    """
    if len(parts) == 1:
        return parts[0]
    weights = [part.encoding.weights for part in parts if part.encoding.weights is not None]
    rows = [part.encoding.embeddings.vectors for part in parts if part.encoding.embeddings is not None]
    return Encoded(
        merged_tokens([part.tokens for part in parts]),
        Encoding(
            pooled(weights, pooling) if weights else None,
            TokenEmbeddings(np.concatenate(rows)) if rows else None,
            all(part.encoding.unknown_language for part in parts),
        ),
        tokenize=max(part.tokenize for part in parts),
        queue=max(part.queue for part in parts),
        encode=max(part.encode for part in parts),
        chunks=tuple(map(len, rows)),
    )


def _overlap(room: int, chunks: Chunks) -> int:
    """Never more than half a window, so that each brings something new."""
    return min(chunks.overlap, room // 2)


def _framed(frame: Tokens, edge: int, ids: Sequence[int], texts: Sequence[str]) -> Tokens:
    return Tokens(
        (*frame.ids[:edge], *ids, *frame.ids[edge:]),
        (*frame.texts[:edge], *texts, *frame.texts[edge:]),
        len(frame) + len(ids),
    )


def _leading(frame: Tokens, probe: Tokens) -> int:
    """Special tokens before the text: where a text that holds none of them departs from the empty one."""
    same = (a == b for a, b in zip(frame.ids, probe.ids, strict=False))
    return next((i for i, equal in enumerate(same) if not equal), len(frame))


def _body(part: Tokens, frame: Tokens, edge: int) -> tuple[tuple[int, ...], tuple[str, ...]]:
    end = len(part) - (len(frame) - edge)
    return part.ids[edge:end], part.texts[edge:end]
