import numpy as np
import pytest

from cherche_models.evaluate import per_query
from cherche_models.evaluate.tuning import Judged, Setting, grid, ideal_dcg, ndcg, ranks_against_sum, tune

NOW = Setting(1.0, 0.5, 100)


def query(seed, relevant_by="maxsim", hits=30):
    """Hits whose relevant ones are ranked first by one part of the score alone."""
    random = np.random.default_rng(seed)
    relevance = np.zeros(hits)
    relevance[random.choice(hits, 3, replace=False)] = 1
    parts = {name: random.random(hits) for name in ("lexical", "sparse", "maxsim")}
    parts[relevant_by] = parts[relevant_by] + 0.6 * relevance
    return Judged(
        [f"d{i:02}" for i in range(hits)], **parts, relevance=relevance, ideal=ideal_dcg(dict.fromkeys("abc", 1))
    )


def test_ndcg_is_trec_evals():
    for seed in range(20):
        one = query(seed)
        graded = np.random.default_rng(seed).integers(0, 3, 30).astype(float)
        judgements = {id: int(gain) for id, gain in zip(one.ids, graded, strict=True)} | {"never found": 2}
        judged = Judged(one.ids, one.lexical, one.sparse, one.maxsim, graded, ideal_dcg(judgements))
        setting = Setting(2.0, 0.0, 10)
        first = one.lexical + 2.0 * one.sparse
        ranking = [one.ids[i] for i in np.argsort(-first)]
        assert ndcg(judged, setting) == pytest.approx(
            per_query({"q": ranking}, {"q": judgements}, ["ndcg@10"])["ndcg@10"]["q"]
        )


def test_beyond_the_window_the_first_stage_decides():
    one = Judged(
        list("abcd"), np.array([4.0, 3, 2, 1]), np.zeros(4), np.array([0.0, 1, 2, 9]), np.array([0.0, 0, 0, 1]), 1.0
    )
    assert ndcg(one, Setting(1.0, 1.0, 4)) == 1.0
    assert ndcg(one, Setting(1.0, 1.0, 3)) == pytest.approx(1 / np.log2(5))


@pytest.mark.parametrize(
    ("part", "is_right"), [("maxsim", lambda s: s.rerank_weight >= 0.7), ("sparse", lambda s: s.sparse_boost >= 1.5)]
)
def test_it_finds_the_part_that_tells(part, is_right):
    queries = {str(seed): query(seed, part) for seed in range(60)}
    tuned = tune(queries, NOW, grid(NOW))
    assert is_right(tuned.choice)
    assert tuned.held_out.difference > 0.02
    assert tuned.held_out.p_value < 0.05
    assert len(tuned.folds) == 5


def test_the_gain_of_chance_is_not_believed():
    """Nothing tells: the best setting on all queries looks better than it is held out."""
    queries = {str(seed): query(seed, "lexical") for seed in range(40)}
    shuffled = {
        key: Judged(q.ids, q.sparse, q.sparse[::-1], q.maxsim, q.relevance, q.ideal) for key, q in queries.items()
    }
    tuned = tune(shuffled, NOW, grid(NOW))
    seen = np.mean([ndcg(q, tuned.choice) for q in shuffled.values()]) - tuned.held_out.a
    assert tuned.held_out.difference < seen


def test_what_is_as_good_stays():
    empty = {str(i): Judged([], *[np.empty(0)] * 4, ideal=1.0) for i in range(5)}
    tuned = tune(empty, NOW, grid(NOW))
    assert tuned.choice == NOW
    assert tuned.held_out.difference == 0


def test_too_few_queries():
    with pytest.raises(ValueError, match="5 folds of 3 queries"):
        tune({str(i): query(i) for i in range(3)}, NOW, grid(NOW))


def test_ranks_are_compared_with_the_sum() -> None:
    """The second part is a hundred times the first, so the sum is its order; by ranks both count alike."""
    hits = Judged(
        ["a", "b", "c"],
        np.array([3.0, 2.0, 1.0]),
        np.array([100.0, 300.0, 200.0]),
        np.zeros(3),
        np.array([1.0, 0.0, 0.0]),
        1.0,
    )
    found = ranks_against_sum({"q": hits, "r": hits}, Setting(1.0, 0.0, 100))
    # The sum: b, c, a. Ranks: b (2, 1), a (1, 3), c (3, 2).
    assert (found.a, found.b) == (pytest.approx(1 / np.log2(4)), pytest.approx(1 / np.log2(3)))
