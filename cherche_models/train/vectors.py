"""Vectors on disk by a text's digest: a teacher encodes each text once, over all runs."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

_DIGEST = 16


def digest(text: str) -> bytes:
    """16 bytes that identify a text."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_DIGEST).digest()


class Vectors:
    """Half-precision vectors in two files that are only appended to: digests, and vectors in the same order.

    A row counts once both are written, so an interrupted run loses at most its last texts.

    Parameters
    ----------
    folder : Path
        Made if absent.
    width : int
        Dimensions of a vector.
    encoder : str
        Digest of what makes the vectors. A folder without a record of it gets one.

    Raises
    ------
    ValueError
        If the folder holds vectors of another encoder.
    """

    def __init__(self, folder: Path, width: int, encoder: str = "") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        made_by = folder / "encoder.txt"
        if encoder and not made_by.exists():
            made_by.write_text(encoder + "\n", encoding="utf-8")
        if encoder and made_by.read_text(encoding="utf-8").strip() != encoder:
            raise ValueError(f"{folder} holds vectors of another encoder or length — remove it, or name another folder")
        self._digests, self._rows, self._width = folder / "digests.bin", folder / "vectors.f16", width
        for path in (self._digests, self._rows):
            path.touch()
        whole = min(self._digests.stat().st_size // _DIGEST, self._rows.stat().st_size // (2 * width))
        for path, size in ((self._digests, _DIGEST), (self._rows, 2 * width)):
            with path.open("r+b") as file:
                file.truncate(whole * size)
        known = self._digests.read_bytes()
        self._at = {known[_DIGEST * i : _DIGEST * (i + 1)]: i for i in range(whole)}

    def __len__(self) -> int:
        return len(self._at)

    def __contains__(self, text: str) -> bool:
        return digest(text) in self._at

    def add(self, texts: Sequence[str], vectors: Tensor) -> None:
        """Append texts that are not there yet, with their vectors, shape (texts, width)."""
        rows = vectors.detach().cpu().half().contiguous().numpy()
        keys = [digest(text) for text in texts]
        with self._rows.open("ab") as file:
            file.write(rows.tobytes())
        with self._digests.open("ab") as file:
            file.write(b"".join(keys))
        self._at.update(zip(keys, range(len(self._at), len(self._at) + len(keys)), strict=True))

    def get(self, texts: Sequence[str]) -> Tensor:
        """Vectors of known texts, shape (texts, width), float32.

        Raises
        ------
        KeyError
            If a text is unknown.
        """
        rows = [self._at[digest(text)] for text in texts]
        stored = np.memmap(self._rows, np.float16, "r", shape=(len(self._at), self._width))
        return torch.from_numpy(stored[rows].astype(np.float32))
