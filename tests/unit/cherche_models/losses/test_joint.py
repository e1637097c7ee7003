"""The joint loss is the weighted sum of its parts."""

import pytest
import torch

from cherche_models.losses import JointLoss, flops, kl_divergence, ranking, sparse_scores, term_scores
from tests.unit.cherche_models.losses.tensors import TARGETS, noise, outputs


def test_the_teachers_tokens_are_asked_for_only_with_a_weight():
    _, queries, documents = outputs(requires_grad=False)
    targets = TARGETS._replace(tokens=(noise(2, 3, 6), noise(4, 5, 6)))
    with_tokens, without = (
        JointLoss(tokens=2.0)(queries, documents, targets, 0),
        JointLoss()(queries, documents, targets, 0),
    )
    assert float(without.tokens) == 0.0
    assert float(with_tokens.total - without.total) == pytest.approx(2 * float(with_tokens.tokens))


def test_gradients_reach_both_heads_of_queries_and_documents():
    tensors, queries, documents = outputs()
    loss = JointLoss(teacher=1.0, query_flops=0.1, document_flops=0.1)
    loss(queries, documents, TARGETS, step=0).total.backward()
    assert all(bool((tensor.grad != 0).any()) for tensor in tensors)


def test_the_total_is_the_weighted_sum_of_its_parts():
    _, queries, documents = outputs(requires_grad=False)
    loss = JointLoss(
        sparse=2.0, maxsim=3.0, teacher=0.5, query_flops=0.1, document_flops=0.2, flops_steps=10, maxsim_scale=0.7
    )
    parts = loss(queries, documents, TARGETS, step=5)
    scores = sparse_scores(queries.weights, documents.weights)
    torch.testing.assert_close(parts.sparse, ranking(scores, TARGETS.positives))
    torch.testing.assert_close(parts.sparse_teacher, kl_divergence(scores, TARGETS.teacher))
    by_hand = 2 * (parts.sparse + parts.sparse_teacher / 2) + 3 * (parts.maxsim + parts.maxsim_teacher / 2)
    by_hand = by_hand + (0.1 * flops(queries.weights) + 0.2 * flops(documents.weights)) / 4
    torch.testing.assert_close(parts.total, by_hand)


def test_the_weights_of_a_step_make_the_parts_add_up_to_the_total():
    _, queries, documents = outputs(requires_grad=False)
    loss = JointLoss(
        sparse=2.0, maxsim=0.5, rank=0.3, teacher=0.5, margin=0.1, document_flops=0.2, query_l1=0.1, flops_steps=10
    )
    parts = loss(queries, documents, TARGETS, step=5)
    weights = loss.weights(5)
    assert set(weights) == {*parts._fields} - {"total"}
    assert sum(weights[name] * float(getattr(parts, name)) for name in weights) == pytest.approx(float(parts.total))
    assert weights["document_flops"] == pytest.approx(0.2 / 4)


def test_a_model_with_one_head_has_one_loss():
    _, queries, documents = outputs(requires_grad=False)
    sparse = JointLoss()(queries._replace(embeddings=None), documents._replace(embeddings=None), TARGETS, 0)
    assert float(sparse.maxsim) == 0.0
    late = JointLoss()(queries._replace(weights=None), documents._replace(weights=None), TARGETS, 0)
    assert float(late.sparse) == float(late.query_flops) == 0.0
    assert float(late.total) == float(late.maxsim) > 0


def test_term_vectors_are_scored_by_shared_terms_not_by_maxsim():
    _, queries, documents = outputs(requires_grad=False)
    terms = torch.tensor([[1, 2, 3], [4, 5, 6]]), torch.arange(20).view(4, 5)
    queries, documents = queries._replace(terms=terms[0]), documents._replace(terms=terms[1])
    parts = JointLoss()(queries, documents, TARGETS, 0)
    torch.testing.assert_close(parts.maxsim, ranking(term_scores(queries, documents), TARGETS.positives))


def test_each_price_of_sparsity_has_its_own_weight_and_they_grow_together():
    _, queries, documents = outputs(requires_grad=False)
    targets = TARGETS._replace(frequencies=torch.linspace(0, 1, 7))
    bare = JointLoss()(queries, documents, targets, 3)
    for name in ("query_flops", "document_flops", "query_l1", "document_l1", "document_df_flops"):
        loss = JointLoss(**{name: 2.0}, flops_steps=6, schedule="linear")
        parts = loss(queries, documents, targets, 3)
        assert float(parts.total - bare.total) == pytest.approx(float(getattr(parts, name)), rel=1e-4)
