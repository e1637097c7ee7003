"""Texts in the order of MaxSim."""

from __future__ import annotations

from tests.unit.sidecar.cli.conftest import Command


def test_rerank_orders_texts(command: Command) -> None:
    ranked = command.json("rerank", "ducks swim", "snow falls", "ducks can swim")
    assert [score["index"] for score in ranked["scores"]] == [1, 0]
    assert command("rerank", "ducks", "snow", "ducks").stdout.splitlines()[1].endswith("ducks")
