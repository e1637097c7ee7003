from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from cherche_models import backbone
from cherche_models.errors import CheckpointError, UnsafeCheckpointError
from tests import checkpoints

SHAPE = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
FAMILIES = {
    "Bert": SHAPE,
    "Roberta": {**SHAPE, "max_position_embeddings": 40},
    "MPNet": {**SHAPE, "max_position_embeddings": 40},
    "Electra": {**SHAPE, "embedding_size": 8},
    "Albert": {**SHAPE, "embedding_size": 8},
    "ModernBert": {**SHAPE, "max_position_embeddings": 38, "bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1}
    | {"sep_token_id": 2, "pad_token_id": 0, "global_attn_every_n_layers": 1},
    "DistilBert": {"vocab_size": 50, "dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32},
}


def configured(folder: Path, **settings: object) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **settings}))
    return folder


@pytest.mark.parametrize("family", FAMILIES)
def test_transform_and_decoder_give_the_logits_of_the_whole_model(family: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(**FAMILIES[family])
    whole = getattr(transformers, f"{family}ForMaskedLM")(config).eval()
    whole.save_pretrained(tmp_path)
    body = backbone.load(tmp_path, vocabulary=True)
    ids = torch.randint(5, 50, (2, 7))
    mask = torch.tensor([[1] * 7, [1] * 5 + [0] * 2])
    with torch.inference_mode():
        expected = whole(input_ids=ids, attention_mask=mask).logits
        found = body.decoder(body.transform(body(ids, mask)))
    torch.testing.assert_close(found[mask.bool()], expected[mask.bool()])
    assert body.hidden_size == 16


def test_a_copy_transforms_with_its_own_weights(masked_lm: Path) -> None:
    body = backbone.load(masked_lm, vocabulary=True)
    other = copy.deepcopy(body)
    with torch.no_grad():
        other.model.cls.predictions.transform.dense.weight.zero_()
    hidden = torch.randn(1, checkpoints.HIDDEN)
    assert not torch.equal(body.transform(hidden), other.transform(hidden))


def test_old_names_of_layer_norms_load(masked_lm: Path, tmp_path: Path) -> None:
    new = backbone.load(masked_lm, vocabulary=True)
    old = backbone.load(checkpoints.old_layer_norms(checkpoints.masked_lm(tmp_path / "old")), vocabulary=True)
    for (name, here), (_, there) in zip(new.named_parameters(), old.named_parameters(), strict=True):
        assert torch.equal(here, there), name


def test_an_encoder_loads_without_the_head_of_its_checkpoint(masked_lm: Path) -> None:
    body = backbone.load(masked_lm, vocabulary=False)
    assert not body.has_vocabulary
    with pytest.raises(ValueError, match="no masked-LM head of a known kind"):
        _ = body.decoder
    with pytest.raises(ValueError, match="no masked-LM head of a known kind"):
        body.transform(torch.zeros(1, 32))


def test_missing_weights_are_refused_not_random(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"lacks .* tensors .* random"):
        backbone.load(checkpoints.encoder(tmp_path), vocabulary=True)


def test_weights_of_another_shape_are_refused(tmp_path: Path) -> None:
    folder = checkpoints.masked_lm(tmp_path)
    tensors = load_file(folder / "model.safetensors")
    tensors["bert.embeddings.word_embeddings.weight"] = torch.zeros(7, checkpoints.HIDDEN)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"word_embeddings.weight of the shape \(7, .*vocab_size"):
        backbone.load(folder, vocabulary=True)


