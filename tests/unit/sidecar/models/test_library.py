from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import cherche_models
from cherche_models.kernel import library
from cherche_models.kernel.library import described
from sidecar.errors import ChercheError, Code
from sidecar.models import library as models
from tests import checkpoints


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A joint model on disk."""
    from cherche_models import hub

    made = tmp_path_factory.mktemp("joint")
    base = checkpoints.masked_lm(made / "base")
    joint = hub.load(base, device="cpu", dtype="fp32", architecture="joint", new_head=True, dim=8)
    joint.sparse_boost, joint.rerank_weight = 1.5, 0.25
    hub.save(joint, made / "saved")
    return made / "saved"


def test_importing_it_loads_no_torch() -> None:
    code = (
        "import sys, sidecar.models.library; print(sorted({'torch', 'transformers', 'tokenizers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_what_a_loaded_model_says_of_itself(folder: Path) -> None:
    info = models.load_model("mine", folder, device="cpu", dtype="fp32").info
    assert (info.name, info.architecture, info.device, info.dtype) == ("mine", "joint", "cpu", "fp32")
    assert info.maxsim == described()
    assert info.queries.startswith(("kernel (", "torch, since "))
    assert info.documents.startswith(("torch, imported when", "torch, since the kernel"))
    assert (info.sparse, info.late_interaction, info.dim) == (True, True, 8)
    assert info.vocabulary == tuple(checkpoints.vocabulary())
    assert (info.max_document_length, info.max_query_length) == (checkpoints.POSITIONS, checkpoints.POSITIONS)
    assert (info.sparse_boost, info.rerank_weight) == (1.5, 0.25)
    assert len(info.digest) == 64


def test_what_the_files_do_not_say_is_said(folder: Path, tmp_path: Path) -> None:
    def note(source: Path) -> str:
        return models.load_model("mine", source, device="cpu", dtype="fp32").info.note

    assert note(folder) == ""
    assert note(checkpoints.sentence_encoder(tmp_path / "sentences")) == (
        "a sentence encoder: its token embeddings of 32 dimensions are used as a ColBERT without training; "
        "rerank weight 0.5"
    )
    said = note(checkpoints.masked_lm(tmp_path / "words"))
    assert said.startswith("a masked-LM checkpoint: its head is used as SPLADE's; a passage of 64 tokens gets ")


def test_a_head_that_gives_a_passage_far_too_many_terms_was_not_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = checkpoints.masked_lm(tmp_path)
    notes = {}
    for most in (10, 0):
        monkeypatch.setattr(models, "_TRAINED", most)
        notes[most] = models.load_model("mine", source, device="cpu", dtype="fp32").info.note
    assert notes[10].endswith("as from one trained for sparse retrieval")
    assert notes[0].endswith("so it was not trained for sparse retrieval")


@pytest.fixture
def kernel(require: Callable[[str, str], None]) -> None:
    found = library.installed()
    if not found.kernels or found.kernels[-1].name == "plain":
        require("compiler", found.reason or "the kernel knows none of this processor's instructions")


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """How models share threads, instead of the process's own."""
    from cherche_models.runtime import threads

    ways: list[str] = []
    monkeypatch.setattr(threads, "share", lambda most, begin: ways.append("a document each"))
    monkeypatch.setattr(threads, "limit", lambda most: ways.append("all for each operation"))
    return ways


def test_documents_have_torchs_bits_and_queries_do_not_wait_for_it(
    folder: Path, kernel: None, threads: list[str]
) -> None:
    from cherche_models import hub

    torchs = hub.load(folder, device="cpu", dtype="fp32")
    model = models.load_model("mine", folder, device="cpu", dtype="fp32")
    assert model.info.queries == f"kernel ({library.installed().kernels[-1].name}), without torch"
    assert model.prepare("query") is None
    assert model.prepare("document") is not None
    texts = ["neural search of the brain", "cell", "document " * 40]
    found = model.encode(model.tokenize(texts, "document"), "document")
    assert model.prepare("document") is None
    assert model.concurrent_queries
    assert threads == ["a document each"]
    for ours, other in zip(found, torchs.encode(texts, "document"), strict=True):
        assert ours.weights == other.weights
        assert ours.embeddings is not None
        assert other.embeddings is not None
        assert (ours.embeddings.vectors == other.embeddings.vectors).all()


