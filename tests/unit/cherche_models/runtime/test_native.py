"""Short queries of the compiled kernel are torch's, where it knows the encoder and is faster."""

from __future__ import annotations

import copy
import itertools
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from torch import Tensor

from cherche_models import backbone, hub
from cherche_models.backbone import Backbone
from cherche_models.kernel import library
from cherche_models.kernel.library import Kernel, Loaded
from cherche_models.models import Model
from cherche_models.runtime import native, packed
from cherche_models.runtime.native import Choice, Native, Unknown
from cherche_models.types import Encoding

SHAPE = {"vocab_size": 90, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
QUERIES = ["storm", "the storm was near the coast of the lake", "lake coast", "a quiet river and a storm"]


@pytest.fixture(autouse=True)
def compiled_here(kernels: tuple[Kernel, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "installed", lambda: Loaded(kernels))


def bert(folder: Path, dtype: torch.dtype = torch.float32, vocabulary: bool = True, **settings: object) -> Backbone:
    torch.manual_seed(0)
    config = transformers.BertConfig(**{**SHAPE, **settings}, initializer_range=0.3)
    transformers.BertForMaskedLM(config).save_pretrained(folder)
    return backbone.load(folder, vocabulary=vocabulary, dtype=dtype)


def always(model: Model, most: int = 512) -> Model:
    """A copy of a model whose queries the kernel runs, however fast it is here."""
    found = copy.deepcopy(model)
    found.runtime._choice = Choice(most, "", library.installed().kernels[-1])  # type: ignore[attr-defined]
    return found


def never(model: Model) -> Model:
    found = copy.deepcopy(model)
    found.runtime._choice = Choice(0, "")  # type: ignore[attr-defined]
    return found


def assert_close(ours: Encoding, other: Encoding) -> None:
    for name in ("weights", "embeddings"):
        found, wanted = getattr(ours, name), getattr(other, name)
        assert (found is None) == (wanted is None)
        if name == "weights" and found is not None:
            assert found.ids.tolist() == wanted.ids.tolist()
            np.testing.assert_allclose(found.weights, wanted.weights, rtol=1e-5, atol=1e-5)
        elif found is not None:
            np.testing.assert_allclose(found.vectors, wanted.vectors, atol=1e-5)


@pytest.mark.parametrize("architecture", ["splade", "joint", "colbert"])
def test_queries_are_those_of_torch(masked_lm: Path, architecture: str) -> None:
    model = hub.load(masked_lm, device="cpu", dtype="fp32", architecture=architecture, new_head=True, dim=8)
    ours, torchs = always(model).encode(QUERIES, "query"), never(model).encode(QUERIES, "query")
    for one, other in zip(ours, torchs, strict=True):
        assert_close(one, other)


@pytest.mark.models
@pytest.mark.parametrize("name", ["cherche-tiny", "cherche-small", "splade-tiny"])
def test_queries_of_trained_models_are_those_of_torch(name: str, models_dir: Path) -> None:
    model = hub.load(models_dir / name if name == "splade-tiny" else name, device="cpu", dtype="fp32")
    queries = [
        "wing",
        "effects of vitamin d on bone density in older women",
        "",
        "how do bees find their way home? " * 3,
    ]
    for one, other in zip(always(model).encode(queries, "query"), never(model).encode(queries, "query"), strict=True):
        assert_close(one, other)


def test_a_query_has_the_same_bits_beside_any_others(joint: Model) -> None:
    model = always(joint, most=6)
    together = model.encode(QUERIES, "query")
    for query, found in zip(QUERIES, together, strict=True):
        [alone] = model.encode([query], "query")
        if len(model.tokenize([query], "query")[0]) <= 6:
            assert alone.embeddings is not None
            assert found.embeddings is not None
            assert alone.embeddings.vectors.tobytes() == found.embeddings.vectors.tobytes()
        assert_close(alone, found)


def test_documents_are_torchs(joint: Model) -> None:
    ours, torchs = always(joint).encode(QUERIES, "document"), never(joint).encode(QUERIES, "document")
    for one, other in zip(ours, torchs, strict=True):
        assert one.embeddings is not None
        assert other.embeddings is not None
        assert one.embeddings.vectors.tobytes() == other.embeddings.vectors.tobytes()


def test_bfloat16_is_computed_in_float32(masked_lm: Path) -> None:
    half = hub.load(masked_lm, device="cpu", dtype="bf16")
    exact = copy.deepcopy(half).float()
    for one, other in zip(always(half).encode(QUERIES, "query"), never(exact).encode(QUERIES, "query"), strict=True):
        assert_close(one, other)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"hidden_act": "gelu_new"}, "hidden_act 'gelu'"),
        ({"hidden_act": "relu"}, "hidden_act 'gelu'"),
        ({"is_decoder": True}, "is_decoder False"),
        ({"chunk_size_feed_forward": 2}, "chunk_size_feed_forward 0"),
        ({"hidden_size": 24}, "no multiples of 16"),
        ({"intermediate_size": 40}, "no multiples of 16"),
    ],
)
def test_other_settings_stay_with_torch(tmp_path: Path, settings: dict[str, object], reason: str) -> None:
    body = bert(tmp_path, **settings)
    with pytest.raises(Unknown, match=reason):
        Native(body, library.installed().kernels[0])
    found = native.choose(body, lambda ids: None)
    assert (found.most, found.kernel) == (0, None)
    assert found.reason.startswith("torch, since ")


