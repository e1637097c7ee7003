"""A recipe becomes a folder with a model, its card and its curves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from cherche_models import hub
from cherche_models.errors import CheckpointError
from cherche_models.models import ColBERT
from cherche_models.train import data, log, sources
from cherche_models.train.recipe_file import read as read_recipe
from cherche_models.train.run import run
from tests import checkpoints
from tests.unit.cherche_models.train.conftest import EXAMPLES
from tests.unit.cherche_models.train.recipe_files import Events, write_recipe


@pytest.mark.parametrize("architecture", ["colbert", "splade", "sparse_embed", "joint"])
def test_a_recipe_becomes_a_model_that_loads(architecture: str, base: Path, pairs: Path) -> None:
    events = Events()
    more = "[evaluation]\nheld_out = 3\nevery = 3\n"
    result = run(write_recipe(pairs, base, architecture, more=more), pairs / "out", events)
    model = hub.load(pairs / "out", device="cpu", dtype="fp32")
    assert model.architecture == architecture
    (plan,) = events.of("plan")
    assert (plan["sources"][0]["examples"], plan["sources"][0]["refused"]) == (24, 1)
    assert 'pairs.jsonl:25: "positive" has no text' in plan["sources"][0]["first"][0]
    assert plan["seconds"] > 0
    assert plan["memory"] > 1 << 20
    assert plan["passes"] == 1.0
    assert [step["step"] for step in events.of("step")] == [1, 2, 3, 4, 5, 6]
    assert [found["step"] for found in events.of("measured")] == [0, 3, 6]
    assert result["best"]["mrr"] == max(found["mrr"] for found in events.of("measured")[1:])
    text = (pairs / "out" / "README.md").read_text()
    assert "license: unknown" in text
    assert "24 examples, 1 lines refused | cc0-1.0" in text
    assert f"| mrr | {plan['before']['mrr']:.4f} | {result['best']['mrr']:.4f} |" in text
    assert str(pairs) not in text
    assert (pairs / "out" / "curves.svg").read_text().startswith("<?xml")
    assert (pairs / "out" / "recipe.toml").exists()


@pytest.mark.parametrize("steps", [0, 3])
def test_a_recipe_gives_its_model_query_weights(steps: int, base: Path, pairs: Path) -> None:
    events = Events()
    more = f"[query_table]\nsteps = {steps}\n"
    run(write_recipe(pairs, base, "joint", more=more), pairs / "out", events)
    model = hub.load(pairs / "out", device="cpu", dtype="fp32")
    weights = model.idf(model.tokenize(["the brain"], "query")[0])
    assert weights is not None
    assert set(weights) == {model.tokenizer.id_of("the"), model.tokenizer.id_of("brain")}
    assert "query weights of 8 examples" in " ".join(note["text"] for note in events.of("note"))


def test_query_weights_need_a_model_with_terms(base: Path, pairs: Path) -> None:
    path = write_recipe(pairs, base, "colbert", more="[query_table]\n")
    with pytest.raises(ValueError, match="a colbert model has no term weights: leave out query_table"):
        run(path, pairs / "out", Events())


def test_a_run_that_was_stopped_goes_on_and_its_log_has_each_step_once(base: Path, pairs: Path) -> None:
    path = write_recipe(pairs, base)
    whole = Events()
    run(path, pairs / "whole", whole)

    class Stopped(Events):
        def __call__(self, kind: str, values: Mapping[str, Any]) -> None:
            super().__call__(kind, values)
            if kind == "step" and values["step"] == 3:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(path, pairs / "again", Stopped())
    events = Events()
    run(path, pairs / "again", events)
    assert events.of("plan")[0]["done"] == 2
    entries = list(log.read(pairs / "again" / "training" / "log.jsonl"))
    assert [entry["step"] for entry in entries] == [1, 2, 3, 4, 5, 6]
    assert [entry["loss"] for entry in entries] == [step["loss"] for step in whole.of("step")]


def test_only_the_plan(base: Path, pairs: Path) -> None:
    events = Events()
    assert list(run(write_recipe(pairs, base), pairs / "out", events, plan_only=True)) == ["plan"]
    assert not (pairs / "out").exists()
    assert not events.of("step")


def test_a_sentence_encoder_becomes_a_colbert_taught_by_a_cross_encoder(tmp_path: Path, pairs: Path) -> None:
    encoder = checkpoints.encoder(tmp_path / "sentences")
    pooling = {"type": "sentence_transformers.models.Pooling", "path": "1_Pooling", "name": "1", "idx": 1}
    body = {"type": "sentence_transformers.models.Transformer", "path": "", "name": "0", "idx": 0}
    (encoder / "modules.json").write_text(json.dumps([body, pooling]))
    checkpoints.classifier(pairs / "cross")
    teacher = '[teacher]\ncross_encoder = "cross"\nmax_length = 24\nmargin = 0.05\n'
    more = f"{teacher}[loss]\nteacher = 1.0\nmargin = 0.1\nrank = 0.0\n"
    events = Events()
    run(write_recipe(pairs, encoder, more=more), pairs / "out", events)
    assert hub.load(pairs / "out", device="cpu").architecture == "colbert"
    scored = list(data.read(pairs / "out" / "training" / "examples-0.jsonl"))
    assert len(scored) == 24
    assert any(len(e.negatives) < 7 for e in scored)
    assert all(value < e.scores[0] - 0.05 for e in scored for value in e.scores[1:])
    parts = [entry["parts"] for entry in log.read(pairs / "out" / "training" / "log.jsonl")]
    assert any(part.get("maxsim_teacher") and part.get("maxsim_margin") for part in parts)


def test_a_sentence_encoder_keeps_its_hidden_states_until_they_are_narrowed(tmp_path: Path, pairs: Path) -> None:
    """What a strong small ColBERT is made of: identity head, teacher and labels, frozen words, sources with shares."""
    encoder = checkpoints.encoder(tmp_path / "sentences")
    checkpoints.encoder(pairs / "teacher", seed=3)
    data.write(pairs / "more.jsonl", EXAMPLES[:3])
    more = """
