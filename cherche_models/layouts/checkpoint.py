"""A checkpoint as a value: what a layout reads and writes, and what a model is built from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, dtype

from cherche_models import quantized
from cherche_models.backbone import Backbone
from cherche_models.codes.codebook import Codebook
from cherche_models.errors import CheckpointError
from cherche_models.layouts.files import read_json, write_json
from cherche_models.tokenizer import Kind, TextFormat, Tokenizer
from cherche_models.weighting import Weighting

Activation = Literal["relu", "log1p_relu"]
Pooling = Literal["max", "sum"]

COLBERT, LEXICAL, SPARSE_EMBED, IDF = "colbert", "lexical", "sparse_embed", "idf"
"""Names of heads; where a layout has no place of its own for a head, its sub-folder has this name."""

LINEAR, BIAS, WEIGHT = "linear.weight", "linear.bias", "weight"
"""Names of tensors: a projection and its bias, and a table of term weights."""

_HEAD_SETTINGS: Mapping[str, frozenset[str]] = {
    COLBERT: frozenset({"bias", "in_features", "layers", "out_features", "skip_first", "skiplist_words"}),
    SPARSE_EMBED: frozenset({"attention"}),
}
_CONFIG, _WEIGHTS = "config.json", "model.safetensors"


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """What a model computes beside its encoder and vocabulary.

    Attributes
    ----------
    tensors : mapping of name to Tensor
    config : mapping
        Its settings, as ``config.json`` holds them.
    source : str
        File that the tensors come from, for error messages.
    """

    tensors: Mapping[str, Tensor]
    config: Mapping[str, Any] = field(default_factory=dict)
    source: str = "the head"

    def tensor(self, name: str) -> Tensor:
        """One of the tensors.

        Raises
        ------
        CheckpointError
            If there is none of that name.
        """
        if name not in self.tensors:
            raise CheckpointError(f"{self.source} has no tensor {name!r}", "complete the checkpoint")
        return self.tensors[name]


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """Everything that a model consists of.

    Attributes
    ----------
    architecture : str
    backbone : Backbone
    tokenizer : Tokenizer
    formats : mapping of kind to TextFormat
    sparse : bool
        Whether the masked-LM head gives term weights.
    activation : {"relu", "log1p_relu"}
    pooling : {"max", "sum"}
        How term weights are made; without meaning where there are none.
    heads : mapping of name to Head
    dim : int
        Width of a projection that `heads` lacks, and that starts from random weights.
    sparse_boost, rerank_weight : float
        Tuned on training data.
    codebook : Codebook or None
        Of its token embeddings.
    query_table : Tensor, shape (vocabulary,), or None
        Query weight of each term, for queries without a forward pass.
    query_weighting : Weighting or None
        How much each token of a query counts in MaxSim, by that table.
    digest : str
        sha256 of the files it was read from; empty for a model made in memory.
    note : str
        What the files were taken for where they do not say it, as in "a sentence encoder: …"; else empty.
    """

    architecture: str
    backbone: Backbone
    tokenizer: Tokenizer
    formats: Mapping[Kind, TextFormat]
    sparse: bool
    activation: Activation = "relu"
    pooling: Pooling = "max"
    heads: Mapping[str, Head] = field(default_factory=dict)
    dim: int = 128
    sparse_boost: float = 1.0
    rerank_weight: float = 0.5
    codebook: Codebook | None = None
    query_table: Tensor | None = None
    query_weighting: Weighting | None = None
    digest: str = ""
    note: str = ""

    @property
    def parts(self) -> tuple[Backbone, Tokenizer, TextFormat, TextFormat]:
        """What every model's constructor begins with."""
        return self.backbone, self.tokenizer, self.formats["document"], self.formats["query"]


def read_heads(folder: Path, names: Iterable[str], stored: dtype) -> dict[str, Head]:
    """Heads from the sub-folders of these names, their tensors in the type `stored`.

    Raises
    ------
    CheckpointError
        If a file is missing or damaged.
    """
    return {name: _read_head(folder / name, stored) for name in names}


def write_heads(heads: Mapping[str, Head], folder: Path, stored: dtype | None) -> None:
    """Write each head into a sub-folder of its name; None keeps the types of the tensors, and int8 is float32."""
    kept = quantized.type_of_rest(stored)
    for name, head in heads.items():
        write_json(folder / name / _CONFIG, head.config)
        tensors = {
            key: tensor.detach().to(kept or tensor.dtype).cpu().contiguous() for key, tensor in head.tensors.items()
        }
        save_file(tensors, folder / name / _WEIGHTS)


def _read_head(folder: Path, stored: dtype) -> Head:
    path, config = folder / _WEIGHTS, read_json(folder / _CONFIG)
    try:
        tensors = {name: tensor.float().to(stored) for name, tensor in load_file(path).items()}
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}", "complete the checkpoint") from error
    _check_head(folder / _CONFIG, config, tensors)
    return Head(tensors, config, str(path))


def _check_head(path: Path, config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Refuse settings that are unknown, or that the tensors contradict."""
    known = _HEAD_SETTINGS.get(path.parent.name, frozenset(config))
    if unknown := sorted(set(config) - known):
        reason = f"{path} has the unknown settings {', '.join(unknown)}"
        raise CheckpointError(reason, "update this library, or remove them")
    words = config.get("skiplist_words", [])
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise CheckpointError(f"{path}: skiplist_words is {words!r}", "give a list of texts")
    if LINEAR not in tensors:
        return
    rows, columns = tensors[LINEAR].shape
    for name, is_so in (("in_features", columns), ("out_features", rows), ("bias", BIAS in tensors)):
        if config.get(name, is_so) != is_so:
            reason = f"{path}: {name} is {config[name]!r}, but the tensors say {is_so}"
            raise CheckpointError(reason, "restore the file")
