"""An adaptation: resumed, held back by the base, honest about the outcome."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from cherche_models import hub
from cherche_models.errors import CheckpointError, DataError
from cherche_models.train import adapt as adapting
from cherche_models.train.adapt import SHARES, Adaptation, adapt
from cherche_models.train.codebook import train_codebook
from cherche_models.train.run import completed_steps
from cherche_models.train.staged import JudgedSet
from tests import checkpoints
from tests.unit.cherche_models.train.conftest import Load
from tests.unit.cherche_models.train.recipe_files import Events
from tests.unit.cherche_models.train.test_made import texts

SHORT = Adaptation(steps=3, batch=4)


@pytest.fixture
def folder(tmp_path: Path, load: Load, request: pytest.FixtureRequest) -> Path:
    """A folder of a small random model."""
    hub.save(load(getattr(request, "param", "joint")), tmp_path / "base")
    return tmp_path


@pytest.mark.parametrize(
    ("folder", "decides"),
    [("joint", "hybrid+rerank"), ("splade", "hybrid"), ("colbert", "bm25+rerank")],
    indirect=["folder"],
)
def test_a_model_is_trained_measured_and_saved(folder: Path, decides: str) -> None:
    events = Events()
    report = adapt(str(folder / "base"), texts(80), folder / "out", events, SHORT)
    (plan,) = events.of("plan")
    assert [step["step"] for step in events.of("step")] == [1, 2, 3]
    assert plan["sources"][0]["name"] == "queries made of 80 documents"
    assert report["decides"] == decides == list(report["stages"])[-1] == list(plan["before"])[-1]
    assert {f"{share:g}" for share in SHARES} == set(report["shares"])
    assert report["shares"][f"{report['share']:g}"] == max(report["shares"].values())
    assert (report["stages"]["bm25"]["wins"], report["stages"]["bm25"]["losses"]) == (0, 0)
    one = report["stages"][decides]
    assert report["better"] == (one["b"] > one["a"] and not report["worse"])
    base, model = (hub.load(folder / name, device="cpu", dtype="fp32") for name in ("base", "out"))
    assert (model.architecture, model.dim) == (base.architecture, base.dim)
    assert model.digest != base.digest
    words = [m.backbone.model.get_input_embeddings().weight for m in (base, model)]
    torch.testing.assert_close(*words)
    assert (folder / "out" / "README.md").read_text().count(f"| {decides} |") == 1


def test_a_run_that_was_stopped_goes_on_to_the_same_model(folder: Path) -> None:
    base, options = str(folder / "base"), replace(SHORT, steps=6)
    whole = adapt(base, texts(80), folder / "whole", Events(), options)

    class Stopped(Events):
        def __call__(self, kind: str, values: Mapping[str, Any]) -> None:
            super().__call__(kind, values)
            if kind == "step" and values["step"] == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        adapt(base, texts(80), folder / "again", Stopped(), options)
    events = Events()
    # What the index holds by now does not matter.
    again = adapt(base, texts(70, seed=1), folder / "again", events, options)
    assert {**again, "folder": "", "seconds": 0} == {**whole, "folder": "", "seconds": 0}
    assert completed_steps(folder / "again" / "training") == 6
    assert adapt(base, {}, folder / "again", events, options)["stages"] == whole["stages"]
    assert events.of("plan")[-1]["done"] == 6


def test_the_time_and_the_examples_bound_the_steps(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapting, "_MOST_EXAMPLES", 14)
    events = Events()
    adapt(str(folder / "base"), texts(80), folder / "time", events, replace(SHORT, minutes=1e-9))
    assert events.of("plan")[-1]["steps"] == 1
    adapt(str(folder / "base"), texts(60), folder / "passes", events, replace(SHORT, steps=1000))
    assert (events.of("plan")[-1]["steps"], events.of("plan")[-1]["passes"]) == (11, 44 / 14)


def test_a_teacher_takes_the_place_of_the_model_itself(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoints.sentence_encoder(folder / "teacher")
    checkpoints.sentence_encoder(folder / "other", seed=3)
    monkeypatch.setattr(adapting, "SelfTeacher", None)
    teachers = (str(folder / "teacher"), str(folder / "other"))
    for number in (1, 2):
        chosen = replace(SHORT, teachers=teachers[:number])
        assert adapt(str(folder / "base"), texts(80), folder / f"out{number}", Events(), chosen)["steps"] == 3


def test_codebook_and_query_table_fit_the_new_weights(folder: Path) -> None:
    base = hub.load(folder / "base", device="cpu", dtype="fp32")
    train_codebook(base, [text for _, text in texts(40).values()], 8)
    base.query_table = torch.ones(len(base.vocabulary))
    hub.save(base, folder / "base")
    adapt(str(folder / "base"), texts(80), folder / "out", Events(), SHORT)
    model = hub.load(folder / "out", device="cpu", dtype="fp32")
    assert model.codebook is not None
    assert base.codebook is not None
    assert len(model.codebook.centroids) == 8
    assert model.codebook.digest != base.codebook.digest
    assert model.query_table is not None
    assert len(set(model.query_table.tolist())) > 2


def test_judged_queries_take_the_place_of_made_ones(folder: Path) -> None:
    documents = texts(80)
    judged = JudgedSet(documents, {"a": "the brain"}, {"a": {"3": 1}})
    report = adapt(str(folder / "base"), documents, folder / "out", Events(), SHORT, judged)
    assert (report["measured_on"], report["queries"], report["scored"]) == ("judged", 1, 80)
    assert "judged queries, over 80 documents" in (folder / "out" / "README.md").read_text()


def test_a_model_that_finds_less_is_not_better(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def worse(mean: torch.nn.Module, *_: object) -> None:
        with torch.no_grad():
            for parameter in mean.parameters():
                parameter.zero_()

    monkeypatch.setattr(adapting, "_complete", worse)
    report = adapt(str(folder / "base"), texts(200), folder / "out", Events(), SHORT)
    assert not report["better"]
    assert "sparse" in report["worse"]


def test_what_cannot_be_adapted_names_the_next_step(folder: Path) -> None:
    base = str(folder / "base")
    with pytest.raises(CheckpointError, match=r"the model that is to be adapted.*--out"):
        adapt(base, texts(80), folder / "base", Events(), SHORT)
    with pytest.raises(DataError, match="--documents"):
        adapt(base, texts(20), folder / "out", Events(), SHORT)
    checkpoints.neural_cherche(folder / "embed", masks=2, projection=8)
    with pytest.raises(CheckpointError, match="sparse_embed model — name a joint or splade or colbert model"):
        adapt(str(folder / "embed"), texts(80), folder / "out", Events(), SHORT)
    adapt(base, texts(80), folder / "out", Events(), SHORT)
    with pytest.raises(ValueError, match=r"holds a run with steps 3, not 4.*--out"):
        adapt(base, texts(80), folder / "out", Events(), replace(SHORT, steps=4))