[[data]]
jsonl = "more.jsonl"
share = 0.34
[teacher]
sentence_transformer = "teacher"
temperature = 0.1
[loss]
teacher = 1.0
rank = 0.5
[head]
identity = true
skip_punctuation = true
narrow = 6
[evaluation]
held_out = 2
"""
    path = write_recipe(pairs, encoder, training="word_rate = 0.0", more=more)
    path.write_text("query_length = 20\ndocument_length = 28\n" + path.read_text().replace("dim = 8\n", ""))
    events = Events()
    result = run(path, pairs / "out", events)
    model = hub.load(pairs / "out", device="cpu", dtype="fp32")
    assert isinstance(model, ColBERT)
    assert model.dim == 6
    assert (model.formats["query"].max_length, model.formats["document"].max_length) == (20, 28)
    assert model.tokenizer.id_of(".") in model.projection.skip.tolist()
    start = hub.load(encoder, device="cpu", dtype="fp32", architecture="colbert", new_head=True)
    torch.testing.assert_close(*(m.backbone.model.get_input_embeddings().weight for m in (model, start)))
    assert list(result["narrow"]) == list(result["best"])
    assert "Narrowed to 6 dimensions, as it is stored: mrr" in (pairs / "out" / "README.md").read_text()
    parts = [entry["parts"] for entry in log.read(pairs / "out" / "training" / "log.jsonl") if "parts" in entry]
    assert all(part["maxsim"] and part["maxsim_teacher"] for part in parts)


def test_a_sentence_encoder_teaches_and_adapters_learn(tmp_path: Path, base: Path, pairs: Path) -> None:
    checkpoints.encoder(pairs / "teacher", seed=3)
    more = '[teacher]\nsentence_transformer = "teacher"\n[loss]\nteacher = 1.0\n[lora]\nrank = 2\n'
    events = Events()
    run(write_recipe(pairs, base, "splade", more=more), pairs / "out", events)
    (plan,) = events.of("plan")
    assert plan["trained"] < plan["parameters"] / 4
    assert hub.load(pairs / "out", device="cpu", dtype="fp32").architecture == "splade"


def test_a_recipe_trains_the_last_layers_alone(base: Path, pairs: Path) -> None:
    events = Events()
    path = write_recipe(pairs, base, "splade")
    path.write_text("train_layers = 1\n" + path.read_text())
    run(path, pairs / "out", events)
    (plan,) = events.of("plan")
    assert plan["trained"] < plan["parameters"]
    before, after = (
        hub.load(f, device="cpu", dtype="fp32", architecture="splade").backbone.model for f in (base, pairs / "out")
    )
    same = [
        torch.equal(*(model.base_model.encoder.layer[layer].output.dense.weight for model in (before, after)))
        for layer in (0, 1)
    ]
    assert same == [True, False]


def test_a_base_that_cannot_be_loaded_is_named_before_data_is_read(
    base: Path, pairs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mining takes hours on a large corpus."""
    recipe = write_recipe(pairs, base)
    (pairs / "base").unlink()  # of the link, whose folder other tests read
    (pairs / "base").mkdir()
    (pairs / "base" / "config.json").write_text((base / "config.json").read_text())
    monkeypatch.setattr(sources, "gather", lambda *_: pytest.fail("the data was read first"))
    with pytest.raises(CheckpointError, match=r"has no model\.safetensors"):
        run(recipe, pairs / "out", Events())


@pytest.mark.parametrize(
    ("more", "expected"), [("", (16, 16)), ("[evaluation]\nheld_out = 1\nquery_length = 9\n", (9, 16))]
)
def test_texts_are_measured_at_the_lengths_of_training_unless_the_recipe_has_others(
    more: str, expected: tuple[int, int], base: Path, pairs: Path
) -> None:
    recipe = read_recipe(write_recipe(pairs, base, more=more))
    assert tuple(sources._lengths(recipe).values()) == expected
