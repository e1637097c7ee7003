"""Scores of pairs agree with those of single queries and documents."""

import numpy as np
import pytest
import torch

from cherche_models import scores
from cherche_models.runtime.pairs import maxsim_pairs, term_pairs
from cherche_models.types import TokenEmbeddings


def test_pairs_are_scored_as_one_by_one_whatever_the_padding() -> None:
    draw = np.random.default_rng(0)
    sizes = [(2, 3), (4, 1), (1, 5)]
    queries, documents = torch.zeros(3, 4, 8), torch.zeros(3, 6, 8)
    expected = []
    for row, (query_size, document_size) in enumerate(sizes):
        query, document = (draw.normal(size=(size, 8)).astype(np.float32) for size in (query_size, document_size))
        queries[row, :query_size], documents[row, :document_size] = torch.tensor(query), torch.tensor(document)
        expected.append(float(scores.maxsim(TokenEmbeddings(query), scores.pack([TokenEmbeddings(document)]))[0]))
    assert maxsim_pairs(queries, documents).tolist() == pytest.approx(expected, rel=1e-5)
    documents[1] = 0.0
    assert float(maxsim_pairs(queries, documents)[1]) == -np.inf


def test_both_sides_need_the_same_number() -> None:
    with pytest.raises(ValueError, match="2 queries and 1 documents"):
        maxsim_pairs(torch.ones(2, 1, 3), torch.ones(1, 1, 3))
    terms = torch.tensor([[1]])
    with pytest.raises(ValueError, match="1 queries and 2 documents"):
        term_pairs(terms, torch.cat([terms, terms]), torch.ones(1, 1, 3), torch.ones(2, 1, 3))
