"""The model card names base, data, licences, figures and changed settings."""

from __future__ import annotations

from pathlib import Path

from cherche_models.train import card
from cherche_models.train import recipe_file as recipe

PLAN = {
    "sources": [{"examples": 1200, "refused": 2}, {"examples": -1, "refused": 0}],
    "measured_on": "3 examples",
    "before": {"mrr": 0.1},
}
FIGURES = {"best": {"mrr": 0.5}, "at": 40, "final_loss": 0.25}


def made(folder: Path) -> recipe.Recipe:
    stored = {
        "base": str(folder / "base"),
        "batch": 8,
        "training": {"steps": 40, "ema": 0.9},
        "data": [{"jsonl": folder / "pairs.jsonl", "license": "cc0-1.0"}, {"dataset": "some/set"}],
        "card": {"license": "mit"},
    }
    return recipe.Recipe.model_validate(stored)


def test_a_card_shows_figures_and_settings_but_no_path_of_the_machine(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "README.md").write_text("---\nlanguage: en\nlicense: apache-2.0\n---\n")
    card.write(tmp_path, made(tmp_path), "colbert", PLAN, FIGURES, "curves.svg")
    text = (tmp_path / "README.md").read_text()
    assert str(tmp_path) not in text
    for line in (
        "license: mit",
        "- some/set",
        "| base | `base` | apache-2.0 |",
        "| data | `pairs.jsonl`: 1,200 examples, 2 lines refused | cc0-1.0 |",
        "| data | `some/set`: a stream | unknown |",
        "| | before | after 40 steps |",
        "| mrr | 0.1000 | 0.5000 |",
        "| training.ema | 0.9 |",
        "| batch | 8 |",
    ):
        assert line in text.splitlines()
    assert "on a stream of examples" in text
    assert "training.seed" not in text


def test_a_base_without_a_card_has_an_unknown_license(tmp_path: Path) -> None:
    assert card.base_license(str(tmp_path)) == card.UNKNOWN
    (tmp_path / "README.md").write_text("# A model\nlicense: mit\n")
    assert card.base_license(str(tmp_path)) == card.UNKNOWN
