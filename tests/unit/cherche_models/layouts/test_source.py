"""A model's folder: the one named, or the copy in the hub's cache."""

from __future__ import annotations

from pathlib import Path

import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from cherche_models import hub, models
from cherche_models.errors import CheckpointError
from cherche_models.layouts import source
from tests import checkpoints
from tests.unit.cherche_models.layouts.peers import assert_same, load


def test_a_hub_id_is_downloaded_and_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = checkpoints.masked_lm(tmp_path)
    asked = []

    def download(name: str, *, revision: str | None, allow_patterns: list[str]) -> str:
        asked.append((name, revision))
        assert "*.safetensors" in allow_patterns
        assert not any(pattern.endswith((".py", ".bin*", "*")) for pattern in allow_patterns)
        return str(folder)

    monkeypatch.setattr(source, "snapshot_download", download)
    assert_same(hub.load("someone/model", revision="v1", device="cpu", dtype="fp32"), load(folder))
    assert_same(models.Splade("someone/model", n_mask_tokens=0, device="cpu"), models.Splade(folder, n_mask_tokens=0))
    assert asked == [("someone/model", "v1"), ("someone/model", None)]


def test_a_hub_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def download(*args: object, **kwargs: object) -> str:
        raise LocalEntryNotFoundError("no network")

    monkeypatch.setattr(source, "snapshot_download", download)
    with pytest.raises(CheckpointError, match="neither a folder here nor a model that the hub gives out") as refused:
        hub.load("someone/model")
    assert "did you mean" not in refused.value.next_step
    with pytest.raises(CheckpointError) as refused:
        hub.load("cherche-smal")
    assert refused.value.next_step.startswith("did you mean cherche-small, which ships with the package?")


def test_a_model_of_the_package_is_named_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert source.resolve("cherche-tiny") == source.PRETRAINED / "cherche-tiny"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cherche-tiny").mkdir()
    assert source.resolve("cherche-tiny") == Path("cherche-tiny"), "a folder here comes first"
