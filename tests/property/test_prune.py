from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cherche_models.prune import Prune
from tests.property.strategies import term_weights

rules = st.one_of(
    st.just(Prune()),
    st.integers(1, 80).map(lambda k: Prune("top_k", float(k))),
    st.floats(1e-6, 1.0).map(lambda share: Prune("max_ratio", share)),
    st.floats(1e-6, 1e6).map(lambda least: Prune("min_weight", least)),
)
mass = st.floats(1e-6, 1.0).map(lambda share: Prune("alpha_mass", share))


@given(rules, term_weights())
def test_pruning_twice_changes_nothing_more(rule, weights):
    assert rule(rule(weights)) == rule(weights)


@given(st.one_of(rules, mass), term_weights(largest_id=100), term_weights(largest_id=100))
def test_pruning_never_raises_a_score(rule, document, query):
    assert rule(document).dot(query) <= document.dot(query) * (1 + 1e-12)


@given(st.one_of(rules, mass), term_weights(min_size=1))
def test_the_heaviest_term_stays_and_nothing_is_made_up(rule, weights):
    kept = dict(rule(weights).items())
    assert kept.items() <= dict(weights.items()).items()
    assert max(kept.values()) == weights.weights.max()


@given(mass, term_weights(min_size=1))
def test_the_mass_is_kept_with_as_few_terms_as_can_be(rule, weights):
    kept = sorted(rule(weights).weights.astype(float).tolist())
    total = weights.weights.astype(float).sum()
    assert sum(kept) >= rule.value * total * (1 - 1e-9)
    assert sum(kept[1:]) < rule.value * total


@given(st.one_of(rules, mass))
def test_a_rule_is_written_as_it_is_read(rule):
    assert Prune.parse(str(rule)) == rule
