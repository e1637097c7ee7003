"""Ranking over the batch, and the scores that are ranked."""

import torch

from cherche_models.losses import known_relevant, maxsim_scores, ranking
from tests.unit.cherche_models.losses.tensors import noise


def test_every_other_document_of_the_batch_is_a_negative():
    scores = torch.tensor([[2.0, 1.0, 0.0], [0.5, 0.5, 3.0]])
    by_hand = -(torch.log_softmax(scores[0], 0)[0] + torch.log_softmax(scores[1], 0)[2]) / 2
    torch.testing.assert_close(ranking(scores, torch.tensor([0, 2])), by_hand)


def test_an_answer_is_no_negative_but_the_positive_stays():
    scores = torch.tensor([[2.0, 9.0, 0.0]], requires_grad=True)
    masked = known_relevant(["a", "b", "c"], ["a"], [{"a", "b"}])
    loss = ranking(scores, torch.tensor([0]), masked)
    loss.backward()
    torch.testing.assert_close(loss, -torch.log_softmax(torch.tensor([2.0, 0.0]), 0)[0])
    assert scores.grad[0, 1] == 0
    assert scores.grad[0, 0] < 0 < scores.grad[0, 2]


def test_one_query_alone_has_nothing_to_learn_and_is_no_nan():
    scores = torch.tensor([[5.0]], requires_grad=True)
    loss = ranking(scores, torch.tensor([0]), torch.tensor([[True]]))
    loss.backward()
    assert float(loss.detach()) == 0.0
    assert scores.grad.tolist() == [[0.0]]


def test_maxsim_ignores_padding_even_where_all_similarities_are_negative():
    queries, documents = noise(2, 3, 4), noise(5, 6, 4, seed=1)
    query_mask = torch.tensor([[True, True, False], [True, True, True]])
    document_mask = torch.arange(6) < torch.tensor([[6], [1], [3], [2], [5]])
    scores = maxsim_scores(queries, query_mask, documents, document_mask)
    for q in range(2):
        for d in range(5):
            similarity = queries[q][query_mask[q]] @ documents[d][document_mask[d]].T
            torch.testing.assert_close(scores[q, d], similarity.amax(1).sum())
    padded = torch.cat([documents, torch.full((5, 2, 4), 9.0)], 1)
    wider = torch.cat([document_mask, torch.zeros(5, 2, dtype=torch.bool)], 1)
    torch.testing.assert_close(maxsim_scores(queries, query_mask, padded, wider), scores)
