"""sentence-transformers' SparseEncoder: a masked-LM transformer and SPLADE pooling.

Each head that a model has beside them lies in a folder of its own, such as
``colbert``; sentence-transformers reads past it.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from cherche_models import backbone, tokenizer
from cherche_models.errors import CheckpointError
from cherche_models.layouts import settings
from cherche_models.layouts.checkpoint import IDF, Checkpoint, read_heads, write_heads
from cherche_models.layouts.files import read_json, read_list, write_json
from cherche_models.layouts.plain import default_formats, with_terms
from cherche_models.layouts.request import Architecture, Request
from cherche_models.layouts.tensors import store_as

POOLING = "1_SpladePooling"
_MODULES = "sentence_transformers.sparse_encoder.models"


def matches(folder: Path) -> bool:
    """Whether the folder has SPLADE pooling."""
    return any(kind == "SpladePooling" for kind, _ in modules(folder))


def read(folder: Path, request: Request) -> Checkpoint:
    """The checkpoint of a folder, with the heads that lie beside it.

    Raises
    ------
    CheckpointError
        If files are missing or a module is unknown.
    """
    found = modules(folder)
    if [kind for kind, _ in found] not in (["MLMTransformer", "SpladePooling"], ["Transformer", "SpladePooling"]):
        raise CheckpointError(
            f"{folder} has the modules {', '.join(kind for kind, _ in found)}",
            "only a masked-LM transformer followed by SpladePooling can be loaded",
        )
    wanted = request.choose(*_possible(folder, request), folder)
    checkpoint = without_heads(folder, folder / found[0][1], folder / found[1][1], wanted, request)
    there = [name for name in wanted.heads if (folder / name).is_dir()]
    if len(there) < len(wanted.heads):
        request.require_new_head(folder)
        checkpoint = replace(checkpoint, formats=with_terms(checkpoint.formats, wanted.terms))
    return replace(checkpoint, heads=read_heads(folder, there, request.dtype))


def without_heads(root: Path, body_folder: Path, pooling: Path, wanted: Architecture, request: Request) -> Checkpoint:
    """Put a checkpoint together from the folders of its parts."""
    body = backbone.load(body_folder, vocabulary=wanted.sparse, dtype=request.dtype, allow_pickle=request.allow_pickle)
    words = tokenizer.load(body_folder)
    most = _most_terms(root)
    plain = {kind: replace(style, terms=most) for kind, style in default_formats(root, body, words).items()}
    styles = settings.formats(root, plain, words)
    how = _pooling(pooling)
    if wanted.sparse:
        _warn_of_width(pooling / "config.json", body.decoder.out_features)
    return Checkpoint(wanted.architecture, body, words, styles, wanted.sparse, dim=request.dim, **how)


def _most_terms(root: Path) -> int:
    """Most term weights of a text, ``max_active_dims``; 0 for all.

    Raises
    ------
    CheckpointError
        If it is no positive integer.
    """
    path = root / "config_sentence_transformers.json"
    most = read_json(path).get("max_active_dims")
    if most is None:
        return 0
    if isinstance(most, bool) or not isinstance(most, int) or most < 1:
        raise CheckpointError(f"{path}: max_active_dims is {most!r}", "give a positive integer, or leave it out")
    return most


def _warn_of_width(path: Path, terms: int) -> None:
    """Warn of a vocabulary of another size in the pooling's settings, which may be those of another model."""
    stored = read_json(path)
    for name in ("word_embedding_dimension", "embedding_dimension"):
        if stored.get(name) not in (None, terms):
            warnings.warn(f"{path}: {name} is {stored[name]!r}, the weights have {terms:,} terms", stacklevel=2)


def modules(folder: Path) -> list[tuple[str, str]]:
    """Class name and sub-folder of each module that modules.json lists."""
    return [
        (str(module.get("type", "")).rpartition(".")[2], str(module.get("path", "")))
        for module in read_list(folder / "modules.json")
    ]


def holds(checkpoint: Checkpoint) -> bool:
    """Whether there are term weights."""
    return checkpoint.sparse


def holds_all(checkpoint: Checkpoint) -> bool:
    """Whether `read` gives all heads back: a table of query weights is a router's."""
    return checkpoint.sparse and IDF not in checkpoint.heads


