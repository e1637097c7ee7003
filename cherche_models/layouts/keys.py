"""Keys of other libraries' configuration files: what is not honoured here is named in a warning, never passed over.

A value of a wrong type is refused: ``"false"`` is true to Python, and a length of -1 would cut from the end.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from cherche_models.errors import CheckpointError
from cherche_models.layouts.files import read_json, read_list

# Honoured, or without effect on weights and embeddings: shapes, names, versions, and how a batch is computed.
_KNOWN: dict[str, frozenset[str]] = {
    "config_sentence_transformers.json": frozenset(
        {"__version__", "model_type", "prompts", "default_prompt_name", "similarity_fn_name", "max_active_dims"}
        | {"query_prefix", "document_prefix", "query_length", "document_length", "attend_to_expansion_tokens"}
        | {"skiplist_words", "do_query_expansion"}
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
    # Of ColBERT's configuration, what its training, index and search do, which its encodings do not depend on, too.
    "artifact.metadata": frozenset(
        {"query_token_id", "doc_token_id", "query_token", "doc_token", "dim", "doc_maxlen", "mask_punctuation"}
        | {"query_maxlen", "attend_to_mask_tokens", "interaction", "similarity", "checkpoint", "triples"}
        | {"collection", "queries", "index_name", "bsize", "accumsteps", "lr", "maxsteps", "save_every", "warmup"}
        | {"warmup_bert", "relu", "nway", "use_ib_negatives", "reranker", "distillation_alpha", "ignore_scores"}
        | {"model_name", "index_path", "index_bsize", "nbits", "kmeans_niters", "resume", "pool_factor", "meta"}
        | {"clustering_mode", "protected_tokens", "ncells", "centroid_score_threshold", "ndocs", "overwrite"}
        | {"load_index_with_mmap", "root", "experiment", "index_root", "name", "rank", "nranks", "amp", "gpus"}
        | {"total_visible_gpus", "avoid_fork_if_possible", "schedule_free", "schedule_free_wd", "kldiv_loss"}
        | {"kldiv_weight", "marginmse_loss", "marginmse_weight", "ib_loss_weight", "normalise_training_scores"}
        | {"normalization_method", "quant_aware", "highest_quant_level", "lowest_quant_level"}
    ),
    "metadata.json": frozenset(
        {"max_length_query", "max_length_document", "query_prefix", "document_prefix", "padding", "truncation"}
        | {"add_special_tokens", "n_mask_tokens"}
    ),
}
_SWITCHES = frozenset(
    {"attend_to_expansion_tokens", "bias", "do_lower_case", "do_query_expansion", "frozen", "unpad_inputs"}
    | {"use_residual", "add_special_tokens", "attend_to_mask_tokens", "mask_punctuation"}
)
_LENGTHS = frozenset(
    {"max_seq_length", "query_length", "document_length", "doc_maxlen", "query_maxlen"}
    | {"max_length_query", "max_length_document"}
)
_COUNTS = frozenset({"n_mask_tokens"})
_TEXTS = frozenset({"query_prefix", "document_prefix", "doc_token_id", "query_token_id"})
_LISTS = frozenset({"skiplist_words"})
# Of config.json: of how it was made or is run, or of heads that are not used here.
_WITHOUT_EFFECT = frozenset(
    {"_name_or_path", "architectures", "attn_implementation", "auto_map", "directionality", "dtype", "model_max_length"}
    | {"gradient_checkpointing", "num_labels", "output_past", "torch_dtype", "torchscript", "transformers_version"}
    | {"classifier_dropout", "is_decoder", "model_type", "pruned_heads", "tie_weights_", "use_cache", "xla_device"}
)
_PARTS_WITHOUT_EFFECT = ("_", "pooler_", "classifier_", "summary_", "transformers.js")
_USUAL = {"position_embedding_type": "absolute"}
"""Values that are those of every encoder."""
_STANFORD, _NEURAL_CHERCHE = "artifact.metadata", "metadata.json"
_ROOT = ("config_sentence_transformers.json", "sentence_bert_config.json", "router_config.json")
_SCORES = ("dot", "dot_product", "cosine", "MaxSim", "maxsim", None)


def check(folder: Path) -> None:
    """Refuse settings of a wrong type.

    Raises
    ------
    CheckpointError
        Naming the first.
    """
    for path, _ in _files(folder):
        for name, value in read_json(path).items():
            if value is not None and (needed := _needed(name, value)):
                raise CheckpointError(f"{path}: {name} is {value!r}", f"give {needed}, or leave it out")


def _needed(name: str, value: object) -> str:
    """What a setting must be, if it is anything else."""
    if name in _SWITCHES and not isinstance(value, bool):
        return "true or false"
    if name in _LENGTHS and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        return "a positive integer"
    if name in _COUNTS and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
        return "a number of at least 0"
    if name in _TEXTS and not isinstance(value, str):
        return "a text"
    if name in _LISTS and not (isinstance(value, list) and all(isinstance(one, str) for one in value)):
        return "a list of texts"
    return ""


def warn_of_unknown(folder: Path, backbone_settings: Collection[str], *, sparse: bool) -> None:
    """Warn of each setting of a checkpoint that is not honoured here; one that is off has no effect.

    Parameters
    ----------
    folder : Path
    backbone_settings : collection of str
        Settings that the encoder has, in ``config.json``.
    sparse : bool
        Whether the checkpoint gives term weights, which are scored by their dot product.
    """
    path = _body(folder) / "config.json"
    for name, value in read_json(path).items():
        known = name in backbone_settings or name in _WITHOUT_EFFECT or name.startswith(_PARTS_WITHOUT_EFFECT)
        if not known and value not in (None, False, 0, "", [], {}, _USUAL.get(name)):
            _warn(path, name, value, "this kind of encoder does not know it, and it has no effect")
        if name == "is_decoder" and value and name in backbone_settings:
            _warn(path, name, value, "a token is read without those after it")
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


def _body(folder: Path) -> Path:
    """Where the encoder lies."""
    for path, kind in _modules(folder):
        if kind.rpartition(".")[2] in ("Transformer", "MLMTransformer"):
            return folder / path
    return folder


def _modules(folder: Path) -> list[tuple[str, str]]:
    """Path and class of each module, those of routes too."""
    listed = [(str(m.get("path", "")), str(m.get("type", ""))) for m in read_list(folder / "modules.json")]
    routed = read_json(folder / "router_config.json").get("types") or {}
    return [*listed, *((path, str(kind)) for path, kind in routed.items())]


def _files(folder: Path) -> Iterator[tuple[Path, str]]:
    """Each configuration file that there is, and which keys are known of it."""
    found = [(folder / name, name) for name in (*_ROOT, _STANFORD)]
    if "max_length_query" in read_json(folder / _NEURAL_CHERCHE):
        found.append((folder / _NEURAL_CHERCHE, _NEURAL_CHERCHE))
    for path, kind in _modules(folder):
        if path:
            found.append((folder / path / _ROOT[1], _ROOT[1]))
            found.append((folder / path / "config.json", kind.rpartition(".")[2]))
    yield from ((path, kind) for path, kind in dict.fromkeys(found) if kind in _KNOWN and path.is_file())


def _warn(path: Path, name: str, value: object, reason: str) -> None:
    warnings.warn(f"{path}: {name} is {value!r}: {reason}", stacklevel=2)