@pytest.mark.parametrize("vocabulary", [True, False])
@pytest.mark.parametrize("layers", [0, 1])
def test_layers_that_the_configuration_does_not_count_are_not_left_out(
    layers: int, vocabulary: bool, tmp_path: Path
) -> None:
    folder = configured(checkpoints.masked_lm(tmp_path), num_hidden_layers=layers)
    with pytest.raises(
        CheckpointError, match=r"tensors of 2 layers \(bert.encoder.layer.1.*num_hidden_layers"
    ) as refused:
        backbone.load(folder, vocabulary=vocabulary)
    assert refused.value.next_step.startswith("set num_hidden_layers to 2")


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("num_hidden_layers", 3, r"lacks 16 of the tensors it needs \(bert.encoder.layer.2"),
        ("num_hidden_layers", "2", "'num_hidden_layers' expected int, got str"),
        ("hidden_size", 64, "but the sizes in its config.json"),
        ("intermediate_size", 7, r"intermediate.dense.* make it \(7"),
        ("max_position_embeddings", 5, r"position_embeddings.* make it \(5"),
        ("num_attention_heads", 5, "not a multiple of the number of attention heads"),
        ("num_attention_heads", 0, "cannot be loaded: integer .* by zero"),
        ("pad_token_id", 10**6, "cannot be loaded: Padding_idx"),
        ("hidden_act", "foo", "'foo'"),
        ("layer_norm_eps", "x", "'layer_norm_eps' expected float"),
    ],
)
def test_a_configuration_that_the_tensors_contradict_is_refused_by_name(
    name: str, value: object, reason: str, tmp_path: Path
) -> None:
    folder = configured(checkpoints.masked_lm(tmp_path), **{name: value})
    with pytest.raises(CheckpointError, match=reason):
        backbone.load(folder, vocabulary=True)


def test_missing_and_damaged_files(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no config\.json"):
        backbone.load(tmp_path, vocabulary=True)
    folder = checkpoints.masked_lm(tmp_path / "model")
    (folder / "model.safetensors").write_bytes(b"not safetensors at all")
    with pytest.raises(CheckpointError, match="cannot be loaded"):
        backbone.load(folder, vocabulary=True)
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"no model\.safetensors"):
        backbone.load(folder, vocabulary=True)


def test_pickled_weights_need_a_word(tmp_path: Path) -> None:
    folder = checkpoints.masked_lm(tmp_path)
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    expected = backbone.load(folder, vocabulary=True)
    (folder / "model.safetensors").unlink()
    with pytest.raises(UnsafeCheckpointError, match="allow_pickle"):
        backbone.load(folder, vocabulary=True)
    loaded = backbone.load(folder, vocabulary=True, allow_pickle=True)
    assert torch.equal(loaded.decoder.weight, expected.decoder.weight)


def test_loading_is_silent(masked_lm: Path, capfd: pytest.CaptureFixture[str]) -> None:
    backbone.load(masked_lm, vocabulary=False)
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""


def test_a_tied_decoder_is_stored_once(masked_lm: Path, tmp_path: Path) -> None:
    backbone.load(masked_lm, vocabulary=True).save(tmp_path)
    assert not [name for name in load_file(tmp_path / "model.safetensors") if "decoder.weight" in name]


CODE = {"AutoConfig": "somebody/flash--configuration.FlashConfig", "AutoModel": "somebody/flash--modeling.FlashModel"}


def test_a_package_that_a_checkpoint_needs_is_named(tmp_path: Path) -> None:
    folder = checkpoints.masked_lm(tmp_path)
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "quantization_config": {"load_in_8bit": True}}))
    with pytest.raises(CheckpointError, match=r"cannot be loaded: .*bitsandbytes"):
        backbone.load(folder, vocabulary=True)


@pytest.mark.parametrize("kind", ["new", "bert"])
def test_code_of_its_author_is_named_as_the_reason(kind: str, tmp_path: Path) -> None:
    folder = checkpoints.masked_lm(tmp_path)
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "model_type": kind, "auto_map": CODE}))
    tensors = load_file(folder / "model.safetensors")
    renamed = {name.replace("attention.self.query", "mixer.Wq"): tensor for name, tensor in tensors.items()}
    save_file(renamed, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"needs code of its author \(somebody/flash--configuration") as caught:
        backbone.load(folder, vocabulary=True)
    assert "which is never run here" in str(caught.value)
    assert repr(kind) in caught.value.next_step


def test_an_exact_gelu_is_told_from_its_approximations() -> None:
    known = transformers.activations.ACT2FN
    assert [name for name in ("gelu", "gelu_new", "gelu_python", "relu") if backbone.is_exact_gelu(known[name])] == [
        "gelu"
    ]