def test_other_families_stay_with_torch(tmp_path: Path) -> None:
    config = transformers.RobertaConfig(**SHAPE, max_position_embeddings=40, type_vocab_size=1)
    transformers.RobertaForMaskedLM(config).save_pretrained(tmp_path)
    with pytest.raises(Unknown, match="the kernel knows BERT, not RobertaForMaskedLM"):
        Native(backbone.load(tmp_path, vocabulary=True), library.installed().kernels[0])


@pytest.mark.parametrize("change", ["linear", "norm", "activation", "type", "layers", "nan"])
def test_parts_that_are_not_berts_stay_with_torch(tmp_path: Path, change: str) -> None:
    body = bert(tmp_path)
    model = body.model
    layer = model.base_model.encoder.layer[1]
    if change == "linear":
        layer.output.dense = torch.nn.Linear(48, 32, bias=False)
    elif change == "norm":
        layer.output.LayerNorm.eps = 1e-5
    elif change == "activation":
        layer.intermediate.intermediate_act_fn = torch.nn.ReLU()
    elif change == "type":
        layer.output.dense.to(torch.bfloat16)
    elif change == "layers":
        model.base_model.encoder.layer.append(copy.deepcopy(layer))
    else:
        body.decoder.weight.data[3, 3] = torch.nan
    with pytest.raises(Unknown):
        Native(body, library.installed().kernels[0])


def test_an_encoder_that_computes_otherwise_stays_with_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "hidden_states", lambda body, ids, lengths: torch.ones(len(ids), 32))
    found = native.choose(bert(tmp_path), lambda ids: None)
    assert found == Choice(0, "torch, since the kernel computes something else than this encoder does")


def test_without_a_library_queries_are_torchs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "installed", lambda: Loaded(reason="the kernel was not compiled"))
    assert native.choose(bert(tmp_path), lambda ids: None) == Choice(0, "torch, since the kernel was not compiled")


def clock(steps: list[float]) -> Iterator[float]:
    """Of a machine on which the kernel's passes and torch's take what the steps say, in turns."""
    now = 0.0
    for step in itertools.cycle(steps):
        yield now
        now += step
        yield now


