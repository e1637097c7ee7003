import pytest
import torch

from cherche_models.losses import (
    JointLoss,
    Targets,
    df_flops,
    df_weights,
    flops,
    kl_divergence,
    known_relevant,
    margin_mse,
    maxsim_scores,
    quadratic,
    ranking,
    sparse_scores,
    term_scores,
    token_similarity,
)
from cherche_models.models import Output


def _random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


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


def test_flops_is_the_square_of_the_mean_not_the_mean_of_squares():
    weights = torch.tensor([[3.0, 0.0], [1.0, 0.0]], requires_grad=True)
    loss = flops(weights)
    loss.backward()
    assert float(loss.detach()) == 4.0
    assert weights.grad.tolist() == [[2.0, 0.0], [2.0, 0.0]]


@pytest.mark.parametrize("size", [0.1, 1.0, 100.0])
def test_flops_pushes_at_every_size(size):
    weights = torch.full((4, 8), size, requires_grad=True)
    flops(weights).backward()
    assert bool((weights.grad > 0).all())


def test_the_schedule_is_quadratic_and_stops_at_one():
    assert [quadratic(step, 4) for step in range(6)] == [0.0, 1 / 16, 1 / 4, 9 / 16, 1.0, 1.0]


def test_kl_is_zero_for_equal_distributions_and_torch_agrees_otherwise():
    student, teacher = _random(3, 5), _random(3, 5, seed=1)
    p, q = torch.softmax(teacher, 1), torch.softmax(student, 1)
    by_hand = (p * (p.log() - q.log())).sum(1).mean()
    torch.testing.assert_close(kl_divergence(student, teacher), by_hand)
    assert float(kl_divergence(student, student + 3)) == pytest.approx(0, abs=1e-6)


def test_kl_sees_only_what_is_not_masked():
    student, teacher = _random(2, 4), _random(2, 4, seed=1)
    masked = torch.tensor([[False, False, False, True]] * 2)
    torch.testing.assert_close(kl_divergence(student, teacher, masked), kl_divergence(student[:, :3], teacher[:, :3]))


def test_margins_do_not_see_a_shift():
    student, teacher = _random(3, 5), _random(3, 5, seed=1)
    positives = torch.tensor([0, 3, 4])
    shifted = teacher + torch.tensor([[1.0], [2.0], [3.0]])
    torch.testing.assert_close(margin_mse(student, teacher, positives), margin_mse(student, shifted, positives))
    assert float(margin_mse(teacher, shifted, positives)) == pytest.approx(0, abs=1e-10)


def test_maxsim_ignores_padding_even_where_all_similarities_are_negative():
    queries, documents = _random(2, 3, 4), _random(5, 6, 4, seed=1)
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


def test_token_similarities_are_compared_only_where_both_tokens_count():
    student, teacher = (
        (_random(2, 3, 4), _random(3, 5, 4, seed=1)),
        (_random(2, 3, 6, seed=2), _random(3, 5, 6, seed=3)),
    )
    masks = (_random(2, 3, seed=4) > 0, _random(3, 5, seed=5) > 0)
    errors = [
        float(student[0][q, i] @ student[1][d, j] - teacher[0][q, i] @ teacher[1][d, j]) ** 2
        for q, i in masks[0].nonzero().tolist()
        for d, j in masks[1].nonzero().tolist()
    ]
    assert float(token_similarity(student, teacher, masks)) == pytest.approx(sum(errors) / len(errors))


def test_the_teachers_tokens_are_asked_for_only_with_a_weight():
    _, queries, documents = _outputs(requires_grad=False)
    targets = TARGETS._replace(tokens=(_random(2, 3, 6), _random(4, 5, 6)))
    with_tokens, without = (
        JointLoss(tokens=2.0)(queries, documents, targets, 0),
        JointLoss()(queries, documents, targets, 0),
    )
    assert float(without.tokens) == 0.0
    assert float(with_tokens.total - without.total) == pytest.approx(2 * float(with_tokens.tokens))


def _outputs(requires_grad=True):
    tensors = [_random(2, 7).abs(), _random(4, 7, seed=1).abs(), _random(2, 3, 4, seed=2), _random(4, 5, 4, seed=3)]
    for tensor in tensors:
        tensor.requires_grad_(requires_grad)
    query_weights, document_weights, query_vectors, document_vectors = tensors
    queries = Output(query_weights, query_vectors, torch.ones(2, 3, dtype=torch.bool))
    documents = Output(document_weights, document_vectors, torch.ones(4, 5, dtype=torch.bool))
    return tensors, queries, documents


TARGETS = Targets(torch.tensor([0, 1]), torch.zeros(2, 4, dtype=torch.bool), _random(2, 4, seed=4))


def test_gradients_reach_both_heads_of_queries_and_documents():
    tensors, queries, documents = _outputs()
    loss = JointLoss(teacher=1.0, query_flops=0.1, document_flops=0.1)
    loss(queries, documents, TARGETS, step=0).total.backward()
    assert all(bool((tensor.grad != 0).any()) for tensor in tensors)


def test_the_total_is_the_weighted_sum_of_its_parts():
    _, queries, documents = _outputs(requires_grad=False)
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


def test_a_model_with_one_head_has_one_loss():
    _, queries, documents = _outputs(requires_grad=False)
    sparse = JointLoss()(queries._replace(embeddings=None), documents._replace(embeddings=None), TARGETS, 0)
    assert float(sparse.maxsim) == 0.0
    late = JointLoss()(queries._replace(weights=None), documents._replace(weights=None), TARGETS, 0)
    assert float(late.sparse) == float(late.query_flops) == 0.0
    assert float(late.total) == float(late.maxsim) > 0


def test_what_the_teacher_did_not_score_counts_nothing():
    student, teacher = _random(3, 5), _random(3, 5, seed=1)
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


def test_term_vectors_are_scored_by_shared_terms_not_by_maxsim():
    _, queries, documents = _outputs(requires_grad=False)
    terms = torch.tensor([[1, 2, 3], [4, 5, 6]]), torch.arange(20).view(4, 5)
    queries, documents = queries._replace(terms=terms[0]), documents._replace(terms=terms[1])
    parts = JointLoss()(queries, documents, TARGETS, 0)
    torch.testing.assert_close(parts.maxsim, ranking(term_scores(queries, documents), TARGETS.positives))


def test_each_price_of_sparsity_has_its_own_weight_and_they_grow_together():
    _, queries, documents = _outputs(requires_grad=False)
    targets = TARGETS._replace(frequencies=torch.linspace(0, 1, 7))
    bare = JointLoss()(queries, documents, targets, 3)
    for name in ("query_flops", "document_flops", "query_l1", "document_l1", "document_df_flops"):
        loss = JointLoss(**{name: 2.0}, flops_steps=6, schedule="linear")
        parts = loss(queries, documents, targets, 3)
        assert float(parts.total - bare.total) == pytest.approx(float(getattr(parts, name)), rel=1e-4)


def test_df_flops_is_flops_where_every_document_has_every_term():
    weights = _random(4, 7).abs()
    torch.testing.assert_close(df_flops(weights, torch.ones(7)), flops(weights))
    assert float(df_flops(weights, torch.zeros(7))) == 0.0
    rising = df_weights(torch.linspace(0, 1, 50))
    assert bool((rising[1:] >= rising[:-1]).all())
