"""Where a model lies: in the package, a folder here, or its copy in the cache of the Hugging Face Hub."""

from __future__ import annotations

import difflib
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError

from cherche_models.errors import CheckpointError
from cherche_models.layouts.digest import PICKLES, WEIGHTS

PRETRAINED = Path(__file__).parents[1] / "pretrained"
"""Folder of the models that ship with the library."""

# The first base of the hub's own error is that of its HTTP client, which differs between releases.
REFUSALS: tuple[type[Exception], ...] = (*HfHubHTTPError.__bases__, HFValidationError, OSError)
"""What the hub's client raises: refusals, names that are none, no network, and offline mode."""

TEXTS = ("*.json", "*.txt", "*.model", "artifact.metadata")
"""Files of a checkpoint beside its weights."""


def resolve(source: str | Path, revision: str | None = None, *, allow_pickle: bool = False, onnx: bool = False) -> Path:
    """The folder of a model: `source` itself, or its copy in the hub's cache.

    Parameters
    ----------
    source : str or Path
        A folder, the name of a model in the package, or the id of a repository on the hub, which is downloaded.
    revision : str or None
        Branch, tag or commit on the hub.
    allow_pickle : bool
        Download ``pytorch_model*.bin`` too.
    onnx : bool
        Download ``onnx/model.onnx`` too.

    Raises
    ------
    CheckpointError
        If there is neither such a folder nor such a repository.
    """
    folder = Path(source).expanduser()
    if folder.is_dir():
        return folder
    if isinstance(source, Path) or _is_path(str(source)):
        raise CheckpointError(f"{source} is not a folder", "name a model's folder, or an id on the hub")
    if (shipped := PRETRAINED / str(source)).is_dir():
        return shipped
    wanted = [*TEXTS, *WEIGHTS, *(PICKLES if allow_pickle else ()), *(["onnx/model.onnx*"] if onnx else ())]
    try:
        return Path(snapshot_download(str(source), revision=revision, allow_patterns=wanted))
    except REFUSALS as error:
        near = difflib.get_close_matches(str(source), [folder.name for folder in PRETRAINED.iterdir()], 1)
        raise CheckpointError(
            f"{source} is neither a folder here nor a model that the hub gives out ({error})",
            (f"did you mean {near[0]}, which ships with the package? otherwise " if near else "")
            + "check the name, the network and, for a private model, HF_TOKEN",
        ) from error


def _is_path(source: str) -> bool:
    # A hub id has one slash at most.
    return source.startswith((".", "/", "~")) or source.count("/") > 1 or "\\" in source or not source
