from __future__ import annotations

import random

import pytest

from cherche_models import utils

ROWS = [(f"q{i}", f"p{i}", f"n{i}") for i in range(5)]


def test_every_row_comes_once_in_each_epoch() -> None:
    before = list(ROWS)
    batches = list(utils.iter(ROWS, epochs=2, batch_size=2))
    assert [len(anchors) for anchors, _, _ in batches] == [2, 2, 1, 2, 2, 1]
    for epoch in (batches[:3], batches[3:]):
        assert sorted(row for batch in epoch for row in zip(*batch, strict=True)) == ROWS
    assert before == ROWS


def test_a_generator_serves_too() -> None:
    assert len(list(utils.iter((row for row in ROWS), epochs=2, batch_size=5, shuffle=False))) == 2


def test_the_order_follows_the_seed_or_pythons() -> None:
    def order(seed: int | None) -> list[object]:
        return list(utils.iter(ROWS, 2, 2, seed=seed))

    assert order(1) == order(1) != order(2)
    random.seed(5)
    first = order(None)
    random.seed(5)
    assert order(None) == first


def test_a_batch_holds_something() -> None:
    with pytest.raises(ValueError, match="batch_size 0 is below 1"):
        list(utils.batchify([1], batch_size=0))
