"""Loading through the public module; and what goes up to the hub: the model, a card, nothing that could run code."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from huggingface_hub import ModelCard
from huggingface_hub.errors import HFValidationError

from cherche_models import hub
from cherche_models.errors import CheckpointError
from cherche_models.models import Joint
from tests import checkpoints
from tests.unit.cherche_models.layouts.peers import load


def test_architectures_that_a_folder_cannot_give(masked_lm: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no trained projection"):
        load(masked_lm, architecture="colbert")
    with pytest.raises(CheckpointError, match="cannot be loaded as splade"):
        load(checkpoints.pylate(tmp_path), architecture="splade")
    with pytest.raises(ValueError, match="unknown architecture"):
        load(masked_lm, architecture="bm25")


def test_folders_that_are_no_models(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is not a folder"):
        hub.load(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match="is not a folder"):
        hub.load("./nowhere")
    with pytest.raises(CheckpointError, match=r"no config\.json"):
        hub.load(tmp_path)


class Hub:
    """Keeps what is uploaded in a folder, by the library's own rules of which files those are."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.calls: list[dict[str, Any]] = []

    def __call__(self, token: str | None = None) -> Hub:
        self.calls.append({"token": token})
        return self

    def create_repo(self, repo_id: str, *, private: bool, exist_ok: bool) -> None:
        if "/" not in repo_id:
            raise HFValidationError(f"{repo_id} has no user")
        self.calls.append({"repo": repo_id, "private": private, "exist_ok": exist_ok})

    def upload_folder(self, *, repo_id: str, folder_path: str, allow_patterns: list[str], commit_message: str) -> Any:
        from huggingface_hub.utils import filter_repo_objects

        files = [path.relative_to(folder_path).as_posix() for path in Path(folder_path).rglob("*") if path.is_file()]
        for name in filter_repo_objects(files, allow_patterns=allow_patterns):
            target = self.folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(Path(folder_path) / name, target)
        return SimpleNamespace(commit_url=f"https://hub/{repo_id}/commit/1")

    def upload_file(self, *, repo_id: str, path_or_fileobj: bytes, path_in_repo: str, commit_message: str) -> Any:
        (self.folder / path_in_repo).write_bytes(path_or_fileobj)
        return SimpleNamespace(commit_url=f"https://hub/{repo_id}/commit/2")


@pytest.fixture
def remote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    found = Hub(tmp_path / "remote")
    monkeypatch.setattr("cherche_models.hub.HfApi", found)
    return found


def test_a_model_is_loaded_back_from_what_went_up(joint: Joint, remote: Hub) -> None:
    assert hub.push_to_hub(joint, "me/mine", private=True, token="secret") == "https://hub/me/mine/commit/2"
    assert remote.calls == [{"token": "secret"}, {"repo": "me/mine", "private": True, "exist_ok": True}]
    found = hub.load(remote.folder, device="cpu", dtype="fp32")
    (ours,), (theirs,) = joint.encode(["neural search"], "document"), found.encode(["neural search"], "document")
    assert ours.weights == theirs.weights


def test_the_card_is_one_that_the_hub_reads(joint: Joint, remote: Hub) -> None:
    hub.push_to_hub(joint, "me/mine")
    card = ModelCard.load(remote.folder / "README.md")
    assert card.data.library_name == "sentence-transformers"
    assert {"splade", "ColBERT"} <= set(card.data.tags or [])
    assert 'hub.load("me/mine")' in card.content
    assert "16 dimensions" in card.content
    assert "licence" in card.content


def test_a_folder_keeps_its_own_card_and_its_pickles_to_itself(joint: Joint, remote: Hub, tmp_path: Path) -> None:
    hub.save(joint, tmp_path / "folder")
    (tmp_path / "folder" / "README.md").write_text("# Mine\n")
    (tmp_path / "folder" / "optimizer.pt").write_bytes(b"pickle")
    (tmp_path / "folder" / "modeling.py").write_text("print('code')")
    hub.push_to_hub(tmp_path / "folder", "me/mine")
    assert (remote.folder / "README.md").read_text() == "# Mine\n"
    assert {path.suffix for path in remote.folder.rglob("*") if path.is_file()} <= {".json", ".safetensors", ".md"}
    hub.push_to_hub(tmp_path / "folder", "me/mine", card="# Other\n")
    assert (remote.folder / "README.md").read_text() == "# Other\n"


def test_a_colbert_says_that_pylate_loads_it(remote: Hub, tmp_path: Path) -> None:
    model = hub.load(checkpoints.pylate(tmp_path / "made"), device="cpu", dtype="fp32")
    hub.push_to_hub(model, "me/mine")
    assert 'models.ColBERT("me/mine")' in (remote.folder / "README.md").read_text()


def test_what_is_no_model_and_what_the_hub_refuses(joint: Joint, remote: Hub, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError):
        hub.push_to_hub(tmp_path / "empty", "me/mine")
    with pytest.raises(CheckpointError, match="the hub does not take mine"):
        hub.push_to_hub(joint, "mine")