def test_without_torch_the_kernel_encodes_documents_too(
    folder: Path, kernel: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "find_spec", lambda name: None)
    model = models.load_model("mine", folder, device="cpu", dtype="fp32")
    assert model.prepare("document") is None
    assert model.info.documents == f"{model.info.queries}, which is not installed"
    [found] = model.encode(model.tokenize(["cell"], "document"), "document")
    assert found.weights is not None


def test_a_model_that_needs_torch_says_so_where_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = checkpoints.masked_lm(tmp_path)
    monkeypatch.delattr(cherche_models, "hub")
    monkeypatch.setitem(sys.modules, "cherche_models.hub", None)
    with pytest.raises(ChercheError, match=r"needs cherche_models\.hub, which is not installed: .*no layout") as caught:
        models.load_model("mine", folder, device="cpu")
    assert "pip install" in caught.value.next_step


def test_why_torch_is_imported_at_once_is_said(tmp_path: Path, kernel: None, threads: list[str]) -> None:
    model = models.load_model("mine", checkpoints.masked_lm(tmp_path), device="cpu")
    # Its queries wait for a document, which must not take longer for others' sake.
    assert threads == ["all for each operation"]
    assert not model.concurrent_queries
    assert model.info.documents == "torch, since it is in no layout that can be read without torch"


def test_what_is_loaded_keeps_few_compiled_products(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "DNNL_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
        monkeypatch.setenv(name, "")  # so that it is put back
        monkeypatch.delenv(name)
    with pytest.raises(ChercheError):
        models.load_cross_encoder(tmp_path)
    assert (os.environ["ONEDNN_PRIMITIVE_CACHE_CAPACITY"], os.environ["LRU_CACHE_CAPACITY"]) == ("256", "32")


def test_text_to_encoding(folder: Path) -> None:
    model = models.load_model("mine", folder, device="cpu", dtype="fp32")
    tokens = model.tokenize(["neural search", "cell"], "document", max_length=3)
    assert [t.texts for t in tokens] == [("[CLS]", "neural", "[SEP]"), ("[CLS]", "cell", "[SEP]")]
    encodings = model.encode(tokens, "document")
    assert all(e.weights is not None and e.embeddings is not None for e in encodings)
    assert model.kept(tokens[0], "document") == [0, 1, 2]
    assert model.idf(tokens[0]) is None


def test_vectors_of_terms_are_no_codes(tmp_path: Path) -> None:
    """SparseEmbed's vectors belong to terms: MaxSim over them would mean nothing."""
    model = models.load_model("mine", checkpoints.neural_cherche(tmp_path, masks=3, projection=8), device="cpu")
    (encoding,) = model.encode(model.tokenize(["cell"], "document"), "document")
    assert encoding.embeddings is None
    assert (model.info.late_interaction, model.info.dim) == (False, 0)


def test_a_lone_surrogate_is_the_callers_error(folder: Path) -> None:
    with pytest.raises(ChercheError, match="text 1 holds the lone surrogate") as caught:
        models.load_model("mine", folder, device="cpu").tokenize(["fine", "\udc00"], "query")
    assert caught.value.code is Code.INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("options", "code", "reason"),
    [
        ({"source": "/nowhere/at/all"}, Code.FAILED_PRECONDITION, "is not a folder"),
        ({"device": "abacus"}, Code.INVALID_ARGUMENT, "unknown device"),
        ({"dtype": "int3"}, Code.INVALID_ARGUMENT, "unknown dtype"),
    ],
)
def test_what_cannot_be_loaded(options: dict[str, str], code: Code, reason: str, folder: Path) -> None:
    with pytest.raises(ChercheError, match=reason) as caught:
        models.load_model("mine", **{"source": str(folder), **options})
    assert caught.value.code is code
    assert caught.value.__cause__ is not None


def test_a_damaged_checkpoint_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ChercheError, match=r"no config\.json") as caught:
        models.load_model("mine", tmp_path)
    assert caught.value.next_step


@pytest.mark.parametrize(("form", "module"), [("sentence-transformers", "SpladePooling"), ("pylate", "Dense")])
def test_export(form: str, module: str, folder: Path, tmp_path: Path) -> None:
    models.export_model(folder, tmp_path, form)
    types = [entry["type"] for entry in json.loads((tmp_path / "modules.json").read_text())]
    assert types[-1].endswith(module)


def test_an_export_of_a_missing_head(tmp_path: Path) -> None:
    with pytest.raises(ChercheError, match="cannot be exported") as caught:
        models.export_model(checkpoints.masked_lm(tmp_path / "base"), tmp_path / "out", "pylate")
    assert caught.value.code is Code.INVALID_ARGUMENT
