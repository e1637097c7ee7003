"""The batch of one training step: queries, candidate documents and training targets."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

import torch
from torch import Tensor

from cherche_models.errors import DataError
from cherche_models.losses import JointLoss, Targets, known_relevant
from cherche_models.train.rows import Example
from cherche_models.train.settings import Settings
from cherche_models.train.teacher import AnyTeacher


class TrainingBatch(NamedTuple):
    """Queries, the distinct candidate documents of all queries, and the targets of their scores."""

    queries: list[str]
    documents: list[str]
    targets: Targets


def assemble(
    examples: Sequence[Example], loss: JointLoss, settings: Settings, teacher: AnyTeacher | None, step: int
) -> TrainingBatch:
    """The batch of a step; the negatives drawn are determined by the seed and the step number.

    Raises
    ------
    DataError
        If the loss needs teacher scores, but there is no teacher and no example has scores; or if it only ranks,
        without in-batch negatives, and no query has a negative.
    """
    queries = [example.query for example in examples]
    drawn = drawn_negatives(examples, settings, step)
    documents = candidates(examples, drawn)
    column = {document: i for i, document in enumerate(documents)}
    positives = [example.positive for example in examples]
    masked = known_relevant(documents, positives, _relevant(examples))
    if not settings.in_batch:
        masked = masked | _of_other_queries(column, positives, drawn)
    targets = Targets(torch.tensor([column[positive] for positive in positives]), masked)
    own_alone = not settings.in_batch or len(examples) == 1  # else one such batch is chance
    if not loss.is_taught and own_alone and bool(masked.scatter(1, targets.positives.unsqueeze(1), True).all()):
        raise DataError(
            f"the batch of step {step}",
            "no query has a negative, so there is nothing to rank",
            "give examples negatives, or use a larger batch with in_batch = true",
        )
    if loss.is_taught:
        scores, unscored = _teacher_scores(examples, documents, column, teacher, settings.temperature, step)
        targets = targets._replace(teacher=scores, unscored=unscored)
    return TrainingBatch(queries, documents, targets)


def drawn_negatives(examples: Sequence[Example], settings: Settings, step: int) -> list[list[str]]:
    """The hard negatives that a step uses of each example."""
    at_random = random.Random(f"{settings.seed}/{step}")
    return [at_random.sample(e.negatives, min(settings.negatives, len(e.negatives))) for e in examples]


def candidates(examples: Sequence[Example], drawn: Sequence[Sequence[str]]) -> list[str]:
    """Distinct documents of a batch: the positives in the order of the examples, then the negatives sorted by text.

    >>> candidates([Example("q", "a", ("b",)), Example("r", "a", ("c", "b"))], [["b"], ["b", "c"]])
    ['a', 'b', 'c']
    """
    return list(dict.fromkeys(chain((e.positive for e in examples), sorted(chain(*drawn)))))


def _relevant(examples: Sequence[Example]) -> list[set[str]]:
    """Known relevant documents of each query, including those of the query's other examples in the batch."""
    relevant: dict[str, set[str]] = {}
    for example in examples:
        relevant.setdefault(example.query, set()).update((example.positive, *example.answers))
    return [relevant[example.query] for example in examples]


def _of_other_queries(column: dict[str, int], positives: Sequence[str], drawn: Sequence[Sequence[str]]) -> Tensor:
    """Bool mask, shape (queries, documents): True where a candidate was drawn for other queries only."""
    others = torch.ones(len(positives), len(column), dtype=torch.bool)
    for row, (positive, negatives) in enumerate(zip(positives, drawn, strict=True)):
        others[row, [column[text] for text in (positive, *negatives)]] = False
    return others


def _teacher_scores(
    examples: Sequence[Example],
    documents: Sequence[str],
    column: dict[str, int],
    teacher: AnyTeacher | None,
    temperature: float,
    step: int,
) -> tuple[Tensor, Tensor | None]:
    """Scores, shape (queries, documents), and a mask of the pairs without a score; None if there are none."""
    if teacher is not None:
        return teacher.scores([example.query for example in examples], documents), None
    if not any(example.scores for example in examples):
        raise DataError(
            f"the batch of step {step}",
            "the loss has a teacher term, but there is no teacher and no example has scores",
            "pass a teacher, or score the examples first (train.mining.score)",
        )
    scores = torch.zeros(len(examples), len(documents))
    unscored = torch.ones_like(scores, dtype=torch.bool)
    for row, example in enumerate(examples):
        for text, score in zip((example.positive, *example.negatives), example.scores, strict=False):
            if text in column:
                scores[row, column[text]] = score / temperature
                unscored[row, column[text]] = False
    return scores, unscored
