"""The plot of a run: losses, and measurements if there are any."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from cherche_models.train import curves
from cherche_models.train.log import Log


def test_losses_and_measurements_are_plotted_reproducibly(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    written = Log(tmp_path / "log.jsonl")
    for step in range(1, 4):
        written.write(step, loss=1.0 / step, parts={"maxsim": 0.5})
    sizes = []
    for name in ("losses", "again", "measured"):
        if name == "measured":
            written.write(3, measured={"mrr": 0.5})
        curves.draw(tmp_path / "log.jsonl", tmp_path / f"{name}.svg", "a title")
        text = (tmp_path / f"{name}.svg").read_text()
        assert "<!-- loss -->" in text
        assert "<!-- maxsim -->" in text
        assert ("<!-- mrr -->" in text) is (name == "measured")
        sizes.append(text.count("<g "))
    assert sizes[0] == sizes[1] < sizes[2]


def test_ticks_are_whole_steps(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    written = Log(tmp_path / "log.jsonl")
    for step in (1, 2):
        written.write(step, loss=1.0, parts={})
    curves.draw(tmp_path / "log.jsonl", tmp_path / "curves.svg", "a title")
    steps = (tmp_path / "curves.svg").read_text().partition('id="matplotlib.axis_2"')[0]
    ticks = re.findall(r"<!-- ([\d.]+) -->", steps)
    assert ticks == ["1", "2"]


def test_without_matplotlib_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"run: pip install 'cherche-sidecar\[train\]'"):
        curves.draw(tmp_path / "log.jsonl", tmp_path / "curves.svg", "a title")
