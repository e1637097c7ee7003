"""The codebook that lies beside a late-interaction head's weights."""

from __future__ import annotations

from pathlib import Path

from cherche_models.codes import codebook
from cherche_models.errors import CheckpointError
from cherche_models.layouts.checkpoint import COLBERT


def load_codebook(folder: Path) -> codebook.Codebook | None:
    """The codebook of a model's folder, made known to this process; None where it has none.

    Raises
    ------
    CheckpointError
        If there is one that cannot be read.
    """
    path = _place(folder) / codebook.FILE
    if not path.is_file():
        return None
    try:
        return codebook.register(codebook.load(path))
    except ValueError as error:
        raise CheckpointError(str(error), f"remove {path}, or train it again") from error


def save_codebook(book: codebook.Codebook, folder: Path) -> Path:
    """Put a codebook where `load_codebook` finds it: beside the late-interaction head's weights."""
    return book.save(_place(folder))


def remove_codebook(folder: Path) -> None:
    """Remove the codebook of another model that lay in the folder, if there is one."""
    (_place(folder) / codebook.FILE).unlink(missing_ok=True)


def _place(folder: Path) -> Path:
    return folder / COLBERT if (folder / COLBERT).is_dir() else folder
