"""``cherche train``: the plan first, progress on the way, one result at the end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from cherche_models import hub
from sidecar.cli import cherche
from tests import checkpoints

RECIPE = """
base = "base"
architecture = "colbert"
dim = 8
batch = 2

[training]
steps = 4
query_length = 16
document_length = 16

[[data]]
jsonl = "pairs.jsonl"

[evaluation]
held_out = 2
every = 2
"""
PAIRS = [
    {"query": f"the {w}", "positive": f"{w} of the document", "id": w} for w in ("brain", "cell", "heart", "index")
]


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    checkpoints.masked_lm(tmp_path / "base")
    lines = [*(json.dumps(pair) for pair in PAIRS), "{"]
    (tmp_path / "pairs.jsonl").write_text("\n".join(lines) + "\n")
    path = tmp_path / "mine.toml"
    path.write_text(RECIPE)
    return path


def test_it_plans_trains_and_says_what_came_of_it(recipe: Path) -> None:
    done = CliRunner().invoke(cherche, ["train", str(recipe)])
    assert done.exit_code == 0, done.output
    plan = done.stderr
    assert "colbert from " in plan
    assert "4 examples" in plan
    assert "pairs.jsonl:5: not JSON in UTF-8" in plan
    assert "the keys id" in plan
    assert "4 of 2 queries, 2.0 passes" in plan
    assert "s a step, measured just now" in plan
    assert "MiB" in plan or "GiB" in plan
    assert plan.index("time") < plan.index("step 2")
    assert "were expected" in done.stdout
    assert "→" in done.stdout
    assert hub.load(recipe.with_suffix(""), device="cpu").architecture == "colbert"


def test_as_json(recipe: Path) -> None:
    done = CliRunner().invoke(cherche, ["train", str(recipe), "--out", str(recipe.parent / "out"), "--json", "-q"])
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert (result["steps"], result["plan"]["sources"][0]["refused"]) == (4, 1)
    assert done.stderr == ""


def test_only_the_plan_writes_nothing(recipe: Path) -> None:
    done = CliRunner().invoke(cherche, ["train", str(recipe), "--plan", "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["steps"] == 4
    assert not recipe.with_suffix("").exists()


WRONG = {
    ("steps = 4", "stesp = 4"): ("INVALID_ARGUMENT", "training.stesp: unknown key", "known here: steps"),
    ('"pairs.jsonl"', '"none.jsonl"'): ("INVALID_ARGUMENT", "none.jsonl: No such file", "correct the recipe"),
    ('base = "base"', 'base = "./nowhere"'): ("FAILED_PRECONDITION", "./nowhere is not a folder", "name a model"),
    ("held_out = 2", "held_out = 9"): ("INVALID_ARGUMENT", "9 of 4 examples", "lower evaluation.held_out"),
}


@pytest.mark.parametrize("change", WRONG)
def test_what_cannot_be_run_names_item_and_next_step(change: tuple[str, str], recipe: Path) -> None:
    recipe.write_text(RECIPE.replace(*change))
    done = CliRunner().invoke(cherche, ["train", str(recipe), "--json"])
    assert done.exit_code == 1, done.output
    error = json.loads(done.stderr.splitlines()[-1])["error"]
    code, reason, step = WRONG[change]
    assert error["code"] == code
    assert reason in error["reason"]
    assert step in error["next_step"]
