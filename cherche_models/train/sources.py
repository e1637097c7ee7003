"""The data sources of a recipe: examples read in place, mined, scored and partly held out."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, overload

from cherche_models import evaluate, hub
from cherche_models.errors import DataError
from cherche_models.train import data, mining, provenance, stream
from cherche_models.train.bm25 import BM25
from cherche_models.train.held_out import held_out
from cherche_models.train.measures import CollectionMeasure, ExampleMeasure
from cherche_models.train.processes import Processes
from cherche_models.train.provenance import MadeOf
from cherche_models.train.recipe_file import Data, Recipe, TeacherTable
from cherche_models.train.reports import OnEvent
from cherche_models.train.rows import Example
from cherche_models.train.stream import Batches, Indexed, Refused, Streamed
from cherche_models.train.teacher import Teacher
from cherche_models.train.watch import Measure

_DEPTH, _KEEP = 50, 8
_PAUSE = 1.0  # seconds between two reports of progress


@dataclass(slots=True)
class Sources:
    """The training data of a run and the measure on held-out data.

    Attributes
    ----------
    batches : callable
    names : list of str
    sizes : list of int
        Training examples of each source; -1 for a stream, whose length is unknown.
    refused : list of Refused
    measure : callable or None
    measured_on : str
        Description of the data that `measure` uses.
    """

    batches: Batches
    names: list[str]
    sizes: list[int]
    refused: list[Refused]
    measure: Measure | None = None
    measured_on: str = ""


@dataclass(slots=True)
class _Source:
    examples: Sequence[Example]
    refused: Refused = field(default_factory=Refused)
    measure: Measure | None = None
    measured_on: str = ""


class WithoutQueries(Sequence[Example]):
    """A view of examples without those of some queries; each is replaced by the next example.

    Replacing keeps the length, so nothing is read to count the remaining examples.

    Parameters
    ----------
    examples : sequence of Example
    queries : iterable of str
        Held out.
    """

    def __init__(self, examples: Sequence[Example], queries: Iterable[str]) -> None:
        self._examples, self._queries = examples, frozenset(queries)

    def __len__(self) -> int:
        return len(self._examples)

    @overload
    def __getitem__(self, number: int) -> Example: ...
    @overload
    def __getitem__(self, number: slice) -> list[Example]: ...
    def __getitem__(self, number: int | slice) -> Example | list[Example]:
        """The example at a position, or the next one whose query is not held out.

        Raises
        ------
        DataError
            If the queries of all examples are held out.
        """
        if isinstance(number, slice):
            return [self[i] for i in range(*number.indices(len(self)))]
        for offset in range(len(self)):
            found = self._examples[(number + offset) % len(self)]
            if found.query not in self._queries:
                return found
        raise DataError("the data", "every example is held out", "lower evaluation.held_out")


def gather(recipe: Recipe, folder: Path, processes: Processes, on_event: OnEvent) -> Sources:
    """Open the recipe's data; mined and scored examples are kept in `folder`, with a record of what they are made of.

    Parameters
    ----------
    recipe : Recipe
    folder : Path
    processes : Processes
    on_event : callable
        Called with ``note`` and ``progress``.

    Raises
    ------
    DataError
        If a source has no example.
    OSError
        If a file cannot be read.
    """
    names, seed = [source.name for source in recipe.data], recipe.training.seed
    measure, measured_on = _on_collection(recipe, on_event)
    if recipe.data[0].streaming:
        streamed = _streamed(recipe.data[0], recipe.batch, seed)
        return Sources(streamed, names, [-1], [streamed.refused], measure, measured_on)
    reads = [_read(recipe, number, folder, processes, on_event) for number in range(len(recipe.data))]
    if measure is None:
        measure, measured_on = next(((r.measure, r.measured_on) for r in reads if r.measure), (None, ""))
    # By number, as the order of the examples follows the names, and a path would make it the machine's.
    found = {str(number): read.examples for number, read in enumerate(reads)}
    shares = {str(number): source.share for number, source in enumerate(recipe.data)}
    batches = stream.mixture(found, shares, recipe.batch, seed)
    return Sources(batches, names, [len(r.examples) for r in reads], [r.refused for r in reads], measure, measured_on)


def _read(recipe: Recipe, number: int, folder: Path, processes: Processes, on_event: OnEvent) -> _Source:
    source = recipe.data[number]
    made_of = provenance.of_examples(recipe, number, {"depth": _DEPTH, "keep": _KEEP})
    cache = _Cache(folder / f"examples-{number}.jsonl", made_of, processes, on_event)
    on_event("note", {"text": f"reading {source.name}"})
    if source.beir:
        return _read_judged(recipe, source.beir, source.split, cache)
    found = stream.lines(source.jsonl) if source.jsonl else stream.table(_dataset(source), source.dataset)
    refused = found.refused
    if recipe.teacher and recipe.teacher.scores_ahead:
        found = cache.examples(lambda: _scored(found, recipe.teacher, on_event), len(found))
    count = recipe.evaluation.held_out if recipe.evaluation else 0
    if not count:
        return _Source(found, refused)
    if count >= len(found):
        raise DataError(
            source.name, f"{count} of {len(found)} examples cannot be held out", "lower evaluation.held_out"
        )
    aside = [found[stream.permuted(place, len(found), "held out")] for place in range(count)]
    measure = ExampleMeasure(aside, **_lengths(recipe))
    rest = WithoutQueries(found, (example.query for example in aside))
    return _Source(rest, refused, measure, f"{count} examples of {Path(source.name).name} set aside")


def _read_judged(recipe: Recipe, folder: Path, split: str, cache: _Cache) -> _Source:
    """Judged queries of a BEIR folder with hard negatives by BM25."""
    collection = evaluate.read(folder, split)
    _tell_absent(collection, folder, cache.on_event)
    count = recipe.evaluation.held_out if recipe.evaluation else 0
    aside = held_out(collection.qrels, count, recipe.training.seed) if count else []
    queries = [query for query in collection.queries if query not in set(aside)]
    texts = collection.texts()

    def examples() -> Iterator[Example]:
        cache.on_event("note", {"text": f"mining negatives for {len(queries):,} queries of {folder.name}"})
        index = BM25({key: (text,) for key, text in texts.items()})
        mined = data.mine(data.judged(collection, queries), index, texts, depth=_DEPTH)
        cut = (replace(e, negatives=e.negatives[:_KEEP]) for e in mined)
        taught = recipe.teacher is not None and recipe.teacher.scores_ahead
        yield from _scored(cut, recipe.teacher, cache.on_event) if taught else cut

    found = cache.examples(examples, len(queries))
    measure = CollectionMeasure(collection, aside, **_lengths(recipe)) if aside else None
    return _Source(found, found.refused, measure, f"{len(aside)} queries of {folder.name} ({split}) set aside")


def _scored(examples: Iterable[Example], teacher: TeacherTable | None, on_event: OnEvent) -> Iterator[Example]:
    assert teacher is not None
    on_event("note", {"text": f"scoring with {teacher.cross_encoder or teacher.sentence_transformer}"})
    scored = mining.score(examples, _scorer(teacher))
    return scored if teacher.margin is None else mining.drop_false_negatives(scored, teacher.margin)


def _scorer(teacher: TeacherTable) -> mining.Scorer:
    """A cross-encoder's scores, or a sentence encoder's cosines."""
    if teacher.cross_encoder:
        return mining.by_pairs(hub.load_cross_encoder(teacher.cross_encoder, max_length=teacher.max_length))
    folder = hub.resolve(teacher.sentence_transformer)
    return mining.by_teacher(Teacher(folder, temperature=1.0, max_length=teacher.max_length or 512))


@dataclass(slots=True)
class _Cache:
    """Examples that the first process writes and all processes read, made again where their record differs."""

    path: Path
    made_of: MadeOf
    processes: Processes
    on_event: OnEvent

    def examples(self, make: Callable[[], Iterable[Example]], expected: int) -> Indexed:
        """The examples; `expected` is their number for the reports of progress."""
        if self.processes.is_first and not self._is_current():
            record = self._record()
            record.unlink(missing_ok=True)
            self.path.parent.mkdir(parents=True, exist_ok=True)
            scratch = self.path.with_suffix(".partial")
            data.write(scratch, self._counted(make(), expected))
            os.replace(scratch, self.path)
            record.write_text(json.dumps(dict(self.made_of)) + "\n", encoding="utf-8")
        self.processes.share(None)  # the other processes wait for the file
        return stream.lines(self.path)

    def _record(self) -> Path:
        return self.path.with_suffix(".made_of.json")

    def _is_current(self) -> bool:
        if not self.path.exists():
            return False
        record = self._record()
        stored = json.loads(record.read_text(encoding="utf-8")) if record.exists() else None
        unlike = ["it has no record"] if stored is None else provenance.differences(stored, self.made_of)
        if unlike:
            self.on_event("note", {"text": f"{self.path.name} is made again: {'; '.join(unlike)}"})
        return not unlike

    def _counted(self, examples: Iterable[Example], expected: int) -> Iterator[Example]:
        reported = time.monotonic()
        for done, example in enumerate(examples, 1):
            yield example
            if time.monotonic() - reported >= _PAUSE:
                reported = time.monotonic()
                self.on_event("progress", {"what": "examples", "done": done, "of": expected})


def _lengths(recipe: Recipe) -> dict[str, int]:
    """Maximum tokens of the texts that are measured: those of training, unless the recipe has others."""
    own = recipe.evaluation
    return {
        "query_length": (own.query_length if own else 0) or recipe.training.query_length,
        "document_length": (own.document_length if own else 0) or recipe.training.document_length,
    }


def _tell_absent(collection: evaluate.Collection, folder: Path, on_event: OnEvent) -> None:
    if absent := collection.absent:
        judged = {document for row in collection.qrels.values() for document in row}
        text = f"{len(absent):,} of {len(judged):,} judged documents are not in the corpus of {folder.name}"
        on_event("note", {"text": f"{text}, such as {absent[0]!r}: none of them can be learnt or found"})


def _on_collection(recipe: Recipe, on_event: OnEvent) -> tuple[Measure | None, str]:
    evaluation = recipe.evaluation
    if evaluation is None or evaluation.beir is None:
        return None, ""
    collection = evaluate.read(evaluation.beir, evaluation.split)
    _tell_absent(collection, evaluation.beir, on_event)
    queries = list(collection.queries)[: evaluation.queries]
    about = f"{len(queries)} queries of {evaluation.beir.name} ({evaluation.split})"
    return CollectionMeasure(collection, queries, **_lengths(recipe)), about


def _streamed(source: Data, batch: int, seed: int) -> Streamed:
    if source.jsonl:
        raise DataError(source.name, "a JSONL file is not streamed, it is read in place", "leave out streaming")
    rows = _dataset(source)
    return Streamed(source.dataset, lambda: iter(rows), batch, seed)


def _dataset(source: Data) -> Any:  # noqa: ANN401  # a Dataset or an IterableDataset
    try:
        import datasets
    except ImportError as error:
        raise ImportError("data from the hub needs datasets — run: pip install 'cherche-sidecar[train]'") from error
    if (Path(source.dataset) / "state.json").is_file():
        found = datasets.load_from_disk(source.dataset)
        return found.to_iterable_dataset() if source.streaming else found
    return datasets.load_dataset(source.dataset, split=source.split, streaming=source.streaming)
