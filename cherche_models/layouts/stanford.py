"""Stanford's ColBERT: an encoder and its projection in one file, settings in ``artifact.metadata``."""

from __future__ import annotations

import string
from pathlib import Path

from torch import Tensor

from cherche_models import backbone, tokenizer
from cherche_models.errors import CheckpointError
from cherche_models.layouts import settings
from cherche_models.layouts.checkpoint import COLBERT, LINEAR, Checkpoint, Head
from cherche_models.layouts.files import read_json
from cherche_models.layouts.request import Request
from cherche_models.layouts.tensors import read_pickle, read_tensor
from cherche_models.tokenizer import Kind, TextFormat


def matches(folder: Path) -> bool:
    """Whether the configuration names Stanford's class."""
    return "HF_ColBERT" in (read_json(folder / "config.json").get("architectures") or [])


def read(folder: Path, request: Request) -> Checkpoint:
    """The checkpoint of a folder.

    Raises
    ------
    CheckpointError
        If files are missing, or the model scores otherwise than by the cosines of its tokens.
    UnsafeCheckpointError
        If the weights are a pickle and `request` accepts none.
    """
    wanted = request.choose("colbert", (), folder)
    body = backbone.load(folder, vocabulary=False, dtype=request.dtype, allow_pickle=request.allow_pickle)
    words = tokenizer.load(folder)
    stored = read_json(folder / "artifact.metadata")
    for name, known in (("similarity", "cosine"), ("interaction", "colbert")):
        if stored.get(name, known) != known:
            raise CheckpointError(f"{folder} has the {name} {stored[name]!r}", f"only {known!r} can be loaded")
    styles: dict[Kind, TextFormat] = {
        "document": TextFormat(
            min(stored.get("doc_maxlen") or 220, body.max_length),
            marker=settings.token_id(stored.get("doc_token_id", "[unused1]"), words, folder),
        ),
        "query": TextFormat(
            min(stored.get("query_maxlen") or 32, body.max_length),
            marker=settings.token_id(stored.get("query_token_id", "[unused0]"), words, folder),
            expand=True,
            attend_expansion=bool(stored.get("attend_to_mask_tokens", False)),
        ),
    }
    weight = _projection(folder, request.allow_pickle).to(request.dtype)
    if stored.get("dim") not in (None, len(weight)):
        raise CheckpointError(
            f"{folder / 'artifact.metadata'}: dim is {stored['dim']!r}, but the projection has {len(weight)} rows",
            "restore both from the checkpoint's source",
        )
    skipped = list(string.punctuation) if stored.get("mask_punctuation", True) else []
    heads = {COLBERT: Head({LINEAR: weight}, {"skiplist_words": skipped})}
    return Checkpoint(wanted.architecture, body, words, styles, wanted.sparse, heads=heads)


def _projection(folder: Path, allow_pickle: bool) -> Tensor:
    """The matrix from hidden states to token embeddings, which lies beside the encoder's weights."""
    pickled = folder / "pytorch_model.bin"
    if (folder / "model.safetensors").is_file() or not allow_pickle or not pickled.is_file():
        return read_tensor(folder / "model.safetensors", LINEAR)
    found = read_pickle(pickled)
    if LINEAR not in found:
        raise CheckpointError(f"{pickled} has no tensor {LINEAR!r}", "complete the checkpoint")
    return found[LINEAR].float()
