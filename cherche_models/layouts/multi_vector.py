"""ColBERT as sentence-transformers saves it since release 6: MultiVectorEncoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from cherche_models import backbone, tokenizer
from cherche_models.errors import CheckpointError
from cherche_models.layouts import dense, prompts, settings
from cherche_models.layouts.checkpoint import COLBERT, LINEAR, Checkpoint, Head
from cherche_models.layouts.files import read_json
from cherche_models.layouts.request import Request
from cherche_models.layouts.sparse_encoder import modules
from cherche_models.tokenizer import Kind, TextFormat

MASK = "MultiVectorMask"
_KNOWN = ("Transformer", "Dense", MASK, "Normalize")


def matches(folder: Path) -> bool:
    """Whether a module says which tokens are scored: PyLate's layout has none."""
    return MASK in [kind for kind, _ in modules(folder)]


def read(folder: Path, request: Request) -> Checkpoint:
    """The checkpoint of a folder; Dense modules in a row become one head, none the identity.

    Raises
    ------
    CheckpointError
        If files are missing, or the model does what a ColBERT here cannot.
    """
    wanted = request.choose("colbert", (), folder)
    found = modules(folder)
    _check(folder, [kind for kind, _ in found])
    body_folder = folder / found[0][1]
    body = backbone.load(body_folder, vocabulary=False, dtype=request.dtype, allow_pickle=request.allow_pickle)
    words = tokenizer.load(body_folder)
    folders = [folder / path for kind, path in found if kind == "Dense"]
    styles = settings.formats(folder, _formats(folder, body_folder, words, body.max_length), words)
    skipped = _skipped(folder / next(path for kind, path in found if kind == MASK))
    config = {"skiplist_words": skipped}
    identity = Head({LINEAR: torch.eye(body.hidden_size, dtype=request.dtype)}, config)
    heads = {COLBERT: dense.head(folders, request.dtype, config) if folders else identity}
    return Checkpoint(wanted.architecture, body, words, styles, wanted.sparse, heads=heads)


def _check(folder: Path, kinds: list[str]) -> None:
    if odd := [kind for kind in kinds if kind not in _KNOWN]:
        raise CheckpointError(f"{folder} has the module {odd[0]}", "only projections of tokens can be loaded")
    if kinds[-1:] != ["Normalize"]:
        raise CheckpointError(f"{folder} does not normalise its vectors", "add a Normalize module and save it again")


def _formats(folder: Path, body_folder: Path, words: tokenizer.Tokenizer, longest: int) -> dict[Kind, TextFormat]:
    stored, about = read_json(body_folder / "sentence_bert_config.json"), prompts.by_kind(folder)
    limit = min(words.model_max_length, stored.get("max_seq_length") or longest)
    expansion = stored.get("query_expansion") or {}
    _check_expansion(folder, expansion, words)
    lengths: dict[Kind, int] = {
        "document": stored.get("document_length") or limit,
        "query": expansion.get("length") or stored.get("query_length") or limit,
    }
    styles = {kind: _prompted(about[kind], min(length, longest), words) for kind, length in lengths.items()}
    if expansion:
        marker, prompt = styles["query"].marker, styles["query"].prompt
        attend = bool(expansion.get("attend", False))
        styles["query"] = TextFormat(
            styles["query"].max_length, prompt=prompt, marker=marker, expand=True, attend_expansion=attend
        )
    return styles


def _prompted(prompt: str, length: int, words: tokenizer.Tokenizer) -> TextFormat:
    """A prompt that is one token, such as ``[Q]``, is a marker; any other is text."""
    (tokens,) = words.tokenize([prompt], TextFormat(length, special_tokens=False))
    marker = words.id_of(prompt) if prompt else None
    if marker is not None and list(tokens.ids) == [marker]:
        return TextFormat(length, marker=marker)
    return TextFormat(length, prompt=prompt)


def _check_expansion(folder: Path, expansion: dict[str, Any], words: tokenizer.Tokenizer) -> None:
    if not expansion:
        return
    if expansion.get("strategy") != "fixed":
        raise CheckpointError(
            f"{folder} fills queries up by the strategy {expansion.get('strategy')!r}", "only 'fixed' can be loaded"
        )
    token = expansion.get("token")
    if token is not None and words.id_of(token) != words.mask_id:
        raise CheckpointError(f"{folder} fills queries up with {token!r}", "only the mask token can be loaded")


def _skipped(folder: Path) -> list[str]:
    """Tokens that own no vector in documents."""
    stored = read_json(folder / "config.json")
    listed = stored.get("skiplist_words") or []
    if stored.get("keep_only_token_ids") or (listed and stored.get("skiplist_tasks", ["document"]) != ["document"]):
        raise CheckpointError(
            f"{folder} leaves out tokens of queries, or all but some", "only a list for documents can be loaded"
        )
    return list(listed)