@pytest.mark.parametrize(("times", "most"), [((1.0, 3.0), 64), ((3.0, 1.0), 0)])
def test_the_faster_one_is_chosen(tmp_path: Path, times: tuple[float, float], most: int) -> None:
    found = native.choose(bert(tmp_path), lambda ids: None, clock(list(times)).__next__, {})
    name = library.installed().kernels[-1].name
    assert found.most == most
    said = f"({name}) up to 64 tokens, 3.00 times" if most else f"torch, since the kernel ({name}) is 0.33 times"
    assert said in found.reason


def test_up_to_the_length_at_which_torch_is_faster(tmp_path: Path) -> None:
    steps = [1.0, 2.0] * 2 + [1.0, 1.5] * 2 + [2.0, 1.0] * 2
    found = native.choose(bert(tmp_path), lambda ids: None, clock(steps).__next__, {})
    assert found.most == 32
    short = bert(tmp_path, max_position_embeddings=20)
    assert native.choose(short, lambda ids: None, clock([1.0, 2.0]).__next__, {}).most == 20


def test_models_of_a_shape_are_measured_once(tmp_path: Path) -> None:
    body, kept = bert(tmp_path), dict[tuple[object, ...], native.Gains]()
    first = native.choose(body, lambda ids: None, clock([1.0, 2.0]).__next__, kept)
    assert native.choose(body, lambda ids: None, clock([2.0, 1.0]).__next__, kept) == first
    other = bert(tmp_path, num_hidden_layers=1)
    assert native.choose(other, lambda ids: None, clock([2.0, 1.0]).__next__, kept).most == 0


def test_what_runs_queries_is_said(joint: Model) -> None:
    model = copy.deepcopy(joint)
    assert model.queries
    assert model.queries == model.runtime.short().reason
    assert model.train().queries == ""


def test_changed_weights_are_read(joint: Model) -> None:
    model = always(joint)
    model.encode(QUERIES, "query")
    changes = (
        lambda layer: layer.output.dense.weight.data.mul_(1.5),
        lambda layer: setattr(layer.output.dense.weight, "data", layer.output.dense.weight.data * 0.5),
        lambda layer: setattr(layer.output.dense, "weight", torch.nn.Parameter(layer.output.dense.weight * 1.3)),
        lambda layer: setattr(layer.output, "dense", copy.deepcopy(layer.output.dense).requires_grad_(False)),
        lambda layer: model.backbone.decoder.weight.data.mul_(1.1),
    )
    for change in changes:
        with torch.no_grad():
            change(model.backbone.model.base_model.encoder.layer[0])
            model.backbone.model.base_model.encoder.layer[0].output.dense.bias.add_(0.1)
        expected = never(model).encode(QUERIES, "query")
        for one, other in zip(model.encode(QUERIES, "query"), expected, strict=True):
            assert_close(one, other)


def test_an_encoder_that_was_changed_goes_back_to_torch(joint: Model) -> None:
    model = always(joint)
    model.encode(QUERIES, "query")
    layer = model.backbone.model.base_model.encoder.layer[0]
    layer.intermediate.intermediate_act_fn = torch.nn.ReLU()
    for one, other in zip(model.encode(QUERIES, "query"), never(model).encode(QUERIES, "query"), strict=True):
        assert_close(one, other)
    assert model.queries == "torch, since its activation is not the exact GELU"


def test_threads_share_one_encoder(joint: Model) -> None:
    model, found = always(joint), []
    wanted = model.encode(QUERIES, "query")

    def work() -> None:
        found.extend(model.encode(QUERIES, "query") for _ in range(20))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 80
    for encodings in found:
        for one, other in zip(encodings, wanted, strict=True):
            assert one.weights is not None
            assert other.weights is not None
            assert one.weights.weights.tobytes() == other.weights.weights.tobytes()


def test_a_vocabulary_that_there_is_not(tmp_path: Path) -> None:
    body = bert(tmp_path, vocabulary=False)
    found = Native(body, library.installed().kernels[-1])
    ids: Tensor = torch.arange(5)
    assert len(found.run(ids)) == 1
    with pytest.raises(ValueError, match="no vocabulary"):
        found.positive_logits(torch.zeros(5, 32), [5])
