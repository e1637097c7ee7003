"""Recipes: TOML files that describe a training run, validated before anything is loaded."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from cherche_models.losses import JointLoss
from cherche_models.train.settings import Settings


class RecipeError(ValueError):
    """A recipe is invalid.

    Attributes
    ----------
    where : str
        File and key.
    reason, next_step : str
    """

    def __init__(self, where: str, reason: str, next_step: str) -> None:
        super().__init__(f"{where}: {reason} — {next_step}")
        self.where = where
        self.reason = reason
        self.next_step = next_step


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class Data(_Table):
    """One source of examples: exactly one of `jsonl`, `beir`, `dataset`.

    Attributes
    ----------
    jsonl : Path or None
        A file with one example per line; read in place.
    beir : Path or None
        A BEIR folder with judged queries; hard negatives are mined by BM25.
    dataset : str
        A name on the Hugging Face hub, or a folder, read by the library `datasets`.
    split : str
        Of the folder's judgements, or of the dataset.
    streaming : bool
        Read the dataset in order, without downloading it.
    share : float
        Rows of a batch, relative to the shares of the other sources.
    license : str
        For the card.
    """

    jsonl: Path | None = None
    beir: Path | None = None
    dataset: str = ""
    split: str = "train"
    streaming: bool = False
    share: float = Field(1.0, gt=0)
    license: str = ""

    @model_validator(mode="after")
    def _has_one_source(self) -> Self:
        if sum(map(bool, (self.jsonl, self.beir, self.dataset))) != 1:
            raise ValueError("give exactly one of jsonl, beir and dataset")
        return self

    @property
    def name(self) -> str:
        """Name in the card and in errors."""
        return str(self.jsonl or self.beir or self.dataset)


class TeacherTable(_Table):
    """The teacher of knowledge distillation: exactly one of `sentence_transformer` and `cross_encoder`.

    Attributes
    ----------
    sentence_transformer : str
        A sentence encoder; scores every candidate of a batch during training.
    cross_encoder : str
        Scores each example's own candidates once, before training.
    temperature : float
        Divisor of a sentence encoder's cosines.
    max_length : int
        Maximum tokens of a text, or of a pair; 0 for the teacher's own maximum, or 512.
    margin : float or None
        Before training, negatives that score above the positive's score minus this margin are dropped as
        likely false negatives; None keeps all. On the scale of the cross-encoder's scores, or of cosines.
    """

    sentence_transformer: str = ""
    cross_encoder: str = ""
    temperature: float = Field(0.05, gt=0)
    max_length: int = Field(0, ge=0)
    margin: float | None = None

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if bool(self.sentence_transformer) == bool(self.cross_encoder):
            raise ValueError("give exactly one of sentence_transformer and cross_encoder")
        return self

    @property
    def scores_ahead(self) -> bool:
        """Whether the data is scored before training."""
        return bool(self.cross_encoder) or self.margin is not None


class Lora(_Table):
    """Low-rank adapters, merged into the weights after training."""

    rank: int = Field(16, ge=1)
    alpha: int = Field(32, ge=1)
    dropout: float = Field(0.0, ge=0, lt=1)


class Head(_Table):
    """The projection to token embeddings.

    Attributes
    ----------
    identity : bool
        Start from the identity, as wide as the hidden states, whatever the base has.
    skip_punctuation : bool
        Exclude punctuation from document embeddings.
    narrow : int
        Principal components to keep after training; 0 for the full width.
    """

    identity: bool = False
    skip_punctuation: bool = False
    narrow: int = Field(default=0, ge=0)


class QueryTable(_Table):
    """Query weights for searches without a forward pass, made of the examples after training.

    Attributes
    ----------
    steps : int
        Of learning the weights against the model's documents; 0 for idf alone.
    examples : int
        Most examples that are read.
    """

    steps: int = Field(500, ge=0)
    examples: int = Field(5000, ge=1)


class Evaluation(_Table):
    """Measurements during training.

    Attributes
    ----------
    held_out : int
        Examples (queries for a BEIR source) held out from training and ranked.
    beir : Path or None
        Measure on the queries of this BEIR folder instead.
    split : str
        Of that folder.
    queries : int
        Maximum number of its queries.
    every : int
        Steps between measurements; 0 for ten in a run.
    patience : int
        Early stopping: measurements without a new best after which the run stops; 0 to disable.
    query_length, document_length : int
        Maximum tokens of the texts that are measured; 0 for those of `training`.
    """

    held_out: int = Field(0, ge=0)
    beir: Path | None = None
    split: str = "dev"
    queries: int = Field(200, ge=1)
    every: int = Field(0, ge=0)
    patience: int = Field(0, ge=0)
    query_length: int = Field(0, ge=0)
    document_length: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if bool(self.held_out) == bool(self.beir):
            raise ValueError("give exactly one of held_out and beir")
        return self


class Card(_Table):
    """Texts of the model card that cannot be derived from the run."""

    name: str = ""
    license: str = ""
    language: str = "en"
    description: str = ""


class Recipe(_Table):
    """A training run.

    Attributes
    ----------
    base : str
        Folder or hub id of the checkpoint to start from, or ``cherche-tiny``, the model in the package.
    architecture : str or None
        Of the trained model; None for that of the base.
    dim : int
        Width of a new projection to token embeddings, unless `head.identity` is set.
    head : Head
    query_length, document_length : int or None
        Maximum tokens at inference; None for the base's. During training, the maxima of `training`
        apply too.
    batch : int
        Queries per step, over all processes.
    training : Settings
    loss : JointLoss
    data : tuple of Data
    teacher, lora, query_table, evaluation : optional tables
    train_layers : int or None
        Number of the encoder's last layers to train.
    device : str
        Empty for the best available.
    card : Card
    """

    base: str = Field(min_length=1)
    architecture: Literal["colbert", "splade", "sparse_embed", "joint"] | None = None
    dim: int = Field(128, ge=1)
    head: Head = Head()
    query_length: int | None = Field(None, ge=3)
    document_length: int | None = Field(None, ge=3)
    batch: int = Field(16, ge=1)
    training: Settings
    loss: JointLoss = JointLoss()
    data: tuple[Data, ...] = Field(min_length=1)
    teacher: TeacherTable | None = None
    lora: Lora | None = None
    query_table: QueryTable | None = None
    evaluation: Evaluation | None = None
    train_layers: int | None = Field(None, ge=0)
    device: str = ""
    card: Card = Card()

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if problem := next(filter(None, _problems(self)), ""):
            raise ValueError(problem)
        return self


def read(path: Path) -> Recipe:
    """The recipe of a TOML file; paths in it are relative to its folder.

    Raises
    ------
    RecipeError
        Naming the first key that is unknown, missing or invalid, and how many more there are.
    """
    try:
        stored = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(str(path), f"cannot be read ({error.strerror})", "give the path of a recipe") from error
    except ValueError as error:  # TOMLDecodeError or UnicodeDecodeError
        raise RecipeError(str(path), f"is not TOML in UTF-8 ({error})", "correct the line") from error
    return parse(stored, path)


def parse(stored: dict[str, Any], path: Path) -> Recipe:
    """The recipe of a parsed TOML file.

    Raises
    ------
    RecipeError
        As `read`.
    """
    try:
        recipe = Recipe.model_validate(stored)
    except ValidationError as error:
        raise _recipe_error(error, path) from error
    return _with_absolute_paths(recipe, path.parent)


def _problems(recipe: Recipe) -> Iterable[str]:
    training, names = recipe.training, [data.name for data in recipe.data]
    for name in ("steps", "save_every", "accumulate", "query_length", "document_length"):
        yield f"training.{name} is {getattr(training, name)}: give at least 1" if getattr(training, name) < 1 else ""
    for name in ("negatives", "chunk", "seed", "head_rate", "word_rate", "weight_decay"):
        yield f"training.{name} is {getattr(training, name)}: give at least 0" if getattr(training, name) < 0 else ""
    yield f"training.ema is {training.ema}: give at least 0, less than 1" if not 0 <= training.ema < 1 else ""
    yield f"training.warmup is {training.warmup}: give 0 to 1" if not 0 <= training.warmup <= 1 else ""
    for name in ("learning_rate", "clip", "temperature"):
        yield f"training.{name} is {getattr(training, name)}: give more than 0" if getattr(training, name) <= 0 else ""
    yield (
        "head.identity is as wide as the base's hidden states: leave out dim, or narrow it with head.narrow"
        if recipe.head.identity and "dim" in recipe.model_fields_set
        else ""
    )
    yield "the same data is listed twice" if len(set(names)) < len(names) else ""
    yield (
        "streaming data cannot be mixed with other data"
        if len(names) > 1 and any(data.streaming for data in recipe.data)
        else ""
    )
    yield (
        "lora freezes the layers itself: leave out train_layers"
        if recipe.lora and recipe.train_layers is not None
        else ""
    )
    yield (
        "there is a teacher, but loss.teacher and loss.margin are 0: set one of them"
        if (recipe.teacher and not recipe.loss.is_taught and recipe.teacher.margin is None)
        else ""
    )
    yield (
        "a cross_encoder, or a margin, needs the data before training: leave out streaming"
        if (recipe.teacher and recipe.teacher.scores_ahead and any(data.streaming for data in recipe.data))
        else ""
    )
    yield (
        "loss.tokens needs a teacher with the same vocabulary and is available in Python only: leave it out"
        if recipe.loss.tokens
        else ""
    )


def _with_absolute_paths(recipe: Recipe, folder: Path) -> Recipe:
    """Resolve paths relative to the recipe's folder; names that are no folder there are hub ids."""

    def resolved(path: Path | None) -> Path | None:
        return None if path is None else folder / path.expanduser()

    def folder_or_id(source: str) -> str:
        found = folder / Path(source).expanduser()
        return str(found) if source and found.is_dir() else source

    data = tuple(d.model_copy(update={"jsonl": resolved(d.jsonl), "beir": resolved(d.beir)}) for d in recipe.data)
    changed: dict[str, Any] = {"data": data, "base": folder_or_id(recipe.base)}
    if recipe.teacher:
        both = ("sentence_transformer", "cross_encoder")
        update = {name: folder_or_id(getattr(recipe.teacher, name)) for name in both}
        changed["teacher"] = recipe.teacher.model_copy(update=update)
    if recipe.evaluation:
        changed["evaluation"] = recipe.evaluation.model_copy(update={"beir": resolved(recipe.evaluation.beir)})
    return recipe.model_copy(update=changed)


