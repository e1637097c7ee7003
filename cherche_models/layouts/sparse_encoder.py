"""sentence-transformers' SparseEncoder: a masked-LM transformer and SPLADE pooling.

A folder ``colbert`` beside them adds token embeddings, ``sparse_embed`` term
embeddings; sentence-transformers reads past both.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from cherche_models import backbone, tokenizer
from cherche_models.errors import CheckpointError
from cherche_models.layouts import settings
from cherche_models.layouts.files import read_json, read_list, read_tensor, store_as, write_json, write_tensor
from cherche_models.layouts.plain import default_formats, with_terms
from cherche_models.layouts.request import Architecture, Request
from cherche_models.models import ColBERT, Joint, Model, SparseEmbed, Splade

COLBERT, SPARSE_EMBED, POOLING = "colbert", "sparse_embed", "1_SpladePooling"
_MODULES = "sentence_transformers.sparse_encoder.models"


def matches(folder: Path) -> bool:
    """Whether the folder has SPLADE pooling."""
    return any(kind == "SpladePooling" for kind, _ in modules(folder))


def load(folder: Path, request: Request) -> Model:
    """The model of a folder, with the heads that lie beside it.

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
    wanted = request.choose(_holds(folder), _also(folder, request), folder)
    return build(folder, folder / found[0][1], folder / found[1][1], wanted, request)


def build(root: Path, body_folder: Path, pooling: Path, wanted: Architecture, request: Request) -> Model:
    """Put a model together from the folders of its parts."""
    body = backbone.load(
        body_folder, vocabulary=wanted != "colbert", dtype=request.dtype, allow_pickle=request.allow_pickle
    )
    words = tokenizer.load(body_folder)
    styles = settings.formats(root, default_formats(root, body, words), words)
    texts: dict[str, Any] = {"backbone": body, "tokenizer": words}
    texts |= {"document": styles["document"], "query": styles["query"]}
    how = pooling_settings(pooling)
    if wanted == "splade":
        return Splade(**texts, **how)
    if wanted == "sparse_embed":
        return _sparse_embed(root, texts, how, request)
    projection = root / COLBERT
    if not projection.is_dir():
        request.require_new_head(root)
        return ColBERT(**texts, dim=request.dim) if wanted == "colbert" else Joint(**texts, dim=request.dim, **how)
    stored = read_json(projection / "config.json")
    weight = read_tensor(projection / "model.safetensors", "linear.weight")
    shape: dict[str, Any] = {
        "dim": weight.shape[0],
        "skip": [i for word in stored.get("skiplist_words", []) if (i := words.id_of(word)) is not None],
    }
    model = ColBERT(**texts, **shape) if wanted == "colbert" else Joint(**texts, **shape, **how)
    model.projection.linear.weight.data = weight.to(request.dtype)
    return model


def modules(folder: Path) -> list[tuple[str, str]]:
    """Class name and sub-folder of each module that modules.json lists."""
    return [
        (str(module.get("type", "")).rpartition(".")[2], str(module.get("path", "")))
        for module in read_list(folder / "modules.json")
    ]


def pooling_settings(folder: Path) -> dict[str, Any]:
    """Activation and pooling as a `Splade` takes them.

    Raises
    ------
    CheckpointError
        If they are unknown.
    """
    stored = read_json(folder / "config.json")
    how = {
        "activation": stored.get("activation_function", "relu"),
        "pooling": stored.get("pooling_strategy", "max"),
    }
    if how["activation"] not in ("relu", "log1p_relu") or how["pooling"] not in ("max", "sum"):
        raise CheckpointError(f"{folder} asks for {how}", "relu or log1p_relu, max or sum are known")
    return how


def save_plain(model: Splade, folder: Path, dtype: torch.dtype | None) -> None:
    """Write what sentence-transformers loads, and nothing else."""
    write_transformer(model, folder, dtype)
    write_json(folder / "modules.json", _listed(("", "MLMTransformer"), (POOLING, "SpladePooling")))
    write_pooling(model, folder / POOLING)
    write_config(model, folder)