def write(checkpoint: Checkpoint, folder: Path, dtype: torch.dtype | None) -> None:
    """Write what sentence-transformers loads, and the heads beside it."""
    write_transformer(checkpoint, folder, dtype)
    write_json(folder / "modules.json", _listed(("", "MLMTransformer"), (POOLING, "SpladePooling")))
    write_pooling(checkpoint, folder / POOLING)
    write_config(checkpoint, folder)
    write_heads(checkpoint.heads, folder, dtype)


def export(checkpoint: Checkpoint, folder: Path) -> None:
    """Write the term weights alone, in float32, if sentence-transformers would read texts as the model does.

    Raises
    ------
    ValueError
        If it has no setting for one of the text formats.
    """
    check(checkpoint)
    write(replace(checkpoint, heads={}), folder, torch.float32)


def check(checkpoint: Checkpoint) -> None:
    """Whether sentence-transformers would read texts as the model does.

    Raises
    ------
    ValueError
        If it has no setting for one of the model's text formats.
    """
    for kind, style in checkpoint.formats.items():
        odd = [name for name in ("masks", "attend_expansion") if getattr(style, name)]
        odd += ["terms"] if style.terms != checkpoint.formats["document"].terms else []
        odd += [] if style.marker is None else ["marker"]
        odd += [] if style.special_tokens or IDF in checkpoint.heads else ["special_tokens"]
        if odd:
            raise ValueError(
                f"sentence-transformers' layout has no place for the {kind} format's {', '.join(odd)}: "
                "save the model with `save` instead"
            )


def write_transformer(checkpoint: Checkpoint, folder: Path, dtype: torch.dtype | None) -> None:
    """Weights, configuration and tokenizer, as transformers and sentence-transformers read them."""
    folder.mkdir(parents=True, exist_ok=True)
    longest = checkpoint.formats["document"].max_length
    checkpoint.backbone.save(folder)
    checkpoint.tokenizer.save(folder, longest)
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": longest, "do_lower_case": False})
    if dtype is not None:
        store_as(folder, dtype)


def write_pooling(checkpoint: Checkpoint, folder: Path) -> None:
    """The configuration of SpladePooling."""
    how = {"pooling_strategy": checkpoint.pooling, "activation_function": checkpoint.activation}
    write_json(folder / "config.json", {**how, "word_embedding_dimension": checkpoint.backbone.decoder.out_features})


def write_config(checkpoint: Checkpoint, folder: Path) -> None:
    """Prompts and the model type."""
    prompts = {kind: style.prompt for kind, style in checkpoint.formats.items()}
    write_json(
        folder / "config_sentence_transformers.json",
        {
            # The first release with SparseEncoder: releases older than the one named here warn.
            "__version__": {"sentence_transformers": "5.0.0"},
            "model_type": "SparseEncoder",
            "prompts": {"query": prompts["query"], "document": prompts["document"]},
            "default_prompt_name": None,
            "similarity_fn_name": "dot",
            **({"max_active_dims": most} if (most := checkpoint.formats["document"].terms) else {}),
        },
    )


def _possible(folder: Path, request: Request) -> tuple[str, list[str]]:
    """The architecture of all heads that lie in the folder, and the others it can be loaded as."""
    whole = [
        name for name in request.from_scratch() if all((folder / head).is_dir() for head in request.known[name].heads)
    ]
    # Reversed, since `max` takes the first of equals and the later architecture is meant.
    sparse = [name for name in reversed(whole) if request.known[name].sparse]
    found = max(sparse, key=lambda name: len(request.known[name].heads), default="splade")
    return found, request.from_scratch() if request.new_head else whole


def _pooling(folder: Path) -> dict[str, Any]:
    """Activation and pooling of the term weights.

    Raises
    ------
    CheckpointError
        If they are unknown.
    """
    path = folder / "config.json"
    if not path.is_file():
        warnings.warn(f"there is no {path}: max and relu are taken, as in sentence-transformers", stacklevel=2)
    stored = read_json(path)
    how = {
        "activation": stored.get("activation_function", "relu"),
        "pooling": stored.get("pooling_strategy", "max"),
    }
    if how["activation"] not in ("relu", "log1p_relu") or how["pooling"] not in ("max", "sum"):
        raise CheckpointError(f"{folder} asks for {how}", "relu or log1p_relu, max or sum are known")
    return how


def _listed(*parts: tuple[str, str]) -> list[dict[str, Any]]:
    return [
        {"idx": i, "name": str(i), "path": path, "type": f"{_MODULES}.{kind}"} for i, (path, kind) in enumerate(parts)
    ]
