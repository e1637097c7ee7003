"""A sentence encoder: its token embeddings serve as a ColBERT without training.

A text's vector is a mean of its tokens' or the first of them, so that the hidden states were trained to
be near those of texts that mean the same; MaxSim compares them one by one.
"""

from __future__ import annotations

import string
from pathlib import Path

import torch

from cherche_models import backbone, tokenizer
from cherche_models.layouts import plain, settings
from cherche_models.layouts.checkpoint import COLBERT, LINEAR, Checkpoint, Head
from cherche_models.layouts.files import read_json
from cherche_models.layouts.request import Request
from cherche_models.layouts.sparse_encoder import modules


def matches(folder: Path) -> bool:
    """Whether the folder pools a transformer's hidden states, or is an encoder without any head."""
    if found := modules(folder):
        return "Pooling" in [kind for kind, _ in found]
    named = read_json(folder / "config.json").get("architectures") or []
    # `BertModel`, `ModernBertModel`: transformers ends the names of its bare encoders so.
    return bool(named) and str(named[0]).endswith("Model")


def read(folder: Path, request: Request) -> Checkpoint:
    """A ColBERT whose projection is the identity; with new heads, or as another model, what `plain` reads.

    Punctuation in documents owns no vector, as in a trained ColBERT.

    Raises
    ------
    CheckpointError
        If files are missing, or a masked-LM head would be needed.
    """
    forced = request.architecture
    if request.new_head or (forced is not None and forced.architecture != "colbert"):
        return plain.read(folder, request)
    wanted = request.choose("colbert", (), folder)
    inside = plain.body_of(folder)
    body = backbone.load(inside, vocabulary=False, dtype=request.dtype, allow_pickle=request.allow_pickle)
    words = tokenizer.load(inside)
    styles = settings.formats(folder, plain.default_formats(folder, body, words), words)
    identity = torch.eye(body.hidden_size, dtype=request.dtype)
    head = Head({LINEAR: identity}, {"skiplist_words": list(string.punctuation)})
    kind = "a sentence encoder" if modules(folder) else "an encoder without a head"
    note = f"{kind}: its token embeddings of {body.hidden_size} dimensions are used as a ColBERT without training"
    return Checkpoint(wanted.architecture, body, words, styles, wanted.sparse, heads={COLBERT: head}, note=note)
