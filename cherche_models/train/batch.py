"""What one step works on: texts, and what their scores should look like."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

import torch
from torch import Tensor

from cherche_models.errors import DataError
from cherche_models.losses import JointLoss, Targets, unfair
from cherche_models.train.rows import Example
from cherche_models.train.settings import Settings
from cherche_models.train.teacher import Teacher


class Batch(NamedTuple):
    """Queries, the distinct documents of all of them, and targets for their scores."""

    queries: list[str]
    documents: list[str]
    targets: Targets


def assemble(
    examples: Sequence[Example], loss: JointLoss, settings: Settings, teacher: Teacher | None, step: int
) -> Batch:
    """The batch of a step; what it draws follows from the seed and the step's number.

    Raises
    ------
    DataError
        If the loss learns from a teacher, and neither a teacher nor the examples have scores.
    """
    queries = [example.query for example in examples]
    drawn = draw(examples, settings.negatives, f"{settings.seed}/{step}")
    documents = candidates(examples, drawn)
    column = {document: i for i, document in enumerate(documents)}
    positives = [example.positive for example in examples]
    masked = unfair(documents, positives, _known(examples))
    if not settings.in_batch:
        masked = masked | _others(column, positives, drawn)
    targets = Targets(torch.tensor([column[positive] for positive in positives]), masked)
    if loss.is_taught:
        scores, unscored = _taught(examples, documents, column, teacher, settings.temperature, step)
        targets = targets._replace(teacher=scores, unscored=unscored)
    return Batch(queries, documents, targets)


def draw(examples: Sequence[Example], negatives: int, seed: str) -> list[list[str]]:
    """Hard negatives of each query, at most so many."""
    at_random = random.Random(seed)
    return [at_random.sample(e.negatives, min(negatives, len(e.negatives))) for e in examples]


def candidates(examples: Sequence[Example], drawn: Sequence[Sequence[str]]) -> list[str]:
    """Distinct documents of a batch: all positives first, then the negatives drawn for each query.

    >>> candidates([Example("q", "a", ("b",)), Example("r", "a", ("c", "b"))], [["b"], ["b", "c"]])
    ['a', 'b', 'c']
    """
    return list(dict.fromkeys(chain((e.positive for e in examples), sorted(chain(*drawn)))))


def _known(examples: Sequence[Example]) -> list[set[str]]:
    """All that is known to answer each query, also from its other examples in the batch."""
    known: dict[str, set[str]] = {}
    for example in examples:
        known.setdefault(example.query, set()).update((example.positive, *example.answers))
    return [known[example.query] for example in examples]


def _others(column: dict[str, int], positives: Sequence[str], drawn: Sequence[Sequence[str]]) -> Tensor:
    """True where a candidate was drawn for other queries only."""
    others = torch.ones(len(positives), len(column), dtype=torch.bool)
    for row, (positive, negatives) in enumerate(zip(positives, drawn, strict=True)):
        others[row, [column[text] for text in (positive, *negatives)]] = False
    return others


def _taught(
    examples: Sequence[Example],
    documents: Sequence[str],
    column: dict[str, int],
    teacher: Teacher | None,
    temperature: float,
    step: int,
) -> tuple[Tensor, Tensor | None]:
    if teacher is not None:
        return teacher.scores([example.query for example in examples], documents), None
    if not any(example.scores for example in examples):
        raise DataError(
            f"the batch of step {step}",
            "the loss gives the teacher a weight, but there is no teacher and no example has scores",
            "name a teacher, or score the examples first (train.mining.score)",
        )
    scores = torch.zeros(len(examples), len(documents))
    unscored = torch.ones_like(scores, dtype=torch.bool)
    for row, example in enumerate(examples):
        for text, score in zip((example.positive, *example.negatives), example.scores, strict=False):
            if text in column:
                scores[row, column[text]] = score / temperature
                unscored[row, column[text]] = False
    return scores, unscored
