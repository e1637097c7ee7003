"""A folder as this library saves it: what lies there, and which of it is known here.

Whatever is not known, which another release or library may have written, is left to `cherche_models.hub`, whose errors
and warnings name it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cherche_models.codes import codebook
from cherche_models.cutting import Cutter, Kind, TextFormat
from cherche_models.errors import CheckpointError, Unreadable
from cherche_models.kernel.encoder import Shape
from cherche_models.kernel.short import Activation
from cherche_models.layouts import idf, prompts, settings
from cherche_models.layouts.digest import digest
from cherche_models.layouts.files import read_json, read_list
from cherche_models.light import words
from cherche_models.light.weights import FILE, INT8
from cherche_models.types import Floats
from cherche_models.weighting import Weighting

COLBERT = "colbert"
_FILES = frozenset(
    {"config.json", "modules.json", settings.FILE, prompts.FILE, "sentence_bert_config.json", idf.FILE, FILE, INT8}
    | {"tokenizer.json", "tokenizer_config.json"}
)
_BESIDE = ("README", "LICENSE", ".")
_PICTURES = (".svg", ".png")
# Of config.json: values that the kernel knows, the usual ones where they are missing.
_FIXED = {
    "model_type": "bert",
    "architectures": ["BertForMaskedLM"],
    "hidden_act": "gelu",
    "position_embedding_type": "absolute",
    "is_decoder": False,
    "add_cross_attention": False,
    "chunk_size_feed_forward": 0,
    "tie_word_embeddings": True,
}
_SIZES = (
    *("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size"),
    *("max_position_embeddings", "type_vocab_size"),
)
_WITHOUT_EFFECT = frozenset(
    {"attention_probs_dropout_prob", "bos_token_id", "classifier_dropout", "dtype", "eos_token_id", "use_cache"}
    | {"gradient_checkpointing", "hidden_dropout_prob", "initializer_range", "pad_token_id", "transformers_version"}
    | {"torch_dtype", "_name_or_path", "layer_norm_eps"}
)
_ACTIVATIONS: Mapping[str, Activation] = {"relu": "relu", "log1p_relu": "log1p_relu"}
_OF_PROMPTS = frozenset({"__version__", "model_type", "prompts", "default_prompt_name", "similarity_fn_name"})
_OF_POOLING = frozenset({"pooling_strategy", "activation_function", "word_embedding_dimension"})
_OF_HEAD = frozenset({"in_features", "out_features", "bias", "skiplist_words"})


@dataclass(frozen=True, slots=True, eq=False)
class Folder:
    """Everything of a model but its weights.

    Attributes
    ----------
    path : Path
    architecture : str
        splade or joint.
    shape : Shape
    types : int
        Types of tokens that have an embedding.
    tokenizer : Cutter
    formats : mapping of kind to TextFormat
    activation : {"relu", "log1p_relu"}
    dim : int
        Width of a token embedding; 0 without that head.
    skip : frozenset of int
        Token ids that own no vector in a document.
    sparse_boost, rerank_weight : float
    codebook : Codebook or None
    query_table : float32 array, shape (vocabulary,), or None
    query_weighting : Weighting or None
    digest : str
    """

    path: Path
    architecture: str
    shape: Shape
    types: int
    tokenizer: Cutter
    formats: Mapping[Kind, TextFormat]
    activation: Activation
    dim: int = 0
    skip: frozenset[int] = frozenset()
    sparse_boost: float = 1.0
    rerank_weight: float = 0.5
    codebook: codebook.Codebook | None = None
    query_table: Floats | None = field(default=None, repr=False)
    query_weighting: Weighting | None = None
    digest: str = ""


def read(path: Path) -> Folder:
    """What lies in a folder.

    Raises
    ------
    Unreadable
        If anything of it is not known here.
    """
    try:
        return _read(path)
    except CheckpointError as error:  # `hub` says it again, and how to mend it
        raise Unreadable(error.reason) from error


def _read(path: Path) -> Folder:
    stored = read_json(path / settings.FILE)
    pooling = _checked_modules(path, str(stored.get("architecture")))
    shape, types = _shape(path)
    cutter = words.load(path)
    if len(cutter) > shape.words:
        raise Unreadable("its tokenizer has tokens that have no embedding")
    activation = _activation(path / pooling, shape.words)
    dim, skip = _head(path, shape, cutter) if stored["architecture"] == "joint" else (0, frozenset[int]())
    boost, weight = settings.tuned(path, 1.0, 0.5)
    table, weighting = idf.read_table(path / idf.FILE, cutter, shape.words), settings.weighting(path)
    formats = _formats(path, shape, cutter)
    if weighting is not None and (table is None or formats["query"].expand):
        raise Unreadable("it weighs the tokens of queries without a table, or with more vectors than tokens")
    book = path / COLBERT / codebook.FILE
    return Folder(
        path=path,
        architecture=stored["architecture"],
        shape=shape,
        types=types,
        tokenizer=cutter,
        formats=formats,
        activation=activation,
        dim=dim,
        skip=skip,
        sparse_boost=boost,
        rerank_weight=weight,
        codebook=_codebook(book) if dim and book.is_file() else None,
        query_table=table,
        query_weighting=weighting,
        digest=digest(path, stored["architecture"]),
    )


def _checked_modules(path: Path, architecture: str) -> str:
    """Folder of the pooling, if there is nothing but what such a model has."""
    listed = [
        (str(one.get("type", "")).rpartition(".")[2], str(one.get("path"))) for one in read_list(path / "modules.json")
    ]
    kinds = [kind for kind, _ in listed]
    if architecture not in ("splade", "joint") or kinds not in (
        ["MLMTransformer", "SpladePooling"],
        ["Transformer", "SpladePooling"],
    ):
        raise Unreadable("it is in no layout that can be read without torch")
    if listed[0][1]:
        raise Unreadable("its encoder lies in a folder of its own")
    folders = {listed[1][1], *([COLBERT] if architecture == "joint" else [])}
    for one in sorted(path.iterdir()):
        known = one.name in (folders if one.is_dir() else _FILES)
        if not known and not one.name.startswith(_BESIDE) and one.suffix not in _PICTURES:
            raise Unreadable(f"it has {one.name}")
    return listed[1][1]


def _shape(path: Path) -> tuple[Shape, int]:
    stored = read_json(path / "config.json")
    _refuse("config.json", stored, {*_FIXED, *_SIZES, *_WITHOUT_EFFECT})
    for name, value in _FIXED.items():
        if stored.get(name, value) != value:
            raise Unreadable(f"its {name} is {stored[name]!r}")
    sizes = [size for name in _SIZES if type(size := stored.get(name)) is int]
    epsilon = stored.get("layer_norm_eps")
    if len(sizes) < len(_SIZES) or type(epsilon) is not float:
        raise Unreadable("config.json lacks a size")
    hidden, layers, heads, inner, tokens, positions, types = sizes
    return Shape(hidden, layers, heads, inner, tokens, positions, epsilon), types


def _activation(path: Path, terms: int) -> Activation:
    stored = read_json(path / "config.json")
    _refuse(f"{path.name}/config.json", stored, _OF_POOLING)
    found = _ACTIVATIONS.get(str(stored.get("activation_function")))
    if stored.get("pooling_strategy") != "max" or stored.get("word_embedding_dimension") != terms:
        raise Unreadable(f"its {path.name} is not the maximum over {terms} terms")
    if found is None:
        raise Unreadable(f"its activation is {stored.get('activation_function')!r}")
    return found


def _formats(path: Path, shape: Shape, cutter: Cutter) -> dict[Kind, TextFormat]:
    own = read_json(path / "sentence_bert_config.json")
    most = own.get("max_seq_length")
    if set(own) != {"max_seq_length", "do_lower_case"} or own["do_lower_case"] is not False or type(most) is not int:
        raise Unreadable("sentence_bert_config.json says more than a length")
    stored = read_json(path / prompts.FILE)
    _refuse(prompts.FILE, stored, _OF_PROMPTS)
    if stored.get("similarity_fn_name") not in ("dot", None):
        raise Unreadable("its similarity is no dot product")
    longest = min(shape.positions, cutter.model_max_length, most)
    plain = {kind: TextFormat(longest, prompt=prompt) for kind, prompt in prompts.by_kind(path).items()}
    found = settings.formats(path, plain, cutter)
    settings.check_lengths(found, cutter, shape.positions, path)
    if any(style.terms or (style.expand and not style.attend_expansion) for style in found.values()):
        raise Unreadable("it cuts its terms, or fills queries up with tokens that nothing attends to")
    return found


def _head(path: Path, shape: Shape, cutter: Cutter) -> tuple[int, frozenset[int]]:
    stored = read_json(path / COLBERT / "config.json")
    _refuse(f"{COLBERT}/config.json", stored, _OF_HEAD)
    dim, listed = stored.get("out_features"), stored.get("skiplist_words", [])
    if stored.get("in_features") != shape.hidden or stored.get("bias") or type(dim) is not int or dim < 1:
        raise Unreadable(f"its {COLBERT} is not one map of its hidden states")
    if not isinstance(listed, list) or not all(isinstance(word, str) for word in listed):
        raise Unreadable("its skiplist_words is no list of texts")
    return dim, frozenset(_known(cutter, listed))


def _known(cutter: Cutter, tokens: Collection[str]) -> Iterator[int]:
    for token in tokens:
        found = cutter.id_of(token)
        if found is not None:
            yield found


def _codebook(path: Path) -> codebook.Codebook:
    try:
        return codebook.register(codebook.load(path))
    except ValueError as error:
        raise Unreadable(str(error)) from error


def _refuse(name: str, stored: Mapping[str, Any], known: Collection[str]) -> None:
    if unknown := sorted(set(stored) - set(known)):
        raise Unreadable(f"its {name} has {unknown[0]}")
