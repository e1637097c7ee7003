"""The table of layouts: which of them reads a folder, and which of them writes a checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import torch

from cherche_models.layouts import (
    idf,
    keys,
    m3,
    multi_vector,
    neural_cherche,
    plain,
    pylate,
    router,
    sentence_encoder,
    settings,
    sparse_encoder,
    stanford,
)
from cherche_models.layouts.checkpoint import IDF, Checkpoint
from cherche_models.layouts.codebooks import load_codebook, remove_codebook, save_codebook
from cherche_models.layouts.digest import digest
from cherche_models.layouts.request import Request


class Readable(Protocol):
    """A layout that can be read."""

    def matches(self, folder: Path) -> bool:
        """Whether a folder is in this layout."""

    def read(self, folder: Path, request: Request) -> Checkpoint:
        """The checkpoint of a folder."""


class Writable(Protocol):
    """A layout that `write` can choose: it comes back whole."""

    def holds_all(self, checkpoint: Checkpoint) -> bool:
        """Whether the layout has a place for all that the checkpoint holds."""

    def write(self, checkpoint: Checkpoint, folder: Path, dtype: torch.dtype | None) -> None:
        """Write it, in another type than its own unless None."""


class Exportable(Protocol):
    """A layout of another library."""

    def holds(self, checkpoint: Checkpoint) -> bool:
        """Whether the layout has a place for a part of what the checkpoint holds."""

    def export(self, checkpoint: Checkpoint, folder: Path) -> None:
        """Write what that library loads with equal results."""


# `multi_vector` before `pylate`, which would match its Dense modules too; `plain` last, as it matches everything.
READ: tuple[Readable, ...] = (
    m3,
    router,
    neural_cherche,
    sparse_encoder,
    multi_vector,
    pylate,
    stanford,
    sentence_encoder,
    plain,
)
"""In the order in which they are tried on a folder."""

WRITE: tuple[Writable, ...] = (m3, router, sparse_encoder, pylate)
"""In the order in which they are offered a checkpoint."""

EXPORT: dict[str, Sequence[Exportable]] = {
    "sentence-transformers": (router, sparse_encoder),
    "pylate": (pylate,),
    "neural-cherche": (neural_cherche,),
}
"""The same for each format of `export`."""


def layout_of(folder: Path) -> Readable:
    """The layout of a folder."""
    return next(layout for layout in READ if layout.matches(folder))


def has_formats(folder: Path) -> bool:
    """Whether a folder says how it reads texts; if not, it is as transformers saves it."""
    return layout_of(folder) not in (sentence_encoder, plain) or (folder / settings.FILE).is_file()


def read(folder: Path, request: Request) -> Checkpoint:
    """Read a folder in whatever layout it is, with its tuned weights, digest, codebook and table of query weights.

    Settings that are not honoured are named in warnings; see `keys`.

    Raises
    ------
    CheckpointError
        If it cannot be loaded.
    """
    keys.check(folder)
    found = settings.with_tuned(layout_of(folder).read(folder, request), folder)
    if request.architecture is None:
        settings.check_whole(folder, found.architecture)
    settings.check_lengths(found.formats, found.tokenizer, found.backbone.max_length, folder)
    keys.warn_of_unknown(folder, found.backbone.settings, sparse=found.sparse)
    wanted = request.architecture or request.known[found.architecture]
    book = load_codebook(folder) if wanted.late_interaction else None
    known = None
    if found.sparse and IDF not in found.heads:
        weights = idf.read_table(folder / idf.FILE, found.tokenizer, found.backbone.decoder.out_features)
        known = None if weights is None else torch.from_numpy(weights)
    if wanted.sparse and wanted.late_interaction:
        settings.check_weighting(found, known is not None, folder)
    return replace(found, digest=digest(folder, found.architecture), codebook=book, query_table=known)


def write(checkpoint: Checkpoint, folder: Path, dtype: torch.dtype | None) -> None:
    """Write a folder that `read` gives back.

    Raises
    ------
    TypeError
        If no layout has a place for what the checkpoint holds.
    """
    layout = next((layout for layout in WRITE if layout.holds_all(checkpoint)), None)
    if layout is None:
        heads = " and ".join(sorted(checkpoint.heads)) or "none"
        raise TypeError(f"a {checkpoint.architecture} model with the heads {heads} has no layout on disk")
    layout.write(checkpoint, folder, dtype)
    settings.write(checkpoint, folder)
    if checkpoint.codebook is not None:
        save_codebook(checkpoint.codebook, folder)
    else:
        remove_codebook(folder)
    if checkpoint.query_table is not None:
        idf.write_table(checkpoint.query_table, checkpoint.tokenizer.vocabulary, folder)
    else:
        idf.remove_table(folder)


def export(checkpoint: Checkpoint, folder: Path, format: str) -> None:
    """Write what another library loads.

    Raises
    ------
    ValueError
        If it has no place for such a model, or no setting for the way it reads texts.
    """
    layout = next((layout for layout in EXPORT.get(format, ()) if layout.holds(checkpoint)), None)
    if layout is None:
        raise ValueError(
            f"a {checkpoint.architecture} model cannot be exported as {format!r}: "
            "pylate takes token embeddings, sentence-transformers term weights"
        )
    layout.export(checkpoint, folder)
