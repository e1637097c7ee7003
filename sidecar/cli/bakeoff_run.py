"""The models of a bake-off, run one after another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sidecar.cli.session import Session
from sidecar.cli.trials import Coverage, Judgements
from sidecar.errors import ChercheError
from sidecar.maintenance.bakeoff import (
    Corpus,
    FirstStage,
    Lexical,
    Measured,
    Options,
    Scorer,
    lexical_stage,
    measure_model,
    measure_scorer,
)
from sidecar.protocols import Model


@dataclass(slots=True)
class Entry:
    """A model that takes part, and what became of it."""

    name: str
    source: str
    measured: Measured | None = None
    error: str = ""
    is_cross_encoder: bool = False


@dataclass(frozen=True, slots=True)
class JudgedSet:
    """The documents and queries that models are measured on, and how much of the index they are."""

    corpus: Corpus
    judgements: Judgements
    index_documents: int
    without_text: int
    held: Coverage

    @property
    def is_sample(self) -> bool:
        """Whether the index holds more documents than are scored."""
        return len(self.corpus.ids) + self.without_text < self.index_documents


@dataclass(slots=True)
class Bench:
    """Runs the models one after another; each is freed before the next is loaded."""

    session: Session
    judged: JudgedSet
    lexical: Lexical
    asked: Options
    load: Callable[[str, str], Model | Scorer]
    first: FirstStage = field(init=False)

    def __post_init__(self) -> None:
        self.first = lexical_stage(self.judged.corpus, self.lexical, self.asked.window)

    def run(self, entries: Sequence[Entry]) -> None:
        """Measure the first model with term weights, whose windows the rerankers share, then the others in order."""
        for only_sparse in (True, False):
            for entry in entries:
                if entry.measured is None and not entry.error:
                    self._measure(entry, only_sparse)
                if only_sparse and entry.measured is not None:
                    self.first = entry.measured.first
                    break

    def _measure(self, entry: Entry, only_sparse: bool) -> None:
        progress = self.session.output.progress()

        def report(done: int, wanted: int) -> None:
            progress(f"{entry.name}: {done:,} of {wanted:,}")

        try:
            model, corpus = self.load(entry.name, entry.source), self.judged.corpus
            entry.is_cross_encoder = callable(model)
            if callable(model):
                if not only_sparse:
                    entry.measured = measure_scorer(model, corpus, self.first, report)
            elif model.info.sparse or not only_sparse:
                entry.measured = measure_model(model, corpus, self.lexical, self.first, self.asked, report)
        except Exception as error:  # whatever a checkpoint raises is its row, and costs the others nothing
            entry.error = str(error) if isinstance(error, ChercheError) else f"{type(error).__name__}: {error}"
        finally:
            progress.close()
