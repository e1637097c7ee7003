"""The pages that ship with the library: every block is run, on runs cut short; every recipe is one."""

from __future__ import annotations

import doctest
import re
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from cherche_models.train import recipe_file as recipe
from tests.e2e import test_readme as blocks

PAGES = sorted((blocks.ROOT / "cherche_models" / "docs").glob("*.md"))
TRAINING = ("fine-tune-on-a-laptop.md", "train-on-a-gpu.md", "from-checkpoint-to-cluster.md")
SHORT = {r"steps = \d+": "steps = 4", r"steps   \d+": "steps   4", r"held_out = \d+": "held_out = 8"}
_TOML = re.compile(r"^```toml\n(.*?)^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([\w-]+\.md)\)")


def shortened(text: str) -> str:
    """The same with fewer steps: what they print changes with them."""
    text = text.replace("steps         300 of", "steps         4 of").replace("   300 examples of", "   8 examples of")
    for pattern, short in SHORT.items():
        text = re.sub(pattern, short, text)
    return text


@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", TRAINING)
def test_every_block_does_what_it_says(page: str, tmp_path: Path) -> None:
    pytest.importorskip("accelerate")
    text = (blocks.ROOT / "cherche_models" / "docs" / page).read_text(encoding="utf-8")
    for step in blocks.steps(text):
        step = replace(step, source=shortened(step.source), expected=shortened(step.expected))
        done = blocks.run(step, tmp_path)
        where = f"{page}:{step.line}: {step.source}"
        assert done.returncode == 0, f"{where}\n{done.stdout}{done.stderr}"
        if step.expected:
            expected = step.expected.replace("…", "...")
            assert doctest.OutputChecker().check_output(expected, done.stdout, blocks.FLAGS), f"{where}\n{done.stdout}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_recipes_are_recipes_and_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for block in _TOML.findall(text):
        recipe.parse(tomllib.loads(block), page)
    for name in _LINK.findall(text):
        assert (page.parent / name).is_file(), name
