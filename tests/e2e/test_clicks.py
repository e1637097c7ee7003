"""From a log of clicks to a model that ranks by them: tune --save, then train, on simulated users."""

from __future__ import annotations

import json
import random
import string
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from cherche_models import hub, scores
from sidecar.cli import cherche
from sidecar.testing import FakeModel
from tests import checkpoints
from tests.unit.sidecar.cli.conftest import Command, serving

TOPICS = {
    "neural": "brain",
    "sparse": "cell",
    "search": "protein",
    "index": "heart",
    "query": "token",
    "document": "weight",
}
# A letter tells documents of one topic apart; of each letter, two topics are left for the measure.
SEARCHED, HELD_OUT = [], []
for letter_number, letter in enumerate(string.ascii_lowercase[:16]):
    for topic_number, topic in enumerate(TOPICS):
        (HELD_OUT if (letter_number + topic_number) % 3 == 0 else SEARCHED).append((topic, letter))
RECIPE = """
base = "base"
architecture = "colbert"
dim = 16
batch = 8

[training]
steps = 300
learning_rate = 1e-3
negatives = 5
in_batch = false             # other queries of a topic have right answers too
query_length = 16
document_length = 16

[[data]]
jsonl = "judged/pairs.jsonl"
"""


def page(letter: str, rng: random.Random) -> list[str]:
    """One document of each topic, in any order: which is relevant, no word of the query says."""
    found = [f"{word}-{letter}" for word in TOPICS.values()]
    rng.shuffle(found)
    return found


def users(seed: int, searches: int) -> list[bytes]:
    """Users look at rank k with probability 1/k, and click what is relevant nine times of ten, else once."""
    rng, lines = random.Random(seed), []
    for topic, letter in SEARCHED:
        shown = page(letter, rng)
        for _ in range(searches):
            looked = [id for rank, id in enumerate(shown, 1) if rng.random() < 1 / rank]
            clicked = [id for id in looked if rng.random() < (0.9 if id == f"{TOPICS[topic]}-{letter}" else 0.1)]
            lines.append(json.dumps({"query": f"{topic} {letter}", "shown": shown, "clicked": clicked}).encode())
    return lines


def reciprocal_rank(folder: Path) -> float:
    """Mean over queries that nobody searched for."""
    model, rng, found = hub.load(folder, device="cpu", dtype="fp32"), random.Random(1), []
    for topic, letter in HELD_OUT:
        shown = page(letter, rng)
        query = model.encode([f"{topic} {letter}"], kind="query")[0].embeddings
        documents = [one.embeddings for one in model.encode([id.replace("-", " ") for id in shown], kind="document")]
        order = np.argsort(-scores.maxsim(query, scores.pack(documents)))
        found.append(1 / (1 + list(order).index(shown.index(f"{TOPICS[topic]}-{letter}"))))
    return sum(found) / len(found)


@pytest.mark.timeout(1800)
def test_a_model_learns_from_clicks_what_the_ranks_hid(tmp_path: Path) -> None:
    pytest.importorskip("accelerate")
    checkpoints.masked_lm(tmp_path / "base")
    with serving(tmp_path, [FakeModel()]) as address:
        command = Command(address, tmp_path)
        documents = [
            {"_id": f"{TOPICS[topic]}-{letter}", "text": f"{TOPICS[topic]} {letter}"}
            for topic, letter in (*SEARCHED, *HELD_OUT)
        ]
        command("setup", "articles", "--fields", "text")
        command("feed", "articles", command.write("corpus.jsonl", list(documents)))
        log = command.write("clicks.jsonl", list(users(0, 40)))
        command("tune", "articles", "--clicks", log, "--save", str(tmp_path / "judged"), "--dry-run")
        (tmp_path / "recipe.toml").write_text(RECIPE)
        (tmp_path / "untrained.toml").write_text(RECIPE.replace("steps = 300", "steps = 1"))
        for name in ("recipe", "untrained"):
            done = CliRunner().invoke(cherche, ["train", str(tmp_path / f"{name}.toml")], catch_exceptions=False)
            assert done.exit_code == 0, done.output
    before, after = reciprocal_rank(tmp_path / "untrained"), reciprocal_rank(tmp_path / "recipe")
    assert before < 0.6
    assert after > before + 0.2, (before, after)
