"""Stanford's ColBERT: an encoder and its projection in one file, settings in ``artifact.metadata``."""

from __future__ import annotations

import string
from pathlib import Path

from cherche_models import backbone, tokenizer
from cherche_models.layouts import settings
from cherche_models.layouts.checkpoint import COLBERT, LINEAR, Checkpoint, Head
from cherche_models.layouts.files import read_json, read_tensor
from cherche_models.layouts.request import Request
from cherche_models.tokenizer import Kind, TextFormat


def matches(folder: Path) -> bool:
    """Whether the configuration names Stanford's class."""
    return "HF_ColBERT" in (read_json(folder / "config.json").get("architectures") or [])


def read(folder: Path, request: Request) -> Checkpoint:
    """The checkpoint of a folder.

    Raises
    ------
    CheckpointError
        If files are missing.
    """
    wanted = request.choose("colbert", (), folder)
    body = backbone.load(folder, vocabulary=False, dtype=request.dtype, allow_pickle=request.allow_pickle)
    words = tokenizer.load(folder)
    stored = read_json(folder / "artifact.metadata")
    styles: dict[Kind, TextFormat] = {
        "document": TextFormat(
            min(int(stored.get("doc_maxlen", 220)), body.max_length),
            marker=settings.token_id(stored.get("doc_token_id", "[unused1]"), words, folder),
        ),
        "query": TextFormat(
            min(int(stored.get("query_maxlen", 32)), body.max_length),
            marker=settings.token_id(stored.get("query_token_id", "[unused0]"), words, folder),
            expand=True,
            attend_expansion=bool(stored.get("attend_to_mask_tokens", False)),
        ),
    }
    weight = read_tensor(folder / "model.safetensors", LINEAR).to(request.dtype)
    skipped = list(string.punctuation) if stored.get("mask_punctuation", True) else []
    heads = {COLBERT: Head({LINEAR: weight}, {"skiplist_words": skipped})}
    return Checkpoint(wanted.architecture, body, words, styles, wanted.sparse, heads=heads)
