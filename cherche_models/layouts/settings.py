"""``cherche.json``: what other libraries' files have no place for."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cherche_models.cutting import Cutter, Kind, TextFormat
from cherche_models.errors import CheckpointError
from cherche_models.layouts.files import read_json, write_json
from cherche_models.weighting import Weighting

if TYPE_CHECKING:
    from cherche_models.layouts.checkpoint import Checkpoint  # brings torch, which a folder of settings does not need

FILE = "cherche.json"
KINDS: tuple[Kind, ...] = ("document", "query")
_NAMES = {int: "a whole number", str: "a string", bool: "true or false"}
_KNOWN = frozenset({"architecture", *KINDS, "sparse_boost", "rerank_weight", "query_weighting"})
_OF_WEIGHTING: Mapping[str, float] = {"idf_power": 8.0, "special_share": 100.0}


def formats(folder: Path, defaults: dict[Kind, TextFormat], tokenizer: Cutter) -> dict[Kind, TextFormat]:
    """Text formats of a folder: its own where it has them, else `defaults`.

    Raises
    ------
    CheckpointError
        If the file names a setting or a token that is unknown.
    """
    stored = read_json(folder / FILE)
    _refuse_unknown(stored, _KNOWN, folder)
    return {kind: _read(kind, defaults[kind], stored.get(kind, {}), tokenizer, folder) for kind in KINDS}


def check_whole(folder: Path, architecture: str) -> None:
    """Refuse a folder that was saved as another architecture than its files are: some of them are missing.

    Raises
    ------
    CheckpointError
    """
    saved = read_json(folder / FILE).get("architecture", architecture)
    if saved != architecture:
        raise CheckpointError(
            f"{folder / FILE} names the architecture {saved!r}, but the files beside it are those of {architecture!r}",
            f"restore the files that are missing, or load it with architecture={architecture!r}",
        )


def with_tuned(checkpoint: Checkpoint, folder: Path) -> Checkpoint:
    """The same checkpoint, with the weights that were tuned on training data.

    Raises
    ------
    CheckpointError
        As `tuned`.
    """
    boost, weight = tuned(folder, checkpoint.sparse_boost, checkpoint.rerank_weight)
    return replace(checkpoint, sparse_boost=boost, rerank_weight=weight, query_weighting=weighting(folder))


def tuned(folder: Path, sparse_boost: float, rerank_weight: float) -> tuple[float, float]:
    """Sparse boost and rerank weight of a folder: its own where it has them, else those given.

    Raises
    ------
    CheckpointError
        If one is no number of at least 0, or a weight is more than 1.
    """
    stored = read_json(folder / FILE)
    boost = _number(stored, "sparse_boost", sparse_boost, math.inf, folder)
    return boost, _number(stored, "rerank_weight", rerank_weight, 1, folder)


def weighting(folder: Path) -> Weighting | None:
    """How a folder's model weighs the tokens of a query; None where all count alike.

    Raises
    ------
    CheckpointError
        If a part of it is missing, unknown, or no number of at least 0.
    """
    stored = read_json(folder / FILE).get("query_weighting")
    if stored is None:
        return None
    if not isinstance(stored, dict) or set(stored) != set(_OF_WEIGHTING):
        raise CheckpointError(
            f"{folder / FILE}: query_weighting is {stored!r}", f"give an object of {' and '.join(_OF_WEIGHTING)}"
        )
    return Weighting(**{name: _number(stored, name, 0.0, most, folder) for name, most in _OF_WEIGHTING.items()})


def check_weighting(checkpoint: Checkpoint, has_table: bool, folder: Path) -> None:
    """Refuse a weighting of queries where there is no idf, or no vector for each token and no other.

    Raises
    ------
    CheckpointError
    """
    if checkpoint.query_weighting is None:
        return
    if not has_table:
        raise CheckpointError(
            f"{folder / FILE} weighs the tokens of a query by their idf, and there is no idf.json",
            "restore that file, or remove query_weighting",
        )
    if checkpoint.formats["query"].expand:
        raise CheckpointError(
            f"{folder / FILE} weighs the tokens of a query, and fills queries up", "remove query_weighting, or expand"
        )


def write(checkpoint: Checkpoint, folder: Path) -> None:
    """Write ``cherche.json`` beside a saved model."""
    styles: dict[str, Any] = {kind: _written(checkpoint.formats[kind], checkpoint.tokenizer) for kind in KINDS}
    tuned: dict[str, Any] = {"sparse_boost": checkpoint.sparse_boost, "rerank_weight": checkpoint.rerank_weight}
    if checkpoint.query_weighting is not None:
        tuned["query_weighting"] = checkpoint.query_weighting.stored()
    write_json(folder / FILE, {"architecture": checkpoint.architecture, **styles, **tuned})


def _read(kind: Kind, default: TextFormat, stored: dict[str, Any], tokenizer: Cutter, folder: Path) -> TextFormat:
    if not isinstance(stored, dict):
        raise CheckpointError(f"{folder / FILE}: {kind} is {stored!r}", "give an object")
    _refuse_unknown(stored, asdict(default).keys(), folder)
    for name, value in stored.items():
        wanted = str if name == "marker" else type(getattr(TextFormat(0), name))
        if type(value) is not wanted and not (name == "marker" and value is None):  # True is no number here
            raise CheckpointError(f"{folder / FILE}: {kind}.{name} is {value!r}", f"give {_NAMES[wanted]}")
        if isinstance(value, int) and value < 0:
            raise CheckpointError(f"{folder / FILE}: {kind}.{name} is {value!r}", "give a number of at least 0")
    marker = stored.get("marker")
    if marker is not None:
        stored = {**stored, "marker": token_id(marker, tokenizer, folder)}
    return replace(default, **stored)


def _refuse_unknown(stored: Iterable[str], known: Collection[str], folder: Path) -> None:
    unknown = sorted(set(stored) - set(known))
    if unknown:
        raise CheckpointError(
            f"{folder / FILE} has the unknown settings {', '.join(unknown)}", "update this library, or remove them"
        )


def token_id(token: str, tokenizer: Cutter, folder: Path) -> int:
    """Id of a token that a checkpoint relies on.

    Raises
    ------
    CheckpointError
        If the tokenizer does not know it.
    """
    found = tokenizer.id_of(token)
    if found is None:
        raise CheckpointError(
            f"{folder} marks texts with {token!r}, which its tokenizer does not know",
            "add the token and its embedding, or remove the marker",
        )
    return found


def _written(style: TextFormat, tokenizer: Cutter) -> dict[str, Any]:
    plain = asdict(TextFormat(0))
    own = {name: value for name, value in asdict(style).items() if value != plain[name]}
    if style.marker is not None:
        own["marker"] = tokenizer.vocabulary[style.marker]
    return own


def _number(stored: dict[str, Any], name: str, default: float, most: float, folder: Path) -> float:
    value = stored.get(name, default)
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not is_number or not 0 <= value <= most:
        needed = "a number of at least 0" if math.isinf(most) else f"a number from 0 to {most:g}"
        raise CheckpointError(f"{folder / FILE}: {name} is {value!r}", f"give {needed}")
    return float(value)


def check_lengths(styles: Mapping[Kind, TextFormat], words: Cutter, most: int, folder: Path) -> None:
    """Refuse lengths that the encoder has no positions for, or that leave no room for a token.

    Parameters
    ----------
    styles : mapping of kind to TextFormat
    words : Cutter
    most : int
        Tokens that the encoder has positions for.
    folder : Path

    Raises
    ------
    CheckpointError
    """
    for kind, style in styles.items():
        least = words.special_length(style) + 1
        if not least <= style.max_length <= most:
            raise CheckpointError(
                f"{folder}: the maximum length of a {kind} is {style.max_length} tokens, and of {least} to {most} are "
                "possible (special tokens and one of the text; positions of the encoder)",
                "correct max_length in cherche.json, or max_seq_length in sentence_bert_config.json",
            )
