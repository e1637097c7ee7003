"""What made a run: only the same goes on from work that lies in its folder."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from cherche_models import hub
from cherche_models.evaluate import beir
from cherche_models.layouts.digest import file_digest
from cherche_models.losses import JointLoss
from cherche_models.train.recipe_file import Data, Evaluation, Head, Lora, Recipe, TeacherTable
from cherche_models.train.rows import Example
from cherche_models.train.settings import Settings

MadeOf = Mapping[str, Any]
"""JSON values by dotted name, such as ``training.seed``; files and models by their digest."""

_TABLES: dict[str, type[BaseModel]] = {"head": Head, "lora": Lora, "teacher": TeacherTable, "evaluation": Evaluation}
# Trained weights do not depend on the last three.
_APART = {"base", "data", "training", "loss", *_TABLES, "card", "device", "query_table"}
_LATER = ("teacher", "first batch")  # known to `of_fit` alone
_DIGITS = 16


def of_fit(settings: Settings, loss: JointLoss, model: str, teacher: str, first: Iterable[Example]) -> dict[str, Any]:
    """What every run is made of: hyperparameters, the digests of model and teacher, and the first batch."""
    rows = json.dumps([asdict(example) for example in first], sort_keys=True)
    return {
        **_flat("training", asdict(settings)),
        **_flat("loss", asdict(loss)),
        "base": model[:_DIGITS],
        "teacher": teacher[:_DIGITS],
        "first batch": _short(rows.encode("utf-8", "surrogatepass")),
    }


def of_recipe(recipe: Recipe, model: str) -> dict[str, Any]:
    """All of a recipe that the trained weights depend on, before its data is mined.

    Parameters
    ----------
    recipe : Recipe
    model : str
        Digest of the base's files.

    Raises
    ------
    CheckpointError
        If there is no such teacher.
    OSError
        If a file of the data cannot be read.
    """
    found: dict[str, Any] = {"base": model[:_DIGITS], **recipe.model_dump(exclude=_APART)}
    found |= _flat("training", asdict(recipe.training)) | _flat("loss", asdict(recipe.loss))
    found |= _flat("head", recipe.head.model_dump(exclude={"narrow"}))  # it narrows the trained model
    found |= _flat("lora", recipe.lora.model_dump()) if recipe.lora else {}
    found["data"] = len(recipe.data)
    for number, source in enumerate(recipe.data):
        found |= of_data(recipe, number) | {f"data.{number}.share": source.share}
    if measured := recipe.evaluation:
        found |= _flat("evaluation", measured.model_dump(exclude={"beir", "split"}))
        found["evaluation.beir"] = _collection(measured.beir, measured.split) if measured.beir else None
    return found | _teacher(recipe)


def of_data(recipe: Recipe, number: int) -> dict[str, Any]:
    """What one source is made of, before it is mined or scored."""
    source = recipe.data[number]
    return {f"data.{number}.{_kind(source)}": _content(source), f"data.{number}.split": source.split}


def of_examples(recipe: Recipe, number: int, mined: Mapping[str, int]) -> dict[str, Any]:
    """What the mined or scored examples of a source are made of.

    Parameters
    ----------
    recipe : Recipe
    number : int
        Of the source.
    mined : mapping
        Options of the mining.
    """
    found = of_data(recipe, number) | (_teacher(recipe) if recipe.teacher and recipe.teacher.scores_ahead else {})
    if recipe.data[number].beir:
        held_out = recipe.evaluation.held_out if recipe.evaluation else 0
        found |= {"evaluation.held_out": held_out, "training.seed": recipe.training.seed, **_flat("mining", mined)}
    return found


def differences(stored: MadeOf, given: MadeOf) -> list[str]:
    """What differs, key by key; a key that one side lacks has its default there.

    >>> differences({"loss.rank": 1.0, "data.0.jsonl": "a1"}, {"loss.rank": 0.5, "data.0.jsonl": "a1"})
    ['loss.rank was 1.0 and is 0.5']
    """
    defaults = {**_flat("training", asdict(Settings(steps=0))), **_flat("loss", asdict(JointLoss()))}
    for name, table in _TABLES.items():
        defaults |= _flat(name, {key: field.default for key, field in table.model_fields.items()})
    names = dict.fromkeys([*given, *(name for name in stored if name not in _LATER)])
    pairs = {name: (stored.get(name, defaults.get(name)), given.get(name, defaults.get(name))) for name in names}
    return [f"{name} was {was!r} and is {now!r}" for name, (was, now) in pairs.items() if not _same(was, now)]


def check(folder: Path, stored: MadeOf | None, given: MadeOf) -> None:
    """Refuse to go on from a state that something else made.

    Parameters
    ----------
    folder : Path
    stored : mapping or None
        Recorded in the state; None if it has no such record.
    given : mapping

    Raises
    ------
    ValueError
        Naming the keys that differ, or the missing record.
    """
    if stored is None:
        raise ValueError(
            f"{folder} holds the state of a run that did not record what it was made of — "
            "remove that folder to start again, or give another one"
        )
    if found := differences(stored, given):
        raise ValueError(
            f"{folder} holds the state of another run: {'; '.join(found)} — "
            "give the same again to go on, or another folder to start"
        )


def _same(was: object, now: object) -> bool:
    # Scales that a run measures differ in their last digits with the number of threads.
    if isinstance(was, float) and isinstance(now, float):
        return math.isclose(was, now, rel_tol=1e-4)
    return was == now


def _flat(table: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{table}.{name}": value for name, value in values.items()}


def _short(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:_DIGITS]


def _kind(source: Data) -> str:
    return "jsonl" if source.jsonl else "beir" if source.beir else "dataset"


def _content(source: Data) -> str:
    if source.jsonl:
        return file_digest(source.jsonl)[:_DIGITS]
    if source.beir:
        return _collection(source.beir, source.split)
    folder = Path(source.dataset)
    if not folder.is_dir():
        return source.dataset  # the hub's; its content is checked by the first batch
    files = {path.name: file_digest(path) for path in sorted(folder.iterdir()) if path.is_file()}
    return _short(json.dumps(files).encode())


def _collection(folder: Path, split: str) -> str:
    return _short(json.dumps([file_digest(path) for path in beir.files(folder, split)]).encode())


def _teacher(recipe: Recipe) -> dict[str, Any]:
    if recipe.teacher is None:
        return {}
    table = recipe.teacher.model_dump()
    for name in ("sentence_transformer", "cross_encoder"):
        table[name] = hub.digest(hub.resolve(table[name]))[:_DIGITS] if table[name] else ""
    return _flat("teacher", table)
