"""A model that is read without torch is that of `hub`, bit for bit in all that the kernel runs."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cherche_models import hub
from cherche_models.errors import ItemError, Unreadable
from cherche_models.kernel import library
from cherche_models.kernel.library import Kernel, Loaded
from cherche_models.light import model as light
from cherche_models.light import place
from cherche_models.light.model import LightModel
from cherche_models.models import Model
from cherche_models.models.splade import Splade
from cherche_models.runtime.native import Choice
from cherche_models.types import Encoding, Tokens

ROOT = Path(__file__).parents[4]
SHIPPED = ("cherche-tiny", "cherche-small")
QUERIES = [
    "wing",
    "effects of vitamin d on bone density in older women",
    "Größe? naïve café [MASK] [SEP] ##s",
    "новости 新聞 ニュース",
    "".join(f"word{n} " for n in range(90)),
    "",
    " ",
]


@functools.cache
def pair(source: str | Path, dtype: str) -> tuple[LightModel, Model]:
    """The same model twice; torch's runs all queries in the kernel, however fast it is here."""
    torchs = hub.load(source, device="cpu", dtype=dtype)
    torchs.runtime._choice = Choice(512, "", library.installed().kernels[-1])  # type: ignore[attr-defined]
    return LightModel(Path(source) if Path(source).is_dir() else light.PRETRAINED / source, dtype), torchs


def assert_same(ours: Sequence[Encoding], others: Sequence[Encoding]) -> None:
    for one, other in zip(ours, others, strict=True):
        assert one.weights == other.weights
        assert (one.embeddings is None) == (other.embeddings is None)
        if one.embeddings is not None and other.embeddings is not None:
            np.testing.assert_array_equal(one.embeddings.vectors, other.embeddings.vectors)


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_models_have_the_same_bits(name: str, dtype: str) -> None:
    ours, torchs = pair(name, dtype)
    assert ours.tokenize(QUERIES, "query") == torchs.tokenize(QUERIES, "query")
    assert_same(ours.encode(QUERIES, "query"), torchs.encode(QUERIES, "query"))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=60), min_size=1, max_size=4))
def test_any_texts_have_the_same_tokens_and_bits(texts: list[str]) -> None:
    ours, torchs = pair("cherche-tiny", "fp32")
    for kind in ("query", "document"):
        assert ours.tokenize(texts, kind) == torchs.tokenize(texts, kind)
    assert_same(ours.encode(texts, "query"), torchs.encode(texts, "query"))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from(QUERIES), min_size=1, max_size=5))
def test_a_text_has_the_same_bits_beside_any_others(texts: list[str]) -> None:
    ours, _ = pair("cherche-tiny", "fp32")
    assert_same(ours.encode(texts, "document"), [ours.encode([text], "document")[0] for text in texts])


