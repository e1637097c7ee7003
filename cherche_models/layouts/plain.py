"""A checkpoint as transformers saves it: an encoder, with or without a masked-LM head."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from cherche_models import backbone, tokenizer
from cherche_models.layouts import prompts, settings
from cherche_models.layouts.checkpoint import Checkpoint
from cherche_models.layouts.files import read_json, read_list
from cherche_models.layouts.request import Request
from cherche_models.tokenizer import Kind, TextFormat


def matches(folder: Path) -> bool:
    """True: whatever no other layout knows is read as transformers would read it."""
    return True


def read(folder: Path, request: Request) -> Checkpoint:
    """SPLADE from a masked-LM checkpoint; with new heads, any other architecture.

    Raises
    ------
    CheckpointError
        If files are missing, or a trained projection would be needed.
    """
    wanted = request.choose("splade", request.from_scratch(), folder)
    if wanted.heads:
        request.require_new_head(folder)
    inside = body_of(folder)
    body = backbone.load(inside, vocabulary=wanted.sparse, dtype=request.dtype, allow_pickle=request.allow_pickle)
    words = tokenizer.load(inside)
    styles = with_terms(settings.formats(folder, default_formats(folder, body, words), words), wanted.terms)
    note = "" if wanted.heads else "a masked-LM checkpoint: its head is used as SPLADE's"
    return Checkpoint(wanted.architecture, body, words, styles, wanted.sparse, dim=request.dim, note=note)


def body_of(folder: Path) -> Path:
    """Where the transformer of a Sentence Transformers checkpoint lies; elsewhere the folder itself."""
    for module in read_list(folder / "modules.json")[:1]:
        if str(module.get("type", "")).rpartition(".")[2] == "Transformer":
            return folder / str(module.get("path", ""))
    return folder


def with_terms(styles: Mapping[Kind, TextFormat], bounds: Mapping[Kind, int]) -> dict[Kind, TextFormat]:
    """The same formats, with bounds on the terms of a text where there are none."""
    return {kind: replace(style, terms=style.terms or bounds.get(kind, 0)) for kind, style in styles.items()}


def default_formats(folder: Path, body: backbone.Backbone, words: tokenizer.Tokenizer) -> dict[Kind, TextFormat]:
    """What sentence-transformers would do with the folder: its maximum lengths and prompts."""
    own = read_json(body_of(folder) / "sentence_bert_config.json")
    longest = min(body.max_length, words.model_max_length, own.get("max_seq_length") or body.max_length)
    lengths = {kind: min(body.max_length, own.get(f"{kind}_length") or longest) for kind in settings.KINDS}
    return {kind: TextFormat(lengths[kind], prompt=prompt) for kind, prompt in prompts.by_kind(folder).items()}
