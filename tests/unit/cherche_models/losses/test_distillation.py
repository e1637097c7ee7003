"""Losses of distillation, computed by hand."""

import pytest
import torch

from cherche_models.losses import kl_divergence, margin_mse, token_similarity
from tests.unit.cherche_models.losses.tensors import noise


def test_kl_is_zero_for_equal_distributions_and_torch_agrees_otherwise():
    student, teacher = noise(3, 5), noise(3, 5, seed=1)
    p, q = torch.softmax(teacher, 1), torch.softmax(student, 1)
    by_hand = (p * (p.log() - q.log())).sum(1).mean()
    torch.testing.assert_close(kl_divergence(student, teacher), by_hand)
    assert float(kl_divergence(student, student + 3)) == pytest.approx(0, abs=1e-6)


def test_kl_sees_only_what_is_not_masked():
    student, teacher = noise(2, 4), noise(2, 4, seed=1)
    masked = torch.tensor([[False, False, False, True]] * 2)
    torch.testing.assert_close(kl_divergence(student, teacher, masked), kl_divergence(student[:, :3], teacher[:, :3]))


def test_margins_do_not_see_a_shift():
    student, teacher = noise(3, 5), noise(3, 5, seed=1)
    positives = torch.tensor([0, 3, 4])
    shifted = teacher + torch.tensor([[1.0], [2.0], [3.0]])
    torch.testing.assert_close(margin_mse(student, teacher, positives), margin_mse(student, shifted, positives))
    assert float(margin_mse(teacher, shifted, positives)) == pytest.approx(0, abs=1e-10)


def test_token_similarities_are_compared_only_where_both_tokens_count():
    student, teacher = (
        (noise(2, 3, 4), noise(3, 5, 4, seed=1)),
        (noise(2, 3, 6, seed=2), noise(3, 5, 6, seed=3)),
    )
    masks = (noise(2, 3, seed=4) > 0, noise(3, 5, seed=5) > 0)
    errors = [
        float(student[0][q, i] @ student[1][d, j] - teacher[0][q, i] @ teacher[1][d, j]) ** 2
        for q, i in masks[0].nonzero().tolist()
        for d, j in masks[1].nonzero().tolist()
    ]
    assert float(token_similarity(student, teacher, masks)) == pytest.approx(sum(errors) / len(errors))


def test_what_the_teacher_did_not_score_counts_nothing():
    student, teacher = noise(3, 5), noise(3, 5, seed=1)
    positives = torch.tensor([0, 1, 2])
    unscored = torch.ones(3, 5, dtype=torch.bool)
    unscored[0, [0, 3]] = False
    unscored[1, [1, 0, 4]] = False
    error = [
        float((student[0, 0] - student[0, 3]) - (teacher[0, 0] - teacher[0, 3])),
        *(float((student[1, 1] - student[1, c]) - (teacher[1, 1] - teacher[1, c])) for c in (0, 4)),
    ]
    by_hand = sum(value**2 for value in error) / 3
    assert float(margin_mse(student, teacher, positives, unscored)) == pytest.approx(by_hand, rel=1e-5)
    divergences = [
        torch.nn.functional.kl_div(student[q, c].log_softmax(0), teacher[q, c].softmax(0), reduction="sum")
        for q, c in ((0, [0, 3]), (1, [1, 0, 4]))
    ]
    assert float(kl_divergence(student, teacher, unscored)) == pytest.approx(float(sum(divergences)) / 3, rel=1e-5)