@pytest.mark.parametrize("name", SHIPPED)
def test_documents_are_torchs_but_for_rounding(name: str) -> None:
    ours, torchs = pair(name, "fp32")
    texts = [*QUERIES[:4], " ".join(QUERIES[:4]) * 20]
    for one, other in zip(ours.encode(texts, "document"), torchs.encode(texts, "document"), strict=True):
        assert one.weights is not None
        assert other.weights is not None
        assert one.embeddings is not None
        assert other.embeddings is not None
        assert one.weights.ids.tolist() == other.weights.ids.tolist()
        np.testing.assert_allclose(one.weights.weights, other.weights.weights, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(one.embeddings.vectors, other.embeddings.vectors, atol=1e-5)


@pytest.mark.parametrize("name", SHIPPED)
def test_everything_else_of_a_shipped_model_is_the_same(name: str) -> None:
    ours, torchs = pair(name, "fp32")
    named = ("architecture", "digest", "sparse", "late_interaction", "dim", "formats", "vocabulary", "sparse_boost")
    for attribute in (*named, "rerank_weight", "note"):
        assert getattr(ours, attribute) == getattr(torchs, attribute), attribute
    assert str(torchs.device) == ours.device
    assert ours.codebook is torchs.codebook  # codes of either are decoded with one
    for tokens in ours.tokenize(["wings, of a bird.", ""], "document"):
        assert ours.idf(tokens) == torchs.idf(tokens)
        for kind in ("query", "document"):
            assert ours.kept(tokens, kind) == torchs.kept(tokens, kind)
        assert ours.tokenizer.is_unknown_language(tokens, ours.formats["document"]) is False
    assert ours.tokenizer.unknown_ids == torchs.tokenizer.unknown_ids


@pytest.mark.parametrize("stored", [None, "fp16", "bf16", "int8"])
@pytest.mark.parametrize("architecture", ["splade", "joint"])
def test_models_that_this_library_saves_are_read(
    masked_lm: Path, tmp_path: Path, architecture: str, stored: str | None
) -> None:
    made = hub.load(masked_lm, device="cpu", dtype="fp32", architecture=architecture, new_head=True, dim=8)
    hub.save(made, tmp_path / "model", dtype=stored)
    for dtype in ("fp32", "bf16"):
        ours, torchs = pair(tmp_path / "model", dtype)
        assert (ours.architecture, ours.digest, ours.dim) == (architecture, torchs.digest, torchs.dim)
        texts = ["neural search of the brain", "index", "query document token weight"]
        assert_same(ours.encode(texts, "query"), torchs.encode(texts, "query"))


def test_the_other_activation_is_read_too(splade: Splade, tmp_path: Path) -> None:
    splade.activation = "log1p_relu"
    try:
        hub.save(splade, tmp_path / "model")
    finally:
        splade.activation = "relu"
    ours, torchs = pair(tmp_path / "model", "fp32")
    assert_same(ours.encode(["neural search"], "query"), torchs.encode(["neural search"], "query"))


def test_nothing_of_torch_is_imported() -> None:
    code = (
        "import sys; from cherche_models.light import model\n"
        "found = model.load('cherche-tiny').encode(['a storm near the coast'], 'query')\n"
        "assert len(found[0].weights) > 0\n"
        "print(sorted({'torch', 'transformers', 'huggingface_hub', 'onnxruntime'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]" or "Unreadable: the kernel" in done.stderr, done.stderr


def test_without_a_kernel_it_is_left_to_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "installed", lambda: Loaded(reason="the kernel was not compiled"))
    with pytest.raises(Unreadable, match="not compiled"):
        light.load("cherche-tiny")


def test_a_kernel_of_no_particular_instructions_is_for_those_without_torch(
    kernels: tuple[Kernel, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "installed", lambda: Loaded(kernels[:1]))
    with pytest.raises(Unreadable, match="torch may be faster"):
        light.load("cherche-tiny", device="cpu")
    monkeypatch.setattr(place, "torch_release", lambda: "")
    assert light.load("cherche-tiny", device="cpu").queries == "kernel (plain), without torch"


def test_what_is_no_folder_here_is_left_to_torch() -> None:
    with pytest.raises(Unreadable, match=r"no folder here|torch may be faster"):
        light.load("naver/splade-v3", device="cpu")


def _rename(folder: Path) -> None:
    from safetensors.numpy import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    tensors["cls.predictions.decoder.weight"] = tensors["bert.embeddings.word_embeddings.weight"].copy()
    save_file(tensors, folder / "model.safetensors")


def _not_finite(folder: Path) -> None:
    from safetensors.numpy import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    tensors["cls.predictions.bias"][3] = np.nan
    save_file(tensors, folder / "model.safetensors")


def _less(folder: Path) -> None:
    from safetensors.numpy import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    del tensors["bert.encoder.layer.1.output.dense.weight"]
    save_file(tensors, folder / "model.safetensors")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_rename, "the tensor cls.predictions.decoder.weight"),
        (_not_finite, "cls.predictions.bias is not finite"),
        (_less, "no tensor bert.encoder.layer.1.output.dense.weight"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"damaged"), "cannot be read"),
        (lambda folder: (folder / "model.safetensors").unlink(), "cannot be read"),
    ],
)
def test_weights_that_are_not_as_expected_are_left_to_torch(
    saved: Path, change: Callable[[Path], object], reason: str
) -> None:
    change(saved)
    with pytest.raises(Unreadable, match=reason):
        LightModel(saved, "fp32")


def test_widths_that_the_kernel_has_no_place_for_are_left_to_torch(saved: Path) -> None:
    config = saved / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"num_attention_heads": 5}))
    with pytest.raises(Unreadable, match="5 heads"):
        LightModel(saved, "fp32")


def test_numbers_that_are_none_name_their_text(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = LightModel(saved, "fp32")
    monkeypatch.setattr(
        found._encoder, "transformed", lambda hidden: np.full(hidden.shape, np.nan, np.float32), raising=True
    )
    with pytest.raises(ItemError, match="text 1 got NaN"):
        found.encode_tokens([Tokens((), (), 0), *found.tokenize(["neural"], "query")], "query")


def test_a_length_that_the_model_lacks_is_refused(saved: Path) -> None:
    found = LightModel(saved, "fp32")
    with pytest.raises(ValueError, match="max_length 65"):
        found.tokenize(["neural"], "query", 65)
