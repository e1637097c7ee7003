from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub.errors import LocalEntryNotFoundError
from safetensors.torch import load_file

from cherche_models import hub
from cherche_models.errors import CheckpointError, UnsafeCheckpointError
from cherche_models.layouts import digest
from cherche_models.layouts.request import Architecture
from cherche_models.models import ColBERT, InferenceFree, Joint, Model, SparseEmbed, Splade
from cherche_models.tokenizer import TextFormat
from tests import checkpoints

TEXTS = ["neural sparse search.", "the brain, of a cell", "", "protein " * 90]


def load(folder: Path, **options: object) -> Model:
    return hub.load(folder, device="cpu", dtype="fp32", **options)


def assert_same(one: Model, other: Model) -> None:
    assert type(one) is type(other)
    assert one.formats == other.formats
    for kind in ("document", "query"):
        for a, b in zip(one.encode(TEXTS, kind), other.encode(TEXTS, kind), strict=True):
            assert a.weights == b.weights
            assert (a.embeddings is None) == (b.embeddings is None)
            if a.embeddings is not None:
                np.testing.assert_array_equal(a.embeddings.vectors, b.embeddings.vectors)


LAYOUTS: dict[str, tuple[Callable[[Path], Path], type[Model]]] = {
    "masked-LM": (checkpoints.masked_lm, Splade),
    "old LayerNorm": (lambda folder: checkpoints.old_layer_norms(checkpoints.masked_lm(folder)), Splade),
    "neural-cherche ColBERT": (lambda folder: checkpoints.neural_cherche(folder, projection=8), ColBERT),
    "neural-cherche SPLADE": (lambda folder: checkpoints.neural_cherche(folder, masks=3), Splade),
    "neural-cherche SparseEmbed": (
        lambda folder: checkpoints.neural_cherche(folder, masks=3, projection=8),
        SparseEmbed,
    ),
    "PyLate": (checkpoints.pylate, ColBERT),
    "PyLate with a residual": (lambda folder: checkpoints.pylate(folder, residual=True), ColBERT),
    "Stanford": (checkpoints.stanford, ColBERT),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_layout_is_recognised_and_comes_back_after_saving(layout: str, tmp_path: Path) -> None:
    make, kind = LAYOUTS[layout]
    model = load(make(tmp_path / "made"))
    assert type(model) is kind
    hub.save(model, tmp_path / "saved")
    assert_same(model, load(tmp_path / "saved"))


def test_a_joint_model_comes_back_with_its_settings(joint: Joint, tmp_path: Path) -> None:
    dot = joint.tokenizer.id_of(".")
    assert dot is not None
    model = Joint(joint.backbone, joint.tokenizer, TextFormat(40), TextFormat(12, expand=True), dim=8, skip=[dot])
    model.sparse_boost, model.rerank_weight = 2.5, 0.75
    hub.save(model, tmp_path)
    loaded = load(tmp_path)
    assert_same(model, loaded)
    assert (loaded.sparse_boost, loaded.rerank_weight) == (2.5, 0.75)
    assert type(load(tmp_path, architecture="splade")) is Splade
    only_late = load(tmp_path, architecture="colbert")
    assert type(only_late) is ColBERT
    for a, b in zip(only_late.encode(TEXTS, "document"), model.encode(TEXTS, "document"), strict=True):
        np.testing.assert_allclose(a.embeddings.vectors, b.embeddings.vectors, atol=1e-6)


def test_inference_free_comes_back(splade: Splade, tmp_path: Path) -> None:
    torch.manual_seed(3)
    model = InferenceFree(
        splade.backbone, splade.tokenizer, torch.rand(len(splade.vocabulary)), activation="log1p_relu"
    )
    hub.save(model, tmp_path)
    assert_same(model, load(tmp_path))
    assert type(load(tmp_path, architecture="splade")) is Splade


def test_half_precision_halves_the_file_and_is_told_in_the_configuration(joint: Joint, tmp_path: Path) -> None:
    hub.save(joint, tmp_path / "whole")
    hub.save(joint, tmp_path / "half", dtype="fp16")
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("whole", "half")]
    assert sizes[1] < 0.6 * sizes[0]
    assert {t.dtype for t in load_file(tmp_path / "half" / "model.safetensors").values()} == {torch.float16}
    assert json.loads((tmp_path / "half" / "config.json").read_text())["dtype"] == "float32"
    a, b = (load(tmp_path / name).encode(TEXTS, "document")[0].embeddings.vectors for name in ("whole", "half"))
    np.testing.assert_allclose(a, b, atol=0.01)


