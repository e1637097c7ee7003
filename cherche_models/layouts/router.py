"""sentence-transformers' Router: a table for queries, SPLADE for documents."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from cherche_models import tokenizer
from cherche_models.errors import CheckpointError
from cherche_models.layouts import idf, settings, sparse_encoder
from cherche_models.layouts.checkpoint import IDF, WEIGHT, Checkpoint, Head
from cherche_models.layouts.digest import file_digest
from cherche_models.layouts.files import read_json, write_json
from cherche_models.layouts.request import Request
from cherche_models.layouts.tensors import read_tensor, write_tensors
from cherche_models.tokenizer import Kind, TextFormat, Tokenizer

_TYPES = "sentence_transformers.sparse_encoder.models"
_QUERY, _BODY, _POOLING = (
    "query_0_SparseStaticEmbedding",
    "document_0_MLMTransformer",
    "document_1_SpladePooling",
)
_SPLADE = (["MLMTransformer", "SpladePooling"], ["Transformer", "SpladePooling"])


def matches(folder: Path) -> bool:
    """Whether the folder routes queries and documents apart."""
    return [kind for kind, _ in sparse_encoder.modules(folder)] == ["Router"]


def read(folder: Path, request: Request) -> Checkpoint:
    """The checkpoint of a folder; the document side alone if ``splade`` is forced.

    Raises
    ------
    CheckpointError
        If its routes are others than a table and SPLADE, or twice the same SPLADE.
    """
    if shared := _shared(folder):
        return _read_shared(folder, shared, request)
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


def _shared(folder: Path) -> list[tuple[str, str]]:
    """Module folders of queries and of documents, in pairs, where both are masked-LM transformers with SPLADE pooling.

    Raises
    ------
    CheckpointError
        If they are two different models: a query's weights and a document's are then of two encoders.
    """
    kinds, structure = _structure(folder)
    sides = [structure.get(side, []) for side in ("query", "document")]
    if any([kinds.get(name) for name in side] not in _SPLADE for side in sides):
        return []
    pairs = [(str(query), str(document)) for query, document in zip(*sides, strict=True)]
    for query, document in pairs:
        if unlike := _differences(folder / query, folder / document):
            raise CheckpointError(
                f"{folder} encodes queries and documents by two masked-LM transformers, which differ in "
                f"{', '.join(unlike[:3])}",
                f"load the folder of either by itself, such as {folder / query}: a model here has one encoder for both",
            )
    return pairs


def _differences(one: Path, other: Path) -> list[str]:
    """Names of the files that differ, apart from lengths, which each side may have of its own."""
    names = {path.name for folder in (one, other) for path in folder.iterdir() if path.is_file()}
    names -= {"sentence_bert_config.json", "tokenizer_config.json", "README.md"}
    return sorted(name for name in names if _digest(one / name) != _digest(other / name))


def _digest(path: Path) -> str:
    return file_digest(path) if path.is_file() else ""


def _read_shared(folder: Path, pairs: list[tuple[str, str]], request: Request) -> Checkpoint:
    """SPLADE, whose queries may have a length of their own."""
    wanted = request.choose("splade", (), folder)
    (query, body), (_, pooling) = pairs
    found = sparse_encoder.without_heads(folder, folder / body, folder / pooling, wanted, request)
    formats: dict[Kind, TextFormat] = {}
    sides: dict[Kind, str] = {"document": body, "query": query}
    for kind, side in sides.items():
        own = read_json(folder / side / "sentence_bert_config.json").get("max_seq_length")
        longest = min(found.backbone.max_length, tokenizer.load(folder / side).model_max_length)
        formats[kind] = replace(found.formats[kind], max_length=min(own or longest, longest))
    return replace(found, formats=settings.formats(folder, formats, found.tokenizer))


def _structure(folder: Path) -> tuple[dict[str, str], dict[str, list[str]]]:
    stored = read_json(folder / "router_config.json")
    kinds = {name: str(kind).rpartition(".")[2] for name, kind in stored.get("types", {}).items()}
    return kinds, stored.get("structure", {})


def _routes(folder: Path) -> tuple[str, list[str]]:
    kinds, structure = _structure(folder)
    query, document = structure.get("query", []), structure.get("document", [])
    is_table = [kinds.get(name) for name in query] == ["SparseStaticEmbedding"]
    if not is_table or [kinds.get(name) for name in document] not in _SPLADE:
        raise CheckpointError(
            f"{folder} routes queries to {query} and documents to {document}",
            "only a SparseStaticEmbedding, or the same model again, beside a masked-LM transformer with SpladePooling "
            "can be loaded",
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
    return torch.from_numpy(table)
