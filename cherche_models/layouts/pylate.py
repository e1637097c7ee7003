"""PyLate's ColBERT: a transformer followed by Dense modules."""

from __future__ import annotations

import string
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from cherche_models import backbone, quantized, tokenizer
from cherche_models.layouts import dense, prompts, settings
from cherche_models.layouts.checkpoint import COLBERT, Checkpoint
from cherche_models.layouts.files import read_json, write_json
from cherche_models.layouts.request import Request
from cherche_models.layouts.sparse_encoder import modules
from cherche_models.layouts.tensors import store_as
from cherche_models.tokenizer import Kind, TextFormat


def matches(folder: Path) -> bool:
    """Whether the folder has a transformer with a Dense module on its tokens."""
    kinds = [kind for kind, _ in modules(folder)]
    return kinds[:1] == ["Transformer"] and "Dense" in kinds and "Pooling" not in kinds


def read(folder: Path, request: Request) -> Checkpoint:
    """The checkpoint of a folder; Dense modules in a row become one head.

    Raises
    ------
    CheckpointError
        If files are missing, or the activation of a Dense module is unknown.
    """
    wanted = request.choose("colbert", (), folder)
    found = modules(folder)
    body_folder = folder / found[0][1]
    body = backbone.load(body_folder, vocabulary=False, dtype=request.dtype, allow_pickle=request.allow_pickle)
    words = tokenizer.load(body_folder)
    stored = read_json(folder / "config_sentence_transformers.json")
    styles = settings.formats(folder, _formats(stored, words, folder, body.max_length), words)
    # PyLate leaves out punctuation unless the file lists other words.
    skipped = stored.get("skiplist_words")
    config = {"skiplist_words": list(string.punctuation if skipped is None else skipped)}
    folders = [folder / path for kind, path in found if kind == "Dense"]
    heads = {COLBERT: dense.head(folders, request.dtype, config)}
    return Checkpoint(wanted.architecture, body, words, styles, wanted.sparse, heads=heads)


def holds(checkpoint: Checkpoint) -> bool:
    """Whether there are token embeddings, which are all that the layout has a place for."""
    return COLBERT in checkpoint.heads


def holds_all(checkpoint: Checkpoint) -> bool:
    """Whether there is nothing else."""
    return not checkpoint.sparse and set(checkpoint.heads) == {COLBERT}


def write(checkpoint: Checkpoint, folder: Path, dtype: torch.dtype | None) -> None:
    """Write what PyLate loads; of a joint model its token embeddings alone."""
    folder.mkdir(parents=True, exist_ok=True)
    longest = checkpoint.formats["document"].max_length
    checkpoint.backbone.save(folder, encoder_only=True)
    checkpoint.tokenizer.save(folder, longest)
    if dtype is not None:
        store_as(folder, dtype)
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": longest, "do_lower_case": False})
    write_json(folder / "config_sentence_transformers.json", _written(checkpoint))
    names = dense.write(checkpoint.heads[COLBERT], folder, quantized.type_of_rest(dtype))
    write_json(folder / "modules.json", _modules(names))


def export(checkpoint: Checkpoint, folder: Path) -> None:
    """Write the layout in float32, if PyLate would read texts as the model does.

    Raises
    ------
    ValueError
        If it has no setting for one of the text formats.
    """
    _check(checkpoint)
    write(checkpoint, folder, torch.float32)


def _formats(stored: dict[str, Any], words: tokenizer.Tokenizer, folder: Path, longest: int) -> dict[Kind, TextFormat]:
    """PyLate's settings, with its defaults where the file has none."""
    prompt = prompts.default(folder)
    prefixes: dict[Kind, str] = {
        "document": stored.get("document_prefix", "[D] "),
        "query": stored.get("query_prefix", "[Q] "),
    }
    markers = {kind: settings.token_id(p, words, folder) if p else None for kind, p in prefixes.items()}
    return {
        "document": TextFormat(
            min(stored.get("document_length") or 180, longest), prompt=prompt, marker=markers["document"]
        ),
        "query": TextFormat(
            min(stored.get("query_length") or 32, longest),
            prompt=prompt,
            marker=markers["query"],
            expand=bool(stored.get("do_query_expansion", True)),
            attend_expansion=bool(stored.get("attend_to_expansion_tokens", False)),
        ),
    }


def _check(checkpoint: Checkpoint) -> None:
    if checkpoint.heads[COLBERT].config.get("skip_first"):
        raise ValueError("PyLate's layout has no place for a first token without a vector: save the model with `save`")
    for kind, style in checkpoint.formats.items():
        odd = [name for name in ("masks", "prompt") if getattr(style, name)]
        odd += [] if style.special_tokens else ["special_tokens"]
        odd += ["expand"] if kind == "document" and style.expand else []
        if odd:
            raise ValueError(
                f"PyLate's layout has no place for the {kind} format's {', '.join(odd)}: "
                "save the model with `save` instead"
            )


def _written(checkpoint: Checkpoint) -> dict[str, Any]:
    words, styles = checkpoint.tokenizer.vocabulary, checkpoint.formats
    document, query = styles["document"], styles["query"]
    return {
        "__version__": {"sentence_transformers": "5.0.0"},
        "model_type": "ColBERT",
        "prompts": {},
        "default_prompt_name": None,
        "similarity_fn_name": "MaxSim",
        "query_prefix": "" if query.marker is None else words[query.marker],
        "document_prefix": "" if document.marker is None else words[document.marker],
        "query_length": query.max_length,
        "document_length": document.max_length,
        "attend_to_expansion_tokens": query.attend_expansion,
        "skiplist_words": checkpoint.heads[COLBERT].config.get("skiplist_words", []),
        "do_query_expansion": query.expand,
    }


def _modules(names: Sequence[str]) -> list[dict[str, Any]]:
    modules = [
        ("", "sentence_transformers.models.Transformer"),
        *((name, "pylate.models.Dense.Dense") for name in names),
    ]
    return [{"idx": i, "name": str(i), "path": path, "type": kind} for i, (path, kind) in enumerate(modules)]
