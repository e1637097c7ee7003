"""Loading through the public module; and what goes up to the hub: the model, a card, nothing that could run code."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from huggingface_hub import ModelCard
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

from cherche_models import hub, quantized
from cherche_models.errors import CheckpointError
from cherche_models.layouts import source
from cherche_models.models import InferenceFree, Joint, Splade
from cherche_models.runtime.calibration import choice
from cherche_models.runtime.device import dtype_name
from tests import checkpoints
from tests.unit.cherche_models.layouts.peers import assert_same, load


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


def test_weights_start_where_products_do_not_depend_on_the_file(masked_lm: Path, tmp_path: Path) -> None:
    model = load(masked_lm, architecture="joint", new_head=True, dim=8)
    hub.save(model, tmp_path)
    again = load(tmp_path)
    assert {parameter.data_ptr() % 64 for one in (model, again) for parameter in one.parameters()} == {0}
    assert again.backbone.decoder.weight is again.backbone.model.get_input_embeddings().weight
    assert_same(model, again)


@pytest.mark.parametrize(("bf16", "expected"), [(0.5, "bf16"), (2.0, "fp32")])
def test_a_model_says_why_it_has_its_type(
    masked_lm: Path, monkeypatch: pytest.MonkeyPatch, bf16: float, expected: str
) -> None:
    found = choice({"fp32": 1.0, "bf16": bf16})
    monkeypatch.setattr(hub, "preferred", lambda device, hidden: found if hidden else None)
    model = hub.load(masked_lm, device="cpu")
    assert (dtype_name(model.dtype), model.dtype_reason) == (expected, found.reason)
    assert hub.load(masked_lm, device="cpu", dtype="fp32").dtype_reason == ""


def test_threads_load_models_beside_each_other(
    masked_lm: Path, splade: Splade, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    defaults: list[torch.dtype] = []
    set_default = torch.set_default_dtype
    monkeypatch.setattr(torch, "set_default_dtype", lambda dtype: (defaults.append(dtype), set_default(dtype)))
    late = checkpoints.pylate(tmp_path)
    wanted = [(masked_lm, "fp32"), (late, "bf16"), (masked_lm, "bf16"), (late, "fp32")] * 2
    with ThreadPoolExecutor(8) as threads:
        loaded = list(threads.map(lambda one: hub.load(one[0], device="cpu", dtype=one[1]), wanted))
    assert [dtype_name(model.dtype) for model in loaded] == [dtype for _, dtype in wanted]
    for first, second in zip(loaded[:4], loaded[4:], strict=True):
        for (name, here), (_, there) in zip(first.named_parameters(), second.named_parameters(), strict=True):
            assert torch.equal(here, there), name
    for (name, here), (_, there) in zip(loaded[0].named_parameters(), splade.named_parameters(), strict=True):
        assert torch.equal(here, there), name
    # A model that encodes meanwhile makes its tensors of the default type.
    assert set(defaults) <= {torch.float32}


@pytest.mark.parametrize("architecture", ["splade", "joint", "colbert", "sparse_embed"])
def test_int8_weights_come_back_in_every_layout(architecture: str, masked_lm: Path, tmp_path: Path) -> None:
    """The same numbers as from a file of floats that holds what the integers stand for."""
    model = load(masked_lm, architecture=architecture, new_head=True, dim=16)
    hub.save(model, tmp_path / "int8", dtype="int8")
    names = {path.name for path in (tmp_path / "int8").iterdir()}
    assert quantized.FILE in names
    assert "model.safetensors" not in names
    found = load(tmp_path / "int8", architecture=architecture)
    with torch.no_grad():
        for tensor in model.backbone.parameters():
            if tensor.dim() == 2 and tensor.numel() >= 4096:
                tensor.copy_(quantized.dequantize(*quantized.quantize(tensor)))
    assert_same(found, model)
    assert found.digest == hub.digest(tmp_path / "int8", architecture)


def test_int8_weights_of_documents_behind_a_table_of_queries(splade: Splade, tmp_path: Path) -> None:
    model = InferenceFree(splade.backbone, splade.tokenizer, torch.rand(len(splade.vocabulary)))
    hub.save(model, tmp_path, dtype="int8")
    (ours,), (theirs,) = (one.encode(["neural search"], "query") for one in (model, load(tmp_path)))
    assert ours.weights == theirs.weights


def test_one_folder_holds_one_set_of_weights(joint: Joint, tmp_path: Path) -> None:
    for dtype, name in ((None, "model.safetensors"), ("int8", quantized.FILE), ("fp16", "model.safetensors")):
        hub.save(joint, tmp_path, dtype=dtype)
        assert [path.name for path in tmp_path.glob("*.safetensors")] == [name]
    with pytest.raises(ValueError, match="unknown dtype 'int4'"):
        hub.save(joint, tmp_path, dtype="int4")


def test_the_same_model_gives_the_same_int8_digest(joint: Joint, tmp_path: Path) -> None:
    digests = []
    for name in ("first", "second"):
        hub.save(joint, tmp_path / name, dtype="int8")
        digests.append(hub.digest(tmp_path / name))
    hub.save(load(tmp_path / "first"), tmp_path / "third", dtype="int8")
    assert digests == [hub.digest(tmp_path / "first")] * 2
    hub.save(joint, tmp_path / "first", dtype="fp16")
    assert hub.digest(tmp_path / "first") not in digests


def test_another_library_refuses_int8_weights_and_does_not_misread_them(splade: Splade, tmp_path: Path) -> None:
    from sentence_transformers import SparseEncoder

    hub.save(splade, tmp_path, dtype="int8")
    with pytest.raises(OSError, match=r"model\.safetensors"):
        SparseEncoder(str(tmp_path), device="cpu")


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


@pytest.mark.parametrize("error", [OfflineModeIsEnabled, HfHubHTTPError.__bases__[0], TimeoutError])
def test_a_hub_out_of_reach(error: type[Exception], joint: Joint, monkeypatch: pytest.MonkeyPatch) -> None:
    class Unreachable:
        def __init__(self, **_: object) -> None: ...

        def create_repo(self, *_: object, **__: object) -> None:
            raise error("no route to host")

    monkeypatch.setattr(hub, "HfApi", Unreachable)
    with pytest.raises(CheckpointError, match=r"does not take me/mine \(no route to host\) — check the name"):
        hub.push_to_hub(joint, "me/mine")


def test_a_model_that_the_hub_cannot_give_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> str:
        raise HfHubHTTPError.__bases__[0]("no route to host")

    monkeypatch.setattr(source, "snapshot_download", unreachable)
    with pytest.raises(CheckpointError, match=r"neither a folder here nor .* \(no route to host\)"):
        hub.load("me/mine")