def test_neural_cherche_is_what_its_code_computes(tmp_path: Path) -> None:
    """Mask tokens after the text, and the top k of log(1 + ReLU) with k the maximum length."""
    folder = checkpoints.neural_cherche(tmp_path, masks=3)
    model = load(folder)
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    theirs, words = AutoModelForMaskedLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    inputs = words(["neural search [MASK] [MASK] [MASK]"], return_tensors="pt", truncation=True, max_length=24)
    with torch.inference_mode():
        weights = torch.log1p(torch.relu(theirs(**inputs).logits)).amax(dim=1)[0]
    top = weights.topk(24)
    (encoding,) = model.encode(["neural search"], "document")
    assert encoding.weights.ids.tolist() == sorted(top.indices[top.values > 0].tolist())
    np.testing.assert_allclose(encoding.weights.weights, weights[encoding.weights.ids.astype(int)], atol=1e-5)


def test_dense_modules_in_a_row_are_one_projection(tmp_path: Path) -> None:
    folder = checkpoints.pylate(tmp_path, dim=16)
    first = load(folder)
    shutil.copytree(folder / "1_Dense", folder / "2_Dense")
    listed = json.loads((folder / "modules.json").read_text())
    listed.append({"idx": 2, "name": "2", "path": "2_Dense", "type": "pylate.models.Dense.Dense"})
    (folder / "modules.json").write_text(json.dumps(listed))
    second = torch.randn(4, 16)
    from safetensors.torch import save_file

    save_file({"linear.weight": second}, folder / "2_Dense" / "model.safetensors")
    rows = first.projection.linear.weight.detach()
    torch.testing.assert_close(load(folder).projection.linear.weight.detach(), second @ rows)


def test_a_dense_module_that_is_not_linear(tmp_path: Path) -> None:
    folder = checkpoints.pylate(tmp_path)
    config = json.loads((folder / "1_Dense" / "config.json").read_text())
    (folder / "1_Dense" / "config.json").write_text(json.dumps({**config, "activation_function": "torch.nn.Tanh"}))
    with pytest.raises(CheckpointError, match="bias-free linear"):
        load(folder)


def test_a_marker_that_the_tokenizer_lacks(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"marks texts with '\[X\] '"):
        load(checkpoints.pylate(tmp_path, query_prefix="[X] "))


def test_an_unknown_module(tmp_path: Path) -> None:
    folder = checkpoints.masked_lm(tmp_path)
    kinds = ["Transformer", "SpladePooling", "CSRSparsity"]
    listed = [{"idx": i, "name": str(i), "path": "", "type": f"x.{kind}"} for i, kind in enumerate(kinds)]
    (folder / "modules.json").write_text(json.dumps(listed))
    with pytest.raises(CheckpointError, match="CSRSparsity"):
        load(folder)


def test_a_pickle_that_is_code_is_refused(tmp_path: Path) -> None:
    folder = checkpoints.neural_cherche(tmp_path, projection=8)
    torch.save({"weight": Evil(tmp_path / "ran")}, folder / "linear.pt")
    with pytest.raises(UnsafeCheckpointError, match=r"linear\.pt holds more than tensors"):
        load(folder)
    assert not (tmp_path / "ran").exists()


class Evil:
    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (self.path,)


def test_architectures_that_a_folder_cannot_give(masked_lm: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no trained projection"):
        load(masked_lm, architecture="colbert")
    with pytest.raises(CheckpointError, match="cannot be loaded as splade"):
        load(checkpoints.pylate(tmp_path), architecture="splade")
    with pytest.raises(ValueError, match="unknown architecture"):
        load(masked_lm, architecture="bm25")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"sparse_boost": "much"}', "sparse_boost is 'much'"),
        ('{"document": {"lenght": 3}}', "unknown settings lenght"),
        ("[]", "no JSON object"),
        ("{", "not JSON"),
    ],
)
def test_damaged_settings(text: str, reason: str, tmp_path: Path) -> None:
    folder = checkpoints.masked_lm(tmp_path)
    (folder / "cherche.json").write_text(text)
    with pytest.raises(CheckpointError, match=reason):
        load(folder)


