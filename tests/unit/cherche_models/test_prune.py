from __future__ import annotations

import pytest

from cherche_models.prune import Prune
from cherche_models.types import TermWeights

WEIGHTS = TermWeights.from_pairs([(1, 0.5), (2, 2.0), (3, 1.0), (4, 0.5), (5, 0.25)])


@pytest.mark.parametrize(
    ("rule", "kept"),
    [
        ("none", [1, 2, 3, 4, 5]),
        ("top_k:1", [2]),
        ("top_k:3", [1, 2, 3]),
        ("top_k:99", [1, 2, 3, 4, 5]),
        ("max_ratio:0.5", [2, 3]),
        ("max_ratio:0.25", [1, 2, 3, 4]),
        ("max_ratio:1", [2]),
        ("min_weight:0.5", [1, 2, 3, 4]),
        ("min_weight:7", [2]),
        ("alpha_mass:0.47", [2]),
        ("alpha_mass:0.5", [2, 3]),
        ("alpha_mass:0.8", [1, 2, 3]),
        ("alpha_mass:1", [1, 2, 3, 4, 5]),
    ],
)
def test_rules(rule, kept):
    pruned = Prune.parse(rule)(WEIGHTS)
    assert pruned.ids.tolist() == kept
    assert pruned.weights.tolist() == [dict(WEIGHTS.items())[i] for i in kept]


def test_a_text_that_is_one_heavy_term_keeps_it():
    one = TermWeights.from_pairs([(7, 100.0), (8, 0.1)])
    assert Prune.parse("alpha_mass:0.1")(one).ids.tolist() == [7]


@pytest.mark.parametrize("rule", ["none", "top_k:1", "alpha_mass:0.5", "max_ratio:0.5", "min_weight:1"])
def test_an_empty_text_stays_empty(rule):
    assert len(Prune.parse(rule)(TermWeights.empty())) == 0


@pytest.mark.parametrize("text", ["top_k:1000000", "max_ratio:0.123456789", "alpha_mass:1", "min_weight:1e-07", "none"])
def test_rules_are_written_as_they_are_read(text):
    assert Prune.parse(str(Prune.parse(text))) == Prune.parse(text)
    assert str(Prune.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    ["", "all", "none:", "none:1", "top_k", "top_k:", "top_k:many", "top_k:-1", "max_ratio:nan", "top_k: 5"],
)
def test_an_unknown_form_is_refused_naming_the_known_ones(text):
    with pytest.raises(ValueError, match="top_k:N, max_ratio:N, alpha_mass:N, min_weight:N"):
        Prune.parse(text)


@pytest.mark.parametrize(
    "text", ["top_k:0", "top_k:1.5", "max_ratio:0", "max_ratio:1.1", "alpha_mass:2", "min_weight:0"]
)
def test_a_senseless_value_is_refused(text):
    with pytest.raises(ValueError, match="must be"):
        Prune.parse(text)


def test_a_rule_cannot_be_built_around_the_check():
    with pytest.raises(ValueError, match="whole number"):
        Prune("top_k", 0.5)
    with pytest.raises(ValueError, match="above 0"):
        Prune("min_weight", float("inf"))
