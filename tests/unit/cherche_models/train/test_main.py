"""``python -m cherche_models.train`` prints events as JSON lines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cherche_models import hub
from cherche_models.train.__main__ import main
from tests.unit.cherche_models.train.recipe_files import write_recipe


def test_the_library_alone_runs_a_recipe_and_tells_in_json(
    base: Path, pairs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([str(write_recipe(pairs, base)), str(pairs / "out")])
    events = [json.loads(line) for line in capsys.readouterr().err.splitlines() if line.startswith("{")]
    kinds = [next(iter(one)) for one in events]
    assert [kind for kind in kinds if kind != "note"] == ["plan", *["step"] * 6, "done"]
    assert events[-1]["done"]["steps"] == 6
    assert hub.load(pairs / "out", device="cpu").architecture == "colbert"
