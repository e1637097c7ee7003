"""What a model computes, as one hash of its files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

from cherche_models.codes import codebook
from cherche_models.errors import CheckpointError
from cherche_models.layouts import idf
from cherche_models.layouts.files import read_json

WEIGHTS = ("*.safetensors", "linear.pt", "colbert_linear.pt", "sparse_linear.pt")
"""Files that hold weights."""

PICKLES = ("pytorch_model*.bin",)
"""Pickled weights, which are read only with ``allow_pickle``."""

_SETTINGS = (
    *("config.json", "modules.json", "router_config.json", "sentence_*_config.json", "metadata.json"),
    *("config_sentence_transformers.json", "cherche.json", "artifact.metadata", "idf.json"),
    *("tokenizer*.json", "vocab.*", "merges.txt", "*.model", "special_tokens_map.json", "added_tokens.json"),
)
# Keys that change while what a model computes does not: versions, names, the type of loading, tuned weights.
_VOLATILE = frozenset(
    {"__version__", "transformers_version", "_name_or_path", "dtype", "torch_dtype", "sparse_boost", "rerank_weight"}
    | {"query_weighting"}
)
_digests: dict[tuple[str, int, int], str] = {}


def digest(folder: str | Path, architecture: str = "") -> str:
    """What a model computes, as a sha256 in hexadecimal.

    Covers weights, tokenizer, heads, prompts and lengths; not the README, library
    versions, codebooks (codes name theirs), weights that search tunes, or a table of query
    weights beside a model that encodes queries and how these weigh their tokens by it, as
    documents are the same without. Large files are read once per path, size and time of change.

    Parameters
    ----------
    folder : str or Path
    architecture : str
        Part of the hash, because one folder can be loaded as several.

    Raises
    ------
    CheckpointError
        If the folder holds no such file.
    """
    root = Path(folder)
    parts = {path.relative_to(root).as_posix(): file_digest(path) for path in _model_files(root)}
    if not parts:
        raise CheckpointError(f"{folder} holds no model files", "name the folder that holds the checkpoint")
    text = json.dumps({"architecture": architecture, "files": parts}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _model_files(root: Path) -> Iterator[Path]:
    """Files that a loader reads: of the root and the modules in its direct sub-folders."""
    # Of a Router the table is all that there is of queries, and always counted.
    beside = set() if (root / "router_config.json").is_file() else {root / idf.FILE}
    for folder in [root, *(path for path in sorted(root.iterdir()) if path.is_dir() and _is_module(path))]:
        # Where there are safetensors, pickles beside them are not read and do not count.
        safe = any(path.name != codebook.FILE for path in folder.glob("*.safetensors"))
        left_out = {folder / codebook.FILE} | beside
        for pattern in (*WEIGHTS, *(() if safe else PICKLES), *_SETTINGS):
            yield from (path for path in folder.glob(pattern) if path.is_file() and path not in left_out)


def _is_module(folder: Path) -> bool:
    # Exports hold the same weights once more.
    return folder.name[0] != "." and folder.name not in ("onnx", "openvino") and (folder / "config.json").is_file()


def file_digest(path: Path) -> str:
    """Of a file, as a sha256 in hexadecimal; read once per path, size and time of change."""
    status = path.stat()
    key = (str(path.resolve()), status.st_size, status.st_mtime_ns)
    if key not in _digests:
        _digests[key] = _hash(path)
    return _digests[key]


def _hash(path: Path) -> str:
    """Hash of a file; of a configuration's meaning, not its spelling."""
    if path.name.endswith("config.json") or path.name in ("cherche.json", "config_sentence_transformers.json"):
        meaning = {name: value for name, value in read_json(path).items() if name not in _VOLATILE}
        return hashlib.sha256(json.dumps(meaning, sort_keys=True).encode()).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
