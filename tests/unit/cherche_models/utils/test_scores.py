"""Scores of triples, with in-batch negatives."""

import pytest
import torch

from cherche_models.utils import colbert_scores, dense_scores, sparse_scores


def test_positives_of_all_other_anchors_are_negatives() -> None:
    anchors, positives, negatives = (torch.rand(3, 5, generator=torch.Generator().manual_seed(i)) for i in range(3))
    found = sparse_scores(anchors, positives, negatives, in_batch_negatives=True)
    products = anchors @ positives.T
    torch.testing.assert_close(found["positive_scores"], products.diagonal())
    torch.testing.assert_close(found["negative_scores"][:, 0], (anchors * negatives).sum(dim=1))
    for row in range(3):
        others = sorted(products[row, column].item() for column in range(3) if column != row)
        assert sorted(found["negative_scores"][row, 1:].tolist()) == pytest.approx(others)
    assert sparse_scores(anchors, positives, negatives)["negative_scores"].shape == (3,)


def test_compat_counts_padding_and_one_other_positive() -> None:
    anchors = torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]], [[0.6, 0.8]]])
    opposite = torch.cat([-anchors, torch.zeros(3, 1, 2)], dim=1)
    found = colbert_scores(anchors, opposite, anchors, in_batch_negatives=True)
    assert found["negative_scores"].shape == (3, 3)
    assert found["positive_scores"].tolist() == pytest.approx([-1.0] * 3)
    compat = colbert_scores(anchors, opposite, anchors, in_batch_negatives=True, compat="1.4")
    assert compat["negative_scores"].shape == (3, 2)
    assert compat["positive_scores"].tolist() == [0.0] * 3


def test_the_components_of_shared_terms_are_summed_or_averaged() -> None:
    terms, vectors = torch.tensor([[3, 7]]), torch.tensor([[[1.0, 2.0], [0.5, 0.0]]])
    sides = (terms, terms, terms + 10, vectors, vectors, vectors)
    assert {name: value.tolist() for name, value in dense_scores(*sides).items()} == {
        "positive_scores": [5.25],
        "negative_scores": [0.0],
    }
    assert dense_scores(*sides, func=torch.mean)["positive_scores"].tolist() == [5.25 / 4]
    with pytest.raises(ValueError, match=r"func must be torch.sum or torch.mean"):
        dense_scores(*sides, func=torch.max)
