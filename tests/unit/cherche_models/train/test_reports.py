"""What a run reports, to its caller and to its log."""

from __future__ import annotations

from pathlib import Path

from cherche_models.losses import JointLoss
from cherche_models.train import log
from cherche_models.train.reports import Reports, summary
from cherche_models.train.settings import Settings
from tests.unit.cherche_models.train.recipe_files import Events


def test_steps_and_measurements_are_reported_and_summed_up(tmp_path: Path) -> None:
    events = Events()
    reports = Reports(tmp_path, Settings(steps=2, learning_rate=1.0, warmup=0.5), JointLoss(sparse=0.5), events)
    reports.measured(0, {"mrr": 0.9})
    reports.step(0, {"total": 1.5, "sparse": 3.0, "maxsim": 0.0})
    reports.measured(1, {"mrr": 0.5})
    reports.step(1, {"total": 2.0})
    reports.measured(2, {"mrr": 0.4})
    assert [(step["step"], step["steps"], step["rate"]) for step in events.of("step")] == [(1, 2, 1.0), (2, 2, 1.0)]
    assert [found["step"] for found in events.of("measured")] == [0, 1, 2]
    assert next(log.read(tmp_path / "log.jsonl"))["step"] == 0
    steps = [entry for entry in log.read(tmp_path / "log.jsonl") if "loss" in entry]
    assert steps[0]["parts"] == {"sparse": 1.5}
    assert summary(tmp_path) == {"steps": 2, "final_loss": 2.0, "best": {"mrr": 0.5}, "at": 1}


def test_other_processes_report_and_write_nothing(tmp_path: Path) -> None:
    Reports(tmp_path, Settings(steps=2), JointLoss(), Events(), is_first=False).step(0, {"total": 1.0})
    assert summary(tmp_path) == {"steps": 0, "final_loss": None, "best": {}, "at": 0}
