import numpy as np
import pytest
from scipy import stats

from cherche_models.evaluate import compare


def _values(values):
    return {str(i): float(value) for i, value in enumerate(values)}


def test_exact_for_few_queries_agrees_with_scipy():
    random = np.random.default_rng(1)
    a, b = random.random(12), random.random(12)
    theirs = stats.permutation_test((b, a), lambda x, y: np.mean(x - y), permutation_type="samples", n_resamples=np.inf)
    assert compare(_values(a), _values(b)).p_value == pytest.approx(theirs.pvalue)


def test_many_queries_agree_with_the_t_test():
    random = np.random.default_rng(2)
    a = random.random(300)
    b = a + random.normal(0.01, 0.1, 300)
    result = compare(_values(a), _values(b))
    assert result.p_value == pytest.approx(stats.ttest_rel(a, b).pvalue, abs=0.01)
    assert result.difference == pytest.approx(float((b - a).mean()))
    assert result.wins + result.losses == 300


def test_no_difference_is_no_evidence():
    result = compare({"1": 0.5, "2": 0.1}, {"1": 0.5, "2": 0.1})
    assert (result.p_value, result.ties) == (1.0, 2)


def test_a_sure_difference_is_never_zero():
    a = _values([0.0] * 200)
    b = _values([1.0] * 200)
    assert 0 < compare(a, b, rounds=999).p_value == 0.001


def test_the_order_of_queries_does_not_matter_and_the_seed_fixes_it():
    a = _values(np.random.default_rng(3).random(50))
    b = _values(np.random.default_rng(4).random(50))
    assert compare(a, dict(reversed(b.items()))) == compare(a, b)


def test_unpaired_systems_are_refused():
    with pytest.raises(ValueError, match="same queries"):
        compare({"1": 0.0}, {"2": 0.0})


def test_the_standard_error_is_scipys():
    random = np.random.default_rng(7)
    a, b = random.random(40), random.random(40)
    assert compare(_values(a), _values(b)).standard_error == pytest.approx(stats.sem(b - a))
    assert compare({"1": 0.0}, {"1": 1.0}).standard_error is None
