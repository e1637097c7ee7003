"""Centroids and residual levels that residual codes are made of.

ColBERTv2 (Santhanam et al. 2022, section 3.3) stores a token as the id of its nearest
centroid and a few bits per dimension of what is left. Both belong to a model, not to a
document: a codebook is a small file beside the model's weights, and codes name theirs
by its digest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cherche_models.codes.header import CodecError
from cherche_models.types import Floats

FILE = "codebook.safetensors"
BITS = (1, 2, 4)
CENTROIDS = 1024
_LARGEST = 1 << 16  # stored ids are u16
_BLOCK = 1 << 14  # rows at once: with 1,024 centroids their products take 64 MiB
_ROUNDS = 8
_LEVEL_SAMPLE = 1 << 18  # components, not tokens


@dataclass(frozen=True, eq=False)
class Codebook:
    """Centroids, and for each width in bits the values that a residual may take.

    Attributes
    ----------
    centroids : float32 array, shape (centroids, dim)
        Representable in float16: that is how they are stored and digested.
    levels : mapping of bits → float32 array, shape (2 ** bits,)
        Values of a component of what is left, brought to length sqrt(dim); rising.

    Raises
    ------
    ValueError
        If shapes or numbers are not those of a codebook.
    """

    centroids: Floats
    levels: Mapping[int, Floats]
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        if self.centroids.ndim != 2 or not 1 <= len(self.centroids) <= _LARGEST:
            raise ValueError(f"centroids of shape {self.centroids.shape} are no codebook: (1 to {_LARGEST:,}, dim)")
        if set(self.levels) != set(BITS):
            raise ValueError(f"a codebook has levels of {', '.join(map(str, BITS))} bits, not {sorted(self.levels)}")
        for bits, values in self.levels.items():
            if values.shape != (1 << bits,) or not bool((np.diff(values) >= 0).all()):
                raise ValueError(f"levels of {bits} bits are {1 << bits} rising numbers")
        # Of the bytes as they are stored, so that a codebook that is saved and loaded keeps its digest.
        arrays = [self.centroids.astype("<f2"), *(self.levels[bits].astype("<f4") for bits in BITS)]
        if not all(bool(np.isfinite(array).all()) for array in arrays):
            raise ValueError("a codebook holds NaN or infinity")
        text = b"".join([np.array(self.centroids.shape, "<u4").tobytes(), *(array.tobytes() for array in arrays)])
        object.__setattr__(self, "digest", hashlib.sha256(text).hexdigest())

    @property
    def dim(self) -> int:
        """Width of a token embedding."""
        return int(self.centroids.shape[1])

    @cached_property
    def _half_norms(self) -> Floats:
        halves: Floats = 0.5 * np.einsum("cd,cd->c", self.centroids, self.centroids)
        return halves

    def nearest(self, vectors: Floats) -> NDArray[np.uint16]:
        """Id of the centroid nearest to each vector, shape (tokens,)."""
        found = np.empty(len(vectors), np.uint16)
        for start in range(0, len(vectors), _BLOCK):
            block = vectors[start : start + _BLOCK]
            # argmin of |x - c|^2 is argmax of x.c - |c|^2 / 2: one matrix product.
            found[start : start + _BLOCK] = (block @ self.centroids.T - self._half_norms).argmax(axis=1)
        return found

    def save(self, folder: Path) -> Path:
        """Write ``codebook.safetensors`` into a folder."""
        from safetensors.numpy import save_file

        tensors = {f"levels_{bits}": self.levels[bits] for bits in BITS}
        tensors["centroids"] = self.centroids.astype(np.float16)
        folder.mkdir(parents=True, exist_ok=True)
        save_file(tensors, folder / FILE, metadata={"format": "np", "digest": self.digest})
        (folder / FILE).chmod(0o644)  # safetensors leaves it to its owner, and a wheel would keep that
        return folder / FILE


def load(path: Path) -> Codebook:
    """Read a codebook.

    Raises
    ------
    ValueError
        If the file is missing, damaged or something else.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        tensors = load_file(path)
        levels = {bits: tensors[f"levels_{bits}"].astype(np.float32) for bits in BITS}
        return Codebook(tensors["centroids"].astype(np.float32), levels)
    except (OSError, SafetensorError, KeyError) as error:
        raise ValueError(f"{path} is no codebook ({error}): train one, by cherche codebook") from error


