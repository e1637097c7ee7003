"""The batch of a step: candidates, masks and teacher scores."""

from __future__ import annotations

import pytest
import torch

from cherche_models.errors import DataError
from cherche_models.losses import JointLoss
from cherche_models.train import Example, Settings
from cherche_models.train.batch import assemble

SETTINGS = Settings(steps=9, negatives=1)
EXAMPLES = [
    Example("q", "a", ("m", "n"), scores=(3.0, 2.0, 1.0)),
    Example("r", "b", ("a", "o"), answers=("n",)),
    Example("q", "c"),
]


def test_negatives_of_a_step_follow_from_seed_and_number() -> None:
    drawn = {step: assemble(EXAMPLES, JointLoss(), SETTINGS, None, step).documents for step in range(20)}
    assert assemble(EXAMPLES, JointLoss(), SETTINGS, None, 3).documents == drawn[3]
    assert all(documents[:3] == ["a", "b", "c"] and len(documents) <= 5 for documents in drawn.values())
    assert len({tuple(documents) for documents in drawn.values()}) > 1


def test_relevant_documents_of_a_query_are_no_negatives_even_from_its_other_example() -> None:
    batch = assemble(EXAMPLES, JointLoss(), Settings(steps=1, negatives=2), None, 0)
    masked = [
        {document for document, hidden in zip(batch.documents, row, strict=True) if hidden}
        for row in batch.targets.masked.tolist()
    ]
    assert masked == [{"a", "c"}, {"b", "n"}, {"a", "c"}]


def test_without_in_batch_negatives_each_query_has_its_own_candidates() -> None:
    batch = assemble(EXAMPLES, JointLoss(), Settings(steps=1, negatives=2, in_batch=False), None, 0)
    kept = [
        {document for document, hidden in zip(batch.documents, row, strict=True) if not hidden}
        for row in batch.targets.masked.tolist()
    ]
    assert kept == [{"m", "n"}, {"a", "o"}, set()]


def test_scores_of_examples_are_divided_by_the_temperature_and_the_rest_is_unscored() -> None:
    settings = Settings(steps=1, negatives=2, temperature=0.5)
    batch = assemble(EXAMPLES, JointLoss(teacher=1.0), settings, None, 0)
    assert batch.documents == ["a", "b", "c", "m", "n", "o"]
    assert batch.targets.unscored is not None
    assert batch.targets.unscored.tolist() == [[False, True, True, False, False, True], [True] * 6, [True] * 6]
    torch.testing.assert_close(batch.targets.teacher[0], torch.tensor([6.0, 0.0, 0.0, 4.0, 2.0, 0.0]))


def test_a_loss_with_a_teacher_needs_scores() -> None:
    with pytest.raises(DataError, match=r"the batch of step 0: .* no example has scores"):
        assemble(EXAMPLES[1:], JointLoss(teacher=1.0), SETTINGS, None, 0)


@pytest.mark.parametrize(("rows", "in_batch"), [(1, True), (2, False)])
def test_a_batch_without_anything_to_rank_is_refused(rows: int, in_batch: bool) -> None:
    examples = [Example(f"q{i}", f"p{i}", (f"p{i}",)) for i in range(rows)]
    settings = Settings(steps=1, negatives=1, in_batch=in_batch)
    with pytest.raises(DataError, match="the batch of step 3: no query has a negative"):
        assemble(examples, JointLoss(), settings, None, 3)
    assemble(examples * 2, JointLoss(), Settings(steps=1, negatives=1), None, 3)
