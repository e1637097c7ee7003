"""sentence-transformers' Router: a table for queries, SPLADE for documents."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from cherche_models.errors import CheckpointError
from cherche_models.layouts import settings, sparse_encoder
from cherche_models.layouts.files import read_json, read_tensor, write_json, write_tensor
from cherche_models.layouts.request import Request
from cherche_models.models import InferenceFree, Model, Splade
from cherche_models.tokenizer import TextFormat, Tokenizer

_TYPES = "sentence_transformers.sparse_encoder.models"
_QUERY, _BODY, _POOLING = (
    "query_0_SparseStaticEmbedding",
    "document_0_MLMTransformer",
    "document_1_SpladePooling",
)


def matches(folder: Path) -> bool:
    """Whether the folder routes queries and documents apart."""
    return [kind for kind, _ in sparse_encoder.modules(folder)] == ["Router"]


def load(folder: Path, request: Request) -> Model:
    """The model of a folder; the document side alone if ``splade`` is forced.

    Raises
    ------
    CheckpointError
        If its routes are others than a table and SPLADE.
    """
    wanted = request.choose("inference_free", ("splade",), folder)
    query, documents = _routes(folder)
    model = sparse_encoder.build(folder, folder / documents[0], folder / documents[1], "splade", request)
    if wanted == "splade" or not isinstance(model, Splade):
        return model
    style = model.formats["query"]
    longest = style.max_length
    styles = settings.formats(
        folder,
        {
            "document": model.formats["document"],
            "query": TextFormat(longest, prompt=style.prompt, special_tokens=False),
        },
        model.tokenizer,
    )
    return InferenceFree(
        model.backbone,
        model.tokenizer,
        _table(folder / query, model.tokenizer, len(model.vocabulary)),
        styles["document"],
        styles["query"],
        activation=model.activation,
        pooling=model.pooling,
    )


def save(model: InferenceFree, folder: Path, dtype: torch.dtype | None) -> None:
    """Write the layout and ``cherche.json``."""
    sparse_encoder.write_transformer(model, folder / _BODY, dtype)
    sparse_encoder.write_pooling(model, folder / _POOLING)
    write_tensor(folder / _QUERY / "model.safetensors", "weight", model.table)
    write_json(folder / _QUERY / "config.json", {"frozen": True})
    model.tokenizer.save(folder / _QUERY, model.formats["query"].max_length)
    write_json(folder / "modules.json", [_module()])
    write_json(folder / "router_config.json", _written())
    sparse_encoder.write_config(model, folder)
    settings.write(model, folder)


def _module() -> dict[str, Any]:
    return {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Router"}


def _written() -> dict[str, Any]:
    names = (_QUERY, _BODY, _POOLING)
    return {
        "types": {name: f"{_TYPES}.{name.rpartition('_')[2]}" for name in names},
        "structure": {"query": [_QUERY], "document": [_BODY, _POOLING]},
        "parameters": {"default_route": "document", "allow_empty_key": True},
    }


def _routes(folder: Path) -> tuple[str, list[str]]:
    stored = read_json(folder / "router_config.json")
    kinds = {name: str(kind).rpartition(".")[2] for name, kind in stored.get("types", {}).items()}
    structure = stored.get("structure", {})
    query, document = structure.get("query", []), structure.get("document", [])
    if [kinds.get(name) for name in query] != ["SparseStaticEmbedding"] or [
        kinds.get(name) for name in document
    ] not in (["MLMTransformer", "SpladePooling"], ["Transformer", "SpladePooling"]):
        raise CheckpointError(
            f"{folder} routes queries to {query} and documents to {document}",
            "only a SparseStaticEmbedding beside a masked-LM transformer with SpladePooling can be loaded",
        )
    return str(query[0]), [str(name) for name in document]


def _table(folder: Path, words: Tokenizer, size: int) -> torch.Tensor:
    """Query weights, from safetensors or from a JSON object token → idf."""
    if (folder / "model.safetensors").is_file():
        return read_tensor(folder / "model.safetensors", "weight")
    path = folder / str(read_json(folder / "config.json").get("path", "idf.json"))
    table = torch.zeros(size)
    weights = read_json(path)
    if not weights:
        raise CheckpointError(f"{folder} has no table of query weights", "complete the checkpoint")
    for token, weight in weights.items():
        found = words.id_of(token)
        if found is not None:
            table[found] = weight
    return table
