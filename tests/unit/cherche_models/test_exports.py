"""What we export loads in sentence-transformers with equal scores; SparseEncoder is the oracle of encoding too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cherche_models import hub
from cherche_models.errors import CheckpointError
from cherche_models.models import ColBERT, InferenceFree, Joint, Model, Splade
from cherche_models.tokenizer import TextFormat
from tests import checkpoints

TEXTS = ["neural sparse search.", "the brain, of a cell", "protein " * 90, "heart (cell) index; document?", ""]


def load(folder: Path, **options: Any) -> Model:
    return hub.load(folder, device="cpu", dtype="fp32", **options)


def sparse_encoder(folder: Path) -> Any:
    from sentence_transformers import SparseEncoder

    return SparseEncoder(str(folder), device="cpu")


def rows(model: Model, texts: list[str], kind: str) -> np.ndarray:
    dense = np.zeros((len(texts), len(model.vocabulary)), np.float32)
    for row, encoding in zip(dense, model.encode(texts, kind), strict=True):
        row[encoding.weights.ids] = encoding.weights.weights
    return dense


def assert_equal_weights(model: Model, peer: Any, texts: list[str] = TEXTS) -> None:
    for kind, encode in (("document", peer.encode_document), ("query", peer.encode_query)):
        theirs = encode(texts, convert_to_sparse_tensor=False).numpy()
        np.testing.assert_allclose(rows(model, texts, kind), theirs, atol=1e-4)


def test_plain_checkpoint_equals_sparse_encoder(masked_lm: Path) -> None:
    assert_equal_weights(load(masked_lm), sparse_encoder(masked_lm))


@pytest.mark.parametrize("activation", ["relu", "log1p_relu"])
@pytest.mark.parametrize("pooling", ["max", "sum"])
def test_what_sparse_encoder_saves_we_load(activation: str, pooling: str, masked_lm: Path, tmp_path: Path) -> None:
    from sentence_transformers import SparseEncoder
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.sparse_encoder.modules import SpladePooling

    body = Transformer(str(masked_lm), transformer_task="fill-mask")
    pools = SpladePooling(pooling, activation_function=activation)
    peer = SparseEncoder(modules=[body, pools], device="cpu", prompts={"query": "query ", "document": ""})
    peer.save(str(tmp_path))
    model = load(tmp_path)
    assert isinstance(model, Splade)
    assert (model.activation, model.pooling) == (activation, pooling)
    assert_equal_weights(model, peer)


def test_lengths_of_queries_and_documents_are_those_of_sparse_encoder(masked_lm: Path, tmp_path: Path) -> None:
    peer = sparse_encoder(masked_lm)
    peer[0].query_length, peer[0].document_length = 4, 9
    peer.save(str(tmp_path))
    model = load(tmp_path)
    assert (model.formats["query"].max_length, model.formats["document"].max_length) == (4, 9)
    assert_equal_weights(model, sparse_encoder(tmp_path))


def test_sparse_encoder_loads_our_export(joint: Joint, tmp_path: Path) -> None:
    formats = TextFormat(40, prompt="document "), TextFormat(40, prompt="query ", expand=True)
    model = Joint(joint.backbone, joint.tokenizer, *formats, dim=8, activation="log1p_relu")
    hub.export(model, tmp_path / "export")
    assert_equal_weights(model, sparse_encoder(tmp_path / "export"))
    assert not (tmp_path / "export" / "cherche.json").exists()
    hub.save(model, tmp_path / "saved")
    assert_equal_weights(model, sparse_encoder(tmp_path / "saved"))


def test_half_precision_on_disk_is_computed_in_float32_there_too(splade: Splade, tmp_path: Path) -> None:
    hub.save(splade, tmp_path, dtype="fp16")
    peer = sparse_encoder(tmp_path)
    assert {parameter.dtype for parameter in peer.parameters()} == {torch.float32}
    assert_equal_weights(load(tmp_path), peer)


def test_what_a_router_saves_we_load_and_the_other_way_round(masked_lm: Path, tmp_path: Path) -> None:
    from sentence_transformers import SparseEncoder
    from sentence_transformers.base.modules import Router, Transformer
    from sentence_transformers.sparse_encoder.modules import SparseStaticEmbedding, SpladePooling

    body = Transformer(str(masked_lm), transformer_task="fill-mask")
    torch.manual_seed(0)
    table = SparseStaticEmbedding(tokenizer=body.tokenizer, weight=torch.rand(len(body.tokenizer)), frozen=True)
    router = Router.for_query_document(query_modules=[table], document_modules=[body, SpladePooling()])
    peer = SparseEncoder(modules=[router], device="cpu", similarity_fn_name="dot")
    peer.save(str(tmp_path / "theirs"))
    model = load(tmp_path / "theirs")
    assert isinstance(model, InferenceFree)
    assert_equal_weights(model, peer)
    hub.export(model, tmp_path / "ours")
    assert_equal_weights(model, sparse_encoder(tmp_path / "ours"))


def test_a_table_of_query_weights_in_json(masked_lm: Path, tmp_path: Path) -> None:
    model = load(masked_lm)
    assert isinstance(model, Splade)
    hub.save(InferenceFree(model.backbone, model.tokenizer, torch.zeros(len(model.vocabulary))), tmp_path)
    query = tmp_path / "query_0_SparseStaticEmbedding"
    (query / "model.safetensors").unlink()
    (query / "config.json").write_text('{"path": "idf.json"}')
    (query / "idf.json").write_text('{"neural": 2.5, "unheard-of": 1.0}')
    loaded = load(tmp_path)
    assert loaded.idf(loaded.tokenize(["neural cell"], "query")[0]) == {loaded.tokenizer.id_of("neural"): 2.5}


def colbert(folder: Path) -> ColBERT:
    model = load(checkpoints.pylate(folder))
    assert isinstance(model, ColBERT)
    return model


def assert_equal_embeddings(model: Model, folder: Path) -> None:
    """sentence-transformers' reader of PyLate's layout gives the same vectors, row by row."""
    from sentence_transformers import MultiVectorEncoder

    peer = MultiVectorEncoder(str(folder), device="cpu")
    for kind, encode in (("document", peer.encode_document), ("query", peer.encode_query)):
        theirs = encode(TEXTS, convert_to_numpy=True)
        for encoding, other in zip(model.encode(TEXTS, kind), theirs, strict=True):
            np.testing.assert_allclose(encoding.embeddings.vectors, other, atol=1e-4)


def test_pylate_files_equal_sentence_transformers(tmp_path: Path) -> None:
    assert_equal_embeddings(colbert(tmp_path), tmp_path)


@pytest.mark.parametrize("made", ["PyLate", "Stanford", "an encoder"])
def test_what_multi_vector_encoder_saves_we_load(made: str, tmp_path: Path) -> None:
    from sentence_transformers import MultiVectorEncoder

    make = {"PyLate": checkpoints.pylate, "Stanford": checkpoints.stanford, "an encoder": checkpoints.encoder}[made]
    peer = MultiVectorEncoder(str(make(tmp_path / "made")), device="cpu")
    if made == "an encoder":
        peer.prompts = {"query": "search: ", "document": "the "}
        peer[0].document_length = 20
    peer.save(str(tmp_path / "saved"))
    model = load(tmp_path / "saved")
    assert isinstance(model, ColBERT)
    assert_equal_embeddings(model, tmp_path / "saved")
    hub.save(model, tmp_path / "again")
    for kind in ("document", "query"):
        for a, b in zip(model.encode(TEXTS, kind), load(tmp_path / "again").encode(TEXTS, kind), strict=True):
            np.testing.assert_allclose(a.embeddings.vectors, b.embeddings.vectors, atol=1e-6)


def test_a_multi_vector_encoder_without_projection(tmp_path: Path) -> None:
    from sentence_transformers import MultiVectorEncoder
    from sentence_transformers.base.modules import Normalize, Transformer
    from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask

    body = Transformer(str(checkpoints.encoder(tmp_path / "made")))
    vectors = Normalize(module_input_name="token_embeddings", module_output_name="token_embeddings")
    MultiVectorEncoder(modules=[body, MultiVectorMask(["."]), vectors], device="cpu").save(str(tmp_path / "saved"))
    model = load(tmp_path / "saved")
    assert isinstance(model, ColBERT)
    assert model.dim == checkpoints.HIDDEN
    assert_equal_embeddings(model, tmp_path / "saved")


MULTI_VECTOR = {
    "2_MultiVectorMask/config.json": ({"skiplist_tasks": ["query", "document"]}, "leaves out tokens of queries"),
    "sentence_bert_config.json": ({"query_expansion": {"strategy": "min", "length": 10}}, "strategy 'min'"),
    "1_Dense/config.json": ({"bias": True}, "has a bias"),
}


@pytest.mark.parametrize("file", MULTI_VECTOR)
def test_a_multi_vector_encoder_that_would_score_otherwise_is_refused(file: str, tmp_path: Path) -> None:
    from sentence_transformers import MultiVectorEncoder

    MultiVectorEncoder(str(checkpoints.pylate(tmp_path / "made")), device="cpu").save(str(tmp_path / "saved"))
    change, reason = MULTI_VECTOR[file]
    path = tmp_path / "saved" / file
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(CheckpointError, match=reason):
        load(tmp_path / "saved")


def test_our_pylate_export_equals_sentence_transformers(tmp_path: Path) -> None:
    model = colbert(tmp_path / "made")
    hub.export(model, tmp_path / "export", format="pylate")
    assert_equal_embeddings(model, tmp_path / "export")


def test_a_joint_model_exports_its_token_embeddings(joint: Joint, tmp_path: Path) -> None:
    dot = joint.tokenizer.id_of(".")
    assert dot is not None
    model = Joint(joint.backbone, joint.tokenizer, TextFormat(40), TextFormat(12, expand=True), dim=8, skip=[dot])
    hub.export(model, tmp_path, format="pylate")
    assert_equal_embeddings(model, tmp_path)
    assert not [name for name in _tensors(tmp_path) if name.startswith("cls.")]


def test_the_pylate_export_has_the_files_that_pylate_reads(tmp_path: Path) -> None:
    """pylate/models/colbert.py and Dense.py: the keys of the configuration, the modules, the tensor's name."""
    hub.export(colbert(tmp_path / "made"), tmp_path / "export", format="pylate")
    stored = json.loads((tmp_path / "export" / "config_sentence_transformers.json").read_text())
    assert {
        "query_prefix": "[Q] ",
        "document_prefix": "[D] ",
        "query_length": 10,
        "document_length": 30,
        "do_query_expansion": True,
        "attend_to_expansion_tokens": False,
    }.items() <= stored.items()
    assert "." in stored["skiplist_words"]
    types = [module["type"] for module in json.loads((tmp_path / "export" / "modules.json").read_text())]
    assert types == ["sentence_transformers.models.Transformer", "pylate.models.Dense.Dense"]
    dense = json.loads((tmp_path / "export" / "1_Dense" / "config.json").read_text())
    accepted_by_every_release = {"in_features", "out_features", "bias", "activation_function"}
    assert set(dense) == accepted_by_every_release
    assert _tensors(tmp_path / "export" / "1_Dense") == ["linear.weight"]


