"""BGE-M3's files: an encoder, ``colbert_linear.pt`` and ``sparse_linear.pt`` (Chen et al. 2024, arXiv 2402.03216).

We save the two maps as safetensors in folders of their own.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from cherche_models import backbone, tokenizer
from cherche_models.errors import CheckpointError
from cherche_models.layouts import settings
from cherche_models.layouts.checkpoint import BIAS, COLBERT, LEXICAL, LINEAR, Checkpoint, Head, read_heads, write_heads
from cherche_models.layouts.files import read_json
from cherche_models.layouts.plain import body_of, default_formats
from cherche_models.layouts.request import Request
from cherche_models.layouts.tensors import read_pickle, store_as

ARCHITECTURE = "m3"
FILES = {COLBERT: "colbert_linear.pt", LEXICAL: "sparse_linear.pt"}


def matches(folder: Path) -> bool:
    """Whether both maps are there, as BAAI or as we save them."""
    ours = read_json(folder / settings.FILE).get("architecture") == ARCHITECTURE
    return ours or all((folder / file).is_file() for file in FILES.values())


def read(folder: Path, request: Request) -> Checkpoint:
    """The checkpoint of a folder.

    Raises
    ------
    CheckpointError
        If files are missing, or a map does not fit the encoder.
    """
    wanted = request.choose(ARCHITECTURE, (), folder)
    inside = body_of(folder)
    body = backbone.load(inside, vocabulary=False, dtype=request.dtype, allow_pickle=request.allow_pickle)
    words = tokenizer.load(inside)
    styles = settings.formats(folder, default_formats(folder, body, words), words)
    if all((folder / name).is_dir() for name in FILES):
        heads = read_heads(folder, FILES, request.dtype)
    else:
        heads = {name: _head(folder / file, name, body.hidden_size, request.dtype) for name, file in FILES.items()}
    return Checkpoint(wanted.architecture, body, words, styles, sparse=False, heads=heads)


def holds_all(checkpoint: Checkpoint) -> bool:
    """Whether there are both maps and nothing else."""
    return not checkpoint.sparse and set(checkpoint.heads) == set(FILES)


def write(checkpoint: Checkpoint, folder: Path, dtype: torch.dtype | None) -> None:
    """Write the encoder, and each map in a folder of its name."""
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint.backbone.save(folder, encoder_only=True)
    checkpoint.tokenizer.save(folder, checkpoint.formats["document"].max_length)
    if dtype is not None:
        store_as(folder, dtype)
    write_heads(checkpoint.heads, folder, dtype)


def _head(path: Path, name: str, hidden: int, dtype: torch.dtype) -> Head:
    found = read_pickle(path)
    parts = {LINEAR: found.get("weight"), BIAS: found.get("bias")}
    tensors: dict[str, Tensor] = {key: part.float().to(dtype) for key, part in parts.items() if part is not None}
    weight = tensors.get(LINEAR)
    if weight is None or weight.shape[1] != hidden or (name == LEXICAL and len(weight) != 1):
        raise CheckpointError(f"{path} has no weight from {hidden} dimensions", "complete the checkpoint")
    return Head(tensors, {"skip_first": True} if name == COLBERT else {}, str(path))
