"""Stanford's ColBERT: an encoder and its projection in one file, settings in ``artifact.metadata``."""

from __future__ import annotations

import string
from pathlib import Path

from cherche_models import backbone, tokenizer
from cherche_models.layouts import settings
from cherche_models.layouts.files import read_json, read_tensor
from cherche_models.layouts.request import Request
from cherche_models.models import ColBERT, Model
from cherche_models.tokenizer import Kind, TextFormat


def matches(folder: Path) -> bool:
    """Whether the configuration names Stanford's class."""
    return "HF_ColBERT" in (read_json(folder / "config.json").get("architectures") or [])


def load(folder: Path, request: Request) -> Model:
    """The model of a folder.

    Raises
    ------
    CheckpointError
        If files are missing.
    """
    request.choose("colbert", (), folder)
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
    weight = read_tensor(folder / "model.safetensors", "linear.weight")
    skip = [words.id_of(mark) for mark in string.punctuation] if stored.get("mask_punctuation", True) else []
    model = ColBERT(
        body,
        words,
        styles["document"],
        styles["query"],
        dim=weight.shape[0],
        skip=[i for i in skip if i is not None],
    )
    model.projection.linear.weight.data = weight.to(request.dtype)
    return model
