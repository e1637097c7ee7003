"""A checkpoint holds everything that a model is built from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from cherche_models import hub
from cherche_models.errors import CheckpointError
from cherche_models.layouts.checkpoint import COLBERT, LINEAR, Head, read_heads, write_heads
from cherche_models.models import ARCHITECTURES, M3, ColBERT, InferenceFree, Joint, Model, Splade
from cherche_models.tokenizer import TextFormat
from tests import checkpoints
from tests.unit.cherche_models.layouts.peers import assert_same, load

HEADS = {
    "wide": Head({"a.weight": torch.rand(3, 2), "a.bias": torch.rand(3)}, {"width": 3}),
    "narrow": Head({LINEAR: torch.rand(1, 2)}),
}


def model_of(architecture: str, splade: Splade, masked_lm: Path) -> Model:
    if architecture == "inference_free":
        return InferenceFree(splade.backbone, splade.tokenizer, torch.rand(len(splade.vocabulary)), pooling="sum")
    if architecture == "m3":
        return M3(splade.backbone, splade.tokenizer, dim=8)
    return load(masked_lm, architecture=architecture, new_head=True, dim=8)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_model_is_rebuilt_from_its_checkpoint_in_memory_and_from_disk(
    architecture: str, splade: Splade, masked_lm: Path, tmp_path: Path
) -> None:
    model = model_of(architecture, splade, masked_lm)
    model.sparse_boost, model.rerank_weight = 1.5, 0.25
    checkpoint = model.checkpoint()
    # M3's term weights do not come from a masked-LM head.
    assert (checkpoint.architecture, checkpoint.sparse) == (architecture, model.sparse and architecture != "m3")
    assert set(checkpoint.heads) == set(ARCHITECTURES[architecture].heads)
    hub.save(model, tmp_path)
    for again in (ARCHITECTURES[architecture].from_checkpoint(checkpoint), load(tmp_path)):
        assert_same(model, again)
        assert (again.sparse_boost, again.rerank_weight) == (1.5, 0.25)


def test_one_checkpoint_becomes_another_model_with_the_same_heads(joint: Joint) -> None:
    late = ColBERT.from_checkpoint(joint.checkpoint())
    (ours,), (theirs,) = (model.encode(["neural search"], "document") for model in (late, joint))
    torch.testing.assert_close(*(torch.from_numpy(one.embeddings.vectors) for one in (ours, theirs)))
    assert ours.weights is None


def test_skipped_tokens_are_named_by_their_text(joint: Joint) -> None:
    dot = joint.tokenizer.id_of(".")
    assert dot is not None
    model = ColBERT(joint.backbone, joint.tokenizer, TextFormat(40), dim=8, skip=[dot])
    assert model.checkpoint().heads[COLBERT].config["skiplist_words"] == ["."]


def test_heads_of_any_name_and_number_of_tensors_are_read_back(tmp_path: Path) -> None:
    write_heads(HEADS, tmp_path, None)
    found = read_heads(tmp_path, HEADS, torch.float32)
    assert {name: dict(head.config) for name, head in found.items()} == {"wide": {"width": 3}, "narrow": {}}
    for name, head in HEADS.items():
        torch.testing.assert_close(dict(found[name].tensors), dict(head.tensors))


def test_heads_are_stored_in_one_type_and_read_in_another(tmp_path: Path) -> None:
    write_heads(HEADS, tmp_path, torch.float16)
    assert {t.dtype for t in load_file(tmp_path / "wide" / "model.safetensors").values()} == {torch.float16}
    assert json.loads((tmp_path / "wide" / "config.json").read_text()) == {"width": 3}
    found = read_heads(tmp_path, ["wide"], torch.bfloat16)
    assert {tensor.dtype for tensor in found["wide"].tensors.values()} == {torch.bfloat16}


def test_a_head_without_its_tensor_names_the_file(tmp_path: Path) -> None:
    write_heads({"colbert": Head({"other": torch.rand(2, 2)})}, tmp_path, None)
    head = read_heads(tmp_path, ["colbert"], torch.float32)["colbert"]
    with pytest.raises(CheckpointError, match=r"colbert/model\.safetensors has no tensor 'linear\.weight'"):
        head.tensor(LINEAR)
    (tmp_path / "colbert" / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"colbert/model\.safetensors cannot be read"):
        read_heads(tmp_path, ["colbert"], torch.float32)


def test_a_head_of_a_saved_model_that_was_damaged(joint: Joint, tmp_path: Path) -> None:
    hub.save(joint, tmp_path)
    write_heads({COLBERT: Head({"other": torch.rand(2, 2)})}, tmp_path, None)
    with pytest.raises(CheckpointError, match=r"has no tensor 'linear\.weight' — complete the checkpoint"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("setting", "value", "reason"),
    [
        ("in_features", 3, "in_features is 3, but the tensors say 32"),
        ("out_features", 3, "out_features is 3, but the tensors say"),
        ("bias", True, "bias is True, but the tensors say False"),
        ("activation_function", "torch.nn.Tanh", "unknown settings activation_function"),
        ("skiplist_words", 3, "skiplist_words is 3"),
        ("skiplist_words", [3], r"skiplist_words is \[3\]"),
    ],
)
def test_settings_of_a_head_that_its_tensors_contradict(
    setting: str, value: object, reason: str, joint: Joint, tmp_path: Path
) -> None:
    hub.save(joint, tmp_path)
    path = tmp_path / COLBERT / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), setting: value}))
    with pytest.raises(CheckpointError, match=f"colbert/config.json.*{reason}"):
        load(tmp_path)


def test_a_head_of_another_encoder_is_refused(joint: Joint, tmp_path: Path) -> None:
    hub.save(joint, tmp_path)
    write_heads({COLBERT: Head({LINEAR: torch.rand(8, 20)})}, tmp_path, None)
    with pytest.raises(CheckpointError, match="maps from 20 dimensions, the encoder has 32"):
        load(tmp_path)


def test_a_layout_keeps_to_its_own_parts(tmp_path: Path) -> None:
    """PyLate's files hold token embeddings alone: the checkpoint has one head and no term weights."""
    checkpoint = load(checkpoints.pylate(tmp_path)).checkpoint()
    assert (set(checkpoint.heads), checkpoint.sparse) == ({COLBERT}, False)
