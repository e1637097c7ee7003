"""The log of a run has each step once, also after it was interrupted."""

from __future__ import annotations

from pathlib import Path

from cherche_models.train import log


def test_a_resumed_run_replaces_the_steps_after_its_state(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "log.jsonl"
    first = log.Log(path)
    for step in range(1, 5):
        first.write(step, loss=float(step))
    resumed = log.Log(path)
    resumed.write(3, loss=30.0)
    resumed.write(3, measured={"mrr": 1.0})
    assert [(e["step"], e.get("loss")) for e in log.read(path)] == [(1, 1.0), (2, 2.0), (3, 30.0), (3, None)]


def test_an_incomplete_last_line_is_ignored(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    assert list(log.read(path)) == []
    path.write_text('{"step": 1}\n{"step"')
    assert list(log.read(path)) == [{"step": 1}]
