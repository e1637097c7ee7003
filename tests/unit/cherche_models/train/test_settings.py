"""Learning rate schedules and accumulation windows."""

import pytest

from cherche_models.train import Settings


def test_the_rate_rises_then_falls_to_nothing():
    rates = [Settings(steps=10, learning_rate=1.0, warmup=0.2).rate(step) for step in range(11)]
    assert rates[:3] == [0.5, 1.0, 1.0]
    assert rates[2:] == sorted(rates[2:], reverse=True)
    assert rates[10] == 0.0


@pytest.mark.parametrize("decay", ["cosine", "constant"])
def test_other_ways_to_fall(decay):
    settings = Settings(steps=10, learning_rate=1.0, warmup=0.2, decay=decay)
    rates = [settings.rate(step) for step in range(11)]
    assert rates[:3] == [0.5, 1.0, 1.0]
    if decay == "constant":
        assert set(rates[1:]) == {1.0}
    else:  # halfway through the fall half of the rate is left, and the start is flatter than a line
        assert rates[6] == pytest.approx(0.5)
        assert rates[3] > 1 - 1 / 8
        assert rates[10] == pytest.approx(0.0)
