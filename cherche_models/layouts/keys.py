"""Keys of other libraries' configuration files: what is not honoured here is named in a warning, never passed over."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cherche_models.layouts.files import read_json, read_list

# Honoured, or without effect on weights and embeddings: shapes, names, versions, and how a batch is computed.
_KNOWN: dict[str, frozenset[str]] = {
    "config_sentence_transformers.json": frozenset(
        {"__version__", "model_type", "prompts", "default_prompt_name", "similarity_fn_name", "max_active_dims"}
        | {"query_prefix", "document_prefix", "query_length", "document_length", "attend_to_expansion_tokens"}
        | {"skiplist_words", "do_query_expansion", "truncate_dim"}
    ),
    "sentence_bert_config.json": frozenset(
        {"max_seq_length", "do_lower_case", "query_length", "document_length", "query_expansion", "unpad_inputs"}
        | {"transformer_task", "modality_config", "module_output_name", "method_output_name"}
    ),
    "router_config.json": frozenset({"types", "structure", "parameters"}),
    "SpladePooling": frozenset(
        {"pooling_strategy", "activation_function", "embedding_dimension", "word_embedding_dimension", "chunk_size"}
    ),
    "SparseStaticEmbedding": frozenset({"frozen", "path", "num_dimensions"}),
    "Dense": frozenset(
        {"in_features", "out_features", "bias", "activation_function", "use_residual"}
        | {"module_input_name", "module_output_name"}
    ),
    "MultiVectorMask": frozenset({"skiplist_words", "skiplist_tasks", "keep_only_token_ids"}),
    "Normalize": frozenset({"module_input_name", "module_output_name"}),
}
_ROOT = ("config_sentence_transformers.json", "sentence_bert_config.json", "router_config.json")
_SCORES = ("dot", "dot_product", "cosine", "MaxSim", "maxsim", None)


def warn_of_unknown(folder: Path, *, sparse: bool) -> None:
    """Warn of each setting of a checkpoint that is not honoured here; one that is off has no effect.

    Parameters
    ----------
    folder : Path
    sparse : bool
        Whether the checkpoint gives term weights, which are scored by their dot product.
    """
    for path, kind in _files(folder):
        stored = read_json(path)
        for name, value in stored.items():
            if name not in _KNOWN[kind] and value not in (None, False, 0, "", [], {}):
                _warn(path, name, value, "it is not known here and has no effect")
        if kind == "router_config.json" and (mapped := _mappings(stored)):
            _warn(path, "route_mappings", mapped, "queries and documents take the routes of these names")
        if kind == _ROOT[0]:
            _warn_of_scores(path, stored.get("similarity_fn_name"), sparse)


def _warn_of_scores(path: Path, name: object, sparse: bool) -> None:
    scored = "the dot product" if sparse else "MaxSim"
    if name not in _SCORES or (sparse and name == "cosine"):
        _warn(path, "similarity_fn_name", name, f"the score here is {scored}")


def _mappings(stored: Mapping[str, Any]) -> object:
    return (stored.get("parameters") or {}).get("route_mappings")


def _files(folder: Path) -> Iterator[tuple[Path, str]]:
    """Each configuration file that there is, and which keys are known of it."""
    listed = [(str(m.get("type", "")), str(m.get("path", ""))) for m in read_list(folder / "modules.json")]
    routed = read_json(folder / "router_config.json").get("types") or {}
    modules = [*((path, kind) for kind, path in listed), *((path, str(kind)) for path, kind in routed.items())]
    found = [(folder / name, name) for name in _ROOT]
    for path, kind in modules:
        if path:
            found.append((folder / path / _ROOT[1], _ROOT[1]))
            found.append((folder / path / "config.json", kind.rpartition(".")[2]))
    yield from ((path, kind) for path, kind in dict.fromkeys(found) if kind in _KNOWN and path.is_file())


def _warn(path: Path, name: str, value: object, reason: str) -> None:
    warnings.warn(f"{path}: {name} is {value!r}: {reason}", stacklevel=2)