def test_folders_that_are_no_models(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is not a folder"):
        hub.load(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match="is not a folder"):
        hub.load("./nowhere")
    with pytest.raises(CheckpointError, match=r"no config\.json"):
        hub.load(tmp_path)


def test_a_hub_id_is_downloaded_and_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = checkpoints.masked_lm(tmp_path)
    asked = []

    def download(name: str, *, revision: str | None, allow_patterns: list[str]) -> str:
        asked.append((name, revision))
        assert "*.safetensors" in allow_patterns
        assert not any(pattern.endswith((".py", ".bin*", "*")) for pattern in allow_patterns)
        return str(folder)

    monkeypatch.setattr(hub, "snapshot_download", download)
    assert_same(hub.load("someone/model", revision="v1", device="cpu", dtype="fp32"), load(folder))
    assert asked == [("someone/model", "v1")]


def test_a_hub_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def download(*args: object, **kwargs: object) -> str:
        raise LocalEntryNotFoundError("no network")

    monkeypatch.setattr(hub, "snapshot_download", download)
    with pytest.raises(CheckpointError, match="neither a folder here nor a model that the hub gives out"):
        hub.load("someone/model")


def test_prompts_of_sentence_transformers_are_used(tmp_path: Path) -> None:
    folder = checkpoints.masked_lm(tmp_path)
    (folder / "config_sentence_transformers.json").write_text(
        json.dumps({"prompts": {"query": "query ", "passage": "document "}})
    )
    model = load(folder)
    assert (model.formats["query"].prompt, model.formats["document"].prompt) == ("query ", "document ")


def test_the_digest_covers_what_changes_results_and_nothing_else(joint: Joint, tmp_path: Path) -> None:
    hub.save(joint, tmp_path)
    first = hub.digest(tmp_path)
    assert len(first) == 64
    (tmp_path / "README.md").write_text("a card")
    (tmp_path / "trainer_state.json").write_text("{}")
    (tmp_path / "onnx").mkdir()
    (tmp_path / "onnx" / "config.json").write_text("{}")
    _edit(tmp_path / "cherche.json", sparse_boost=9.0)
    _edit(tmp_path / "config.json", transformers_version="99")
    assert hub.digest(tmp_path) == first
    seen = {first, hub.digest(tmp_path, "colbert")}
    for path, change in {
        "config_sentence_transformers.json": {"prompts": {"query": "q: "}},
        "colbert/config.json": {"skiplist_words": ["of"]},
        "cherche.json": {"query": {"max_length": 9}},
        "config.json": {"layer_norm_eps": 1e-3},
    }.items():
        _edit(tmp_path / path, **change)
        seen.add(hub.digest(tmp_path))
    weights = tmp_path / "colbert" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"\0\0\0\1")
    seen.add(hub.digest(tmp_path))
    assert len(seen) == 7


def test_the_digest_reads_a_file_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = checkpoints.masked_lm(tmp_path)
    hub.digest(folder)
    monkeypatch.setattr(digest, "_hash", lambda path: pytest.fail(f"{path} was read again"))
    hub.digest(folder)


def test_a_loaded_model_knows_its_digest(masked_lm: Path) -> None:
    assert load(masked_lm).digest == hub.digest(masked_lm, "splade")


def test_no_digest_of_nothing(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no model files"):
        hub.digest(tmp_path)


def _edit(path: Path, **change: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))


def sentence_transformer(folder: Path, inside: str = "") -> Path:
    """A checkpoint with mean pooling, its transformer in a folder of its own as old ones have it."""
    checkpoints.encoder(folder / inside)
    kinds = [("Transformer", inside), ("Pooling", "1_Pooling")]
    (folder / "modules.json").write_text(
        json.dumps(
            [{"idx": i, "path": path, "type": f"sentence_transformers.models.{k}"} for i, (k, path) in enumerate(kinds)]
        )
    )
    return folder


@pytest.mark.parametrize("inside", ["", "0_Transformer"])
def test_any_sentence_transformer_becomes_a_colbert(inside: str, tmp_path: Path) -> None:
    folder = sentence_transformer(tmp_path / "sentences", inside)
    with pytest.raises(CheckpointError, match="load it with new_head=True"):
        hub.load(folder, device="cpu", architecture="colbert")
    with pytest.raises(CheckpointError, match="use a masked-LM checkpoint for term weights"):
        hub.load(folder, device="cpu", architecture="splade")
    model = hub.load(folder, device="cpu", dtype="fp32", architecture="colbert", new_head=True, dim=8)
    hub.save(model, tmp_path / "saved")
    again = hub.load(tmp_path / "saved", device="cpu", dtype="fp32")
    for one, other in zip(model.encode(["brain cell"], "query"), again.encode(["brain cell"], "query"), strict=True):
        np.testing.assert_allclose(one.embeddings.vectors, other.embeddings.vectors, atol=1e-6)


@pytest.mark.parametrize("architecture", ["splade", "sparse_embed", "joint", "colbert"])
def test_masked_lm_and_splade_checkpoints_become_everything(
    architecture: Architecture, masked_lm: Path, splade: Splade, tmp_path: Path
) -> None:
    hub.save(splade, tmp_path / "splade")
    for source in (masked_lm, tmp_path / "splade"):
        model = hub.load(source, device="cpu", dtype="fp32", architecture=architecture, new_head=True, dim=8)
        assert model.architecture == architecture
        out = tmp_path / f"{source.name}-{architecture}"
        hub.save(model, out)
        assert hub.load(out, device="cpu", dtype="fp32").architecture == architecture


def test_a_new_sparse_embed_keeps_the_prompts_and_bounds_its_terms(tmp_path: Path) -> None:
    folder = checkpoints.masked_lm(tmp_path)
    (folder / "config_sentence_transformers.json").write_text(json.dumps({"prompts": {"query": "ask: "}}))
    model = hub.load(folder, device="cpu", architecture="sparse_embed", new_head=True)
    assert (model.formats["query"].prompt, model.formats["query"].terms) == ("ask: ", 64)
    assert model.formats["document"].terms == 256