def test_formats_that_other_libraries_cannot_express_are_refused(splade: Splade, tmp_path: Path) -> None:
    masked = Splade(splade.backbone, splade.tokenizer, TextFormat(40, masks=3, terms=9))
    with pytest.raises(ValueError, match="no place for the document format's masks, terms"):
        hub.export(masked, tmp_path)
    prompted = load(checkpoints.neural_cherche(tmp_path / "made", projection=8))
    with pytest.raises(ValueError, match="no place for the document format's prompt"):
        hub.export(prompted, tmp_path, format="pylate")


def test_heads_that_a_model_lacks_are_not_exported(splade: Splade, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot be exported as 'pylate'"):
        hub.export(splade, tmp_path, format="pylate")
    with pytest.raises(ValueError, match="cannot be exported as 'sentence-transformers'"):
        hub.export(colbert(tmp_path / "made"), tmp_path)


def test_a_trained_checkpoint_equals_sparse_encoder(models_dir: Path) -> None:
    """splade-tiny in float32: term weights within 1e-4, long and empty texts included."""
    folder = models_dir / "splade-tiny"
    texts = [
        "Aspirin prevents stroke.",
        "what is the effect of prestressing?",
        "",
        "the quick brown fox " * 200,
        "1,000 µg of Ca²⁺ — 深層学習",
    ]
    assert_equal_weights(load(folder), sparse_encoder(folder), texts)


def _tensors(folder: Path) -> list[str]:
    from safetensors.torch import load_file

    return sorted(load_file(folder / "model.safetensors"))
