"""What a fit says in words, and whether it may be written."""

from __future__ import annotations

from cherche_models.evaluate.significance import Comparison
from cherche_models.evaluate.tuning import Setting, Tuned
from sidecar.gateway.page.tune import fit_json
from sidecar.maintenance.tuning import Fit

NOW, THEN = Setting(1.0, 0.5, 100), Setting(2.0, 0.3, 50)


def fit(choice: Setting, gain: float, p_value: float) -> Fit:
    held = Comparison(0.5, 0.5 + gain, gain, 0.02, p_value, 6, 2, 4)
    is_better = gain > 0 and p_value <= 0.05
    return Fit(NOW, Tuned(choice, held, (choice,) * 5, (0.03, 0.02)), is_better)


def test_a_choice_that_proved_better_is_offered() -> None:
    found = fit_json(fit(THEN, 0.04, 0.012), 12)
    assert found["offered"]
    assert "gains +0.040" in found["reason"]
    assert (found["before"]["sparse_boost"], found["choice"]["sparse_boost"]) == (1.0, 2.0)
    assert found["errors"] == [0.03, 0.02]


def test_what_keeps_the_index_as_it_is_says_why() -> None:
    for choice, gain, p_value, said in (
        (THEN, 0.04, 0.31, "comes in 31% of all cases"),
        (THEN, -0.01, 0.9, "does not help queries that it was not made on"),
        (NOW, 0.0, 1.0, "No other setting"),
    ):
        found = fit_json(fit(choice, gain, p_value), 12)
        assert not found["offered"]
        assert said in found["reason"]
