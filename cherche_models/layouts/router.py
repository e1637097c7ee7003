"""sentence-transformers' Router: a table for queries, SPLADE for documents."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from cherche_models.errors import CheckpointError
from cherche_models.layouts import idf, settings, sparse_encoder
from cherche_models.layouts.checkpoint import IDF, WEIGHT, Checkpoint, Head
from cherche_models.layouts.files import read_json, read_tensor, write_json, write_tensors
from cherche_models.layouts.request import Request
from cherche_models.tokenizer import Kind, TextFormat, Tokenizer

_TYPES = "sentence_transformers.sparse_encoder.models"
_QUERY, _BODY, _POOLING = (
    "query_0_SparseStaticEmbedding",
    "document_0_MLMTransformer",
    "document_1_SpladePooling",
)


def matches(folder: Path) -> bool:
    """Whether the folder routes queries and documents apart."""
    return [kind for kind, _ in sparse_encoder.modules(folder)] == ["Router"]


def read(folder: Path, request: Request) -> Checkpoint:
    """The checkpoint of a folder; the document side alone if ``splade`` is forced.

    Raises
    ------
    CheckpointError
        If its routes are others than a table and SPLADE.
    """
    wanted = request.choose("inference_free", ("splade",), folder)
    query, documents = _routes(folder)
    found = sparse_encoder.without_heads(folder, folder / documents[0], folder / documents[1], wanted, request)
    if IDF not in wanted.heads:
        return found
    defaults: dict[Kind, TextFormat] = {
        "document": found.formats["document"],
        # SparseStaticEmbedding tokenizes queries without [CLS] and [SEP].
        "query": TextFormat(
            found.formats["query"].max_length, prompt=found.formats["query"].prompt, special_tokens=False
        ),
    }
    table = _table(folder / query, found.tokenizer, found.backbone.decoder.out_features)
    return replace(
        found, formats=settings.formats(folder, defaults, found.tokenizer), heads={IDF: Head({WEIGHT: table})}
    )


def holds(checkpoint: Checkpoint) -> bool:
    """Whether there is a table of query term weights."""
    return IDF in checkpoint.heads


def holds_all(checkpoint: Checkpoint) -> bool:
    """Whether there is no other head."""
    return set(checkpoint.heads) == {IDF}


def write(checkpoint: Checkpoint, folder: Path, dtype: torch.dtype | None) -> None:
    """Write what sentence-transformers loads; the table stays in float32."""
    sparse_encoder.write_transformer(checkpoint, folder / _BODY, dtype)
    sparse_encoder.write_pooling(checkpoint, folder / _POOLING)
    write_tensors(folder / _QUERY / "model.safetensors", {WEIGHT: checkpoint.heads[IDF].tensor(WEIGHT)})
    write_json(folder / _QUERY / "config.json", {"frozen": True})
    checkpoint.tokenizer.save(folder / _QUERY, checkpoint.formats["query"].max_length)
    write_json(folder / "modules.json", [_module()])
    write_json(folder / "router_config.json", _written())
    sparse_encoder.write_config(checkpoint, folder)


def export(checkpoint: Checkpoint, folder: Path) -> None:
    """Write the layout in float32 with ``cherche.json``, if sentence-transformers would read texts as the model does.

    Raises
    ------
    ValueError
        If it has no setting for one of the text formats.
    """
    sparse_encoder.check(checkpoint)
    write(checkpoint, folder, torch.float32)
    settings.write(checkpoint, folder)


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
        return read_tensor(folder / "model.safetensors", WEIGHT)
    path = folder / str(read_json(folder / "config.json").get("path", idf.FILE))
    table = idf.read_table(path, words, size)
    if table is None or not bool(table.any()):
        raise CheckpointError(f"{folder} has no table of query weights", "complete the checkpoint")
    return table