def save(model: Splade, folder: Path, dtype: torch.dtype | None) -> None:
    """Write the layout, ``cherche.json`` and the heads beside it."""
    save_plain(model, folder, dtype)
    settings.write(model, folder)
    if isinstance(model, Joint):
        write_projection(model, folder / COLBERT, dtype)
    elif isinstance(model, SparseEmbed):
        write_json(folder / SPARSE_EMBED / "config.json", {"attention": model.attention})
        weight = model.linear.weight
        write_tensor(folder / SPARSE_EMBED / "model.safetensors", "linear.weight", weight.to(dtype or weight.dtype))


def check(model: Splade) -> None:
    """Whether sentence-transformers would read texts as the model does.

    Raises
    ------
    ValueError
        If it has no setting for one of the model's text formats.
    """
    for kind, style in model.formats.items():
        odd = [name for name in ("masks", "terms", "attend_expansion") if getattr(style, name)]
        odd += [] if style.marker is None else ["marker"]
        odd += [] if style.special_tokens or model.architecture == "inference_free" else ["special_tokens"]
        if odd:
            raise ValueError(
                f"sentence-transformers' layout has no place for the {kind} format's {', '.join(odd)}: "
                "save the model with `save` instead"
            )


def write_transformer(model: Model, folder: Path, dtype: torch.dtype | None) -> None:
    """Weights, configuration and tokenizer, as transformers and sentence-transformers read them."""
    folder.mkdir(parents=True, exist_ok=True)
    longest = model.formats["document"].max_length
    model.backbone.save(folder)
    model.tokenizer.save(folder, longest)
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": longest, "do_lower_case": False})
    if dtype is not None:
        store_as(folder, dtype)


def write_pooling(model: Splade, folder: Path) -> None:
    """The configuration of SpladePooling."""
    how = {"pooling_strategy": model.pooling, "activation_function": model.activation}
    write_json(folder / "config.json", {**how, "word_embedding_dimension": len(model.vocabulary)})


def write_config(model: Model, folder: Path) -> None:
    """Prompts and the model type."""
    prompts = {kind: style.prompt for kind, style in model.formats.items()}
    write_json(
        folder / "config_sentence_transformers.json",
        {
            "__version__": {"sentence_transformers": "5.0.0"},
            "model_type": "SparseEncoder",
            "prompts": {"query": prompts["query"], "document": prompts["document"]},
            "default_prompt_name": None,
            "similarity_fn_name": "dot",
        },
    )


def write_projection(model: Joint, folder: Path, dtype: torch.dtype | None) -> None:
    """The head for token embeddings."""
    weight = model.projection.linear.weight
    skipped = [model.tokenizer.vocabulary[i] for i in model.projection.skip.tolist()]
    shape = {"in_features": weight.shape[1], "out_features": weight.shape[0], "bias": False}
    write_json(folder / "config.json", {**shape, "skiplist_words": skipped})
    write_tensor(folder / "model.safetensors", "linear.weight", weight.to(dtype or weight.dtype))


def _sparse_embed(root: Path, texts: dict[str, Any], how: dict[str, Any], request: Request) -> SparseEmbed:
    if not (root / SPARSE_EMBED).is_dir():
        request.require_new_head(root)
        styles = with_terms({"document": texts["document"], "query": texts["query"]})
        texts = {**texts, "document": styles["document"], "query": styles["query"]}
        return SparseEmbed(**texts, dim=request.dim, activation=how["activation"])
    weight = read_tensor(root / SPARSE_EMBED / "model.safetensors", "linear.weight")
    attention = read_json(root / SPARSE_EMBED / "config.json").get("attention", "tokens")
    model = SparseEmbed(**texts, dim=weight.shape[0], attention=attention, activation=how["activation"])
    model.linear.weight.data = weight.to(model.dtype)
    return model


def _holds(folder: Path) -> Architecture:
    if (folder / COLBERT).is_dir():
        return "joint"
    return "sparse_embed" if (folder / SPARSE_EMBED).is_dir() else "splade"


def _also(folder: Path, request: Request) -> tuple[Architecture, ...]:
    """What else the folder can become: all with a new head, else what it has the heads of."""
    if request.new_head:
        return ("splade", "colbert", "joint", "sparse_embed")
    return ("splade", "colbert") if (folder / COLBERT).is_dir() else ("splade",)


def _listed(*parts: tuple[str, str]) -> list[dict[str, Any]]:
    return [
        {"idx": i, "name": str(i), "path": path, "type": f"{_MODULES}.{kind}"} for i, (path, kind) in enumerate(parts)
    ]