def train(vectors: Floats, centroids: int = CENTROIDS, *, seed: int = 0, rounds: int = _ROUNDS) -> Codebook:
    """Fit a codebook to token embeddings: k-means, then Lloyd's levels of what is left.

    Parameters
    ----------
    vectors : float32 array, shape (tokens, dim)
        Of unit length; some hundred for each centroid.
    centroids : int
        At most as many as there are tokens.
    seed : int
    rounds : int
        Of k-means.

    Raises
    ------
    ValueError
        If there are fewer vectors than centroids.
    """
    if not 1 <= centroids <= min(_LARGEST, len(vectors)):
        raise ValueError(f"{centroids} centroids cannot be fitted to {len(vectors):,} tokens: give more text")
    random = np.random.default_rng(seed)
    means = vectors[random.choice(len(vectors), centroids, replace=False)].astype(np.float32)
    flat = {bits: np.zeros(1 << bits, np.float32) for bits in BITS}
    for _ in range(rounds):
        # Tokens are assigned to centroids as they will be stored, in float16.
        means = _moved(vectors, Codebook(_half(means), flat), random)
    book = Codebook(_half(means), flat)
    sample = vectors[random.permutation(len(vectors))[: max(1, _LEVEL_SAMPLE // book.dim)]]
    left = np.sort(directions(sample - book.centroids[book.nearest(sample)])[0].ravel())
    return Codebook(book.centroids, {bits: _levels(left, 1 << bits) for bits in BITS})


def directions(left: Floats) -> tuple[Floats, Floats]:
    """What is left, brought to length sqrt(dim), and the lengths it had; nothing left points nowhere.

    Levels of directions fit texts of any kind; those of residuals as they are would be too narrow
    for texts that are far from every centroid.
    """
    norms: Floats = np.linalg.norm(left, axis=1).astype(np.float32)
    factors = np.sqrt(left.shape[1]) / np.where(norms > 0, norms, np.inf)
    return (left * factors[:, None]).astype(np.float32), norms


def _half(vectors: Floats) -> Floats:
    return vectors.astype(np.float16).astype(np.float32)


def _moved(vectors: Floats, book: Codebook, random: np.random.Generator) -> Floats:
    """Mean of the vectors nearest to each centroid; one without any moves to a vector drawn at random."""
    ids = book.nearest(vectors).astype(np.int64)
    counts = np.bincount(ids, minlength=len(book.centroids))
    order = np.argsort(ids, kind="stable")
    used = np.flatnonzero(counts)
    starts = np.concatenate(([0], np.cumsum(counts)[:-1]))[used]
    moved = vectors[random.choice(len(vectors), len(counts))].astype(np.float32)
    moved[used] = np.add.reduceat(vectors[order], starts, axis=0) / counts[used, None]
    return moved


def _levels(values: Floats, count: int, rounds: int = 20) -> Floats:
    """Lloyd 1982: the values whose nearest one is least away from each of the sorted `values`."""
    levels = np.quantile(values, (np.arange(count) + 0.5) / count)
    sums = np.concatenate(([0.0], np.cumsum(values, dtype=np.float64)))
    for _ in range(rounds):
        edges = np.concatenate(([0], np.searchsorted(values, (levels[1:] + levels[:-1]) / 2), [values.size]))
        sizes = np.diff(edges)
        levels = np.where(sizes > 0, np.diff(sums[edges]) / np.maximum(sizes, 1), levels)
    return levels.astype(np.float32)


_NAMED = 16
_known: dict[str, Codebook] = {}


def register(book: Codebook) -> Codebook:
    """Make a codebook known to this process, so that codes which name it can be read; it never changes."""
    return _known.setdefault(book.digest[:_NAMED], book)


def known(digest: str) -> Codebook | None:
    """The registered codebook of a digest, of which codes hold the first 16 digits."""
    return _known.get(digest[:_NAMED])


def find(digest: str) -> Codebook:
    """The registered codebook of a digest.

    Raises
    ------
    CodecError
        If none is registered, with the way to one.
    """
    book = known(digest)
    if book is None:
        raise CodecError(
            f"token codes are made with the codebook {digest}, which no model here has: "
            "serve the model they were made with, its codebook.safetensors beside it"
        )
    return book