def _recipe_error(error: ValidationError, path: Path) -> RecipeError:
    """The first problem, and how many more there are."""
    # Unknown keys come first: a misspelt key is often reported as a missing one too.
    unknown = ("extra_forbidden", "unexpected_keyword_argument")
    first, *more = sorted(error.errors(), key=lambda found: found["type"] not in unknown)
    key = ".".join(str(part) for part in first["loc"]) or "the recipe"
    where, rest = f"{path}: {key}", f" (and {len(more)} more)" if more else ""
    if first["type"] in unknown:
        return RecipeError(where, f"unknown key{rest}", f"known here: {', '.join(_known_keys(first['loc'][:-1]))}")
    if first["type"] == "missing":
        return RecipeError(where, f"missing{rest}", "add it")
    message = first["msg"].removeprefix("Value error, ")
    return RecipeError(where, f"{message[:1].lower()}{message[1:]}{rest}", "correct the recipe")


def _known_keys(table: tuple[int | str, ...]) -> list[str]:
    tables: dict[str, list[str]] = {
        "training": [f.name for f in fields(Settings)],
        "loss": [f.name for f in fields(JointLoss)],
    }
    models: dict[str, type[BaseModel]] = {
        "data": Data,
        "teacher": TeacherTable,
        "lora": Lora,
        "head": Head,
        "query_table": QueryTable,
        "evaluation": Evaluation,
        "card": Card,
    }
    tables |= {name: list(model.model_fields) for name, model in models.items()}
    return tables[str(table[0])] if table else list(Recipe.model_fields)
