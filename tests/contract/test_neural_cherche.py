"""neural-cherche 1.4.3 as published, beside compat="1.4": embeddings and scores agree to 1e-4."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cherche_models import hub, losses, models, rank, retrieve, utils
from tests import checkpoints
from tests.contract import peers

TOLERANCE = 1e-4
QUERIES = ["neural search", "the heart of a cell", "weight", "zzz qqq"]
DOCUMENTS = [
    "neural sparse search of the brain",
    "the protein and the heart, of a cell",
    "index token weight index index",
    "the query in the document, the query",
    "search",
    "cell " * 60,
    "document token weights 42 neural!",
    "Café — naïve CELLS",
]
LENGTHS = {"max_length_query": 16, "max_length_document": 48}
Arrays = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where neural-cherche has been."""
    if not peers.has("neural_cherche"):
        pytest.skip("neural-cherche lives in an environment of its own, which is not here: make interop")
    folder = tmp_path_factory.mktemp("neural_cherche")
    base = checkpoints.masked_lm(folder / "base")
    documents = [{"id": i, "text": text} for i, text in enumerate(DOCUMENTS)]
    asked = {"checkpoint": str(base), "colbert": str(with_projection(folder / "with_projection")), "lengths": LENGTHS}
    asked |= {"queries": QUERIES, "documents": documents}
    (folder / "job.json").write_text(json.dumps(asked))
    peers.run(Path(__file__).with_name("neural_cherche_peer.py"), folder)
    return folder


def with_projection(folder: Path) -> Path:
    """A ColBERT whose similarities are below 0 as often as above: it leaves out what all hidden states share."""
    checkpoints.masked_lm(folder)
    model = hub.load(folder, device="cpu", dtype="fp32")
    with torch.inference_mode():
        hidden = model.backbone(*model.collate(model.tokenize(DOCUMENTS, "document"), "document"))
    shared = torch.nn.functional.normalize(hidden[:, :5].flatten(0, 1).mean(dim=0), dim=0)
    torch.manual_seed(3)
    weight = torch.randn(4, checkpoints.HIDDEN)
    torch.save({"weight": weight - torch.outer(weight @ shared, shared)}, folder / "linear.pt")
    (folder / "metadata.json").write_text(json.dumps({**LENGTHS, "query_prefix": "[Q] ", "document_prefix": ""}))
    return folder


@pytest.fixture(scope="module")
def arrays(job: Path) -> Arrays:
    return dict(np.load(job / "answers.npz"))


@pytest.fixture(scope="module")
def lists(job: Path) -> dict[str, Any]:
    return json.loads((job / "answers.json").read_text())


@pytest.fixture(scope="module")
def colbert(job: Path) -> models.ColBERT:
    return models.ColBERT(str(job / "colbert"), device="cpu", compat="1.4")


@pytest.fixture(scope="module")
def splade(job: Path) -> models.Splade:
    return models.Splade(str(job / "splade"), device="cpu", compat="1.4")


@pytest.fixture(scope="module")
def sparse_embed(job: Path) -> models.SparseEmbed:
    return models.SparseEmbed(str(job / "sparse_embed"), device="cpu", compat="1.4")


@pytest.mark.parametrize("name", ["colbert", "splade", "sparse_embed"])
def test_encoding_and_pair_scores(name: str, arrays: Arrays, request: pytest.FixtureRequest) -> None:
    model = request.getfixturevalue(name)
    texts = DOCUMENTS[: len(QUERIES)]
    for kind, batch in (("query", QUERIES), ("document", texts)):
        found = model.encode(batch, query_mode=kind == "query")
        theirs = {key.rpartition(".")[2]: value for key, value in arrays.items() if key.startswith(f"{name}.{kind}.")}
        assert {key: value.shape for key, value in theirs.items()} == {k: tuple(v.shape) for k, v in found.items()}
        assert {str(value.dtype) for value in theirs.values()} == {str(v.dtype)[6:] for v in found.values()}
        for key, value in found.items():
            np.testing.assert_allclose(value.numpy(), theirs[key], atol=TOLERANCE)
    np.testing.assert_allclose(model.scores(QUERIES, texts).numpy(), arrays[f"{name}.scores"], rtol=TOLERANCE)


def test_terms_as_text(splade: models.Splade, lists: dict[str, Any]) -> None:
    assert splade.decode(splade.encode(QUERIES)["sparse_activations"], k_tokens=8) == lists["splade.decode"]


def documents() -> list[dict[str, Any]]:
    return [{"id": i, "text": text} for i, text in enumerate(DOCUMENTS)]


def assert_same(found: list[list[dict[str, Any]]], theirs: list[list[Any]]) -> None:
    """The same scores, in order, of the same documents; ties may stand in another order."""
    assert [len(hits) for hits in found] == [len(hits) for hits in theirs]
    for hits, others in zip(found, theirs, strict=True):
        in_order = [hit["similarity"] for hit in hits], [score for _, score in others]
        np.testing.assert_allclose(*in_order, rtol=TOLERANCE, atol=TOLERANCE)
        scores = dict(others)
        for hit in hits:
            if hit["id"] in scores:
                assert hit["similarity"] == pytest.approx(scores[hit["id"]], rel=TOLERANCE, abs=TOLERANCE)


def assert_retrieves_alike(name: str, retriever: Any, lists: dict[str, Any]) -> None:
    embeddings = retriever.encode_documents(documents(), tqdm_bar=False)
    half = len(DOCUMENTS) // 2
    for part in (list(embeddings)[:half], list(embeddings)[half:]):
        retriever.add({key: embeddings[key] for key in part})
    queries = retriever.encode_queries(QUERIES, tqdm_bar=False)
    found = retriever(queries, tqdm_bar=False)
    assert_same(found, lists[f"retrieve.{name}.all"])
    assert [{hit["id"] for hit in hits} for hits in found] == [
        {key for key, _ in hits} for hits in lists[f"retrieve.{name}.all"]
    ]
    assert_same(retriever(queries, k=2, tqdm_bar=False), lists[f"retrieve.{name}.best"])


def test_tfidf(lists: dict[str, Any]) -> None:
    assert_retrieves_alike("tfidf", retrieve.TfIdf("id", ["text"], compat="1.4"), lists)


def test_bm25(lists: dict[str, Any]) -> None:
    assert_retrieves_alike("bm25", retrieve.BM25("id", ["text"], epsilon=0.1, compat="1.4"), lists)


@pytest.mark.parametrize("name", ["colbert", "splade", "sparse_embed"])
def test_neural_retrievers(name: str, lists: dict[str, Any], request: pytest.FixtureRequest) -> None:
    kinds = {"colbert": retrieve.ColBERT, "splade": retrieve.Splade, "sparse_embed": retrieve.SparseEmbed}
    assert_retrieves_alike(name, kinds[name]("id", ["text"], request.getfixturevalue(name)), lists)


def test_what_differs_without_compat(job: Path, lists: dict[str, Any]) -> None:
    """The comparisons above can fail: true BM25 and masked padding score otherwise."""
    for name, retriever in (
        ("bm25", retrieve.BM25("id", ["text"], epsilon=0.1)),
        ("colbert", retrieve.ColBERT("id", ["text"], models.ColBERT(str(job / "colbert"), device="cpu"))),
    ):
        with pytest.raises(AssertionError):
            assert_retrieves_alike(name, retriever, lists)


@pytest.mark.parametrize("name", ["colbert", "sparse_embed"])
def test_rankers(name: str, lists: dict[str, Any], request: pytest.FixtureRequest) -> None:
    kinds = {"colbert": rank.ColBERT, "sparse_embed": rank.SparseEmbed}
    ranker = kinds[name]("id", ["text"], request.getfixturevalue(name))
    embeddings = ranker.encode_documents(documents(), tqdm_bar=False)
    queries = ranker.encode_queries(QUERIES, tqdm_bar=False)
    candidates = [documents()] * (len(QUERIES) - 1) + [[]]
    assert_same(ranker(candidates, queries, embeddings, tqdm_bar=False, k=5), lists[f"rank.{name}"])


def triple(model: Any) -> list[dict[str, torch.Tensor]]:
    number = len(QUERIES)
    with torch.no_grad():
        return [
            model(QUERIES, query_mode=True),
            model(DOCUMENTS[:number], query_mode=False),
            model(DOCUMENTS[-number:], query_mode=False),
        ]


def assert_scores(name: str, found: dict[str, torch.Tensor], arrays: Arrays) -> None:
    for key, value in found.items():
        np.testing.assert_allclose(value.numpy(), arrays[f"{name}.{key}"], rtol=TOLERANCE)


def test_scores_and_losses_of_triples(
    colbert: models.ColBERT, splade: models.Splade, sparse_embed: models.SparseEmbed, arrays: Arrays
) -> None:
    scores = utils.colbert_scores(*(found["embeddings"] for found in triple(colbert)), compat="1.4")
    assert_scores("utils.colbert", scores, arrays)
    np.testing.assert_allclose(losses.Ranking()(**scores).numpy(), arrays["losses.ranking"], rtol=TOLERANCE)
    sides = [found["sparse_activations"] for found in triple(splade)]
    assert_scores("utils.sparse", utils.sparse_scores(*sides), arrays)
    near = float((torch.cat(sides).abs().mean(dim=0) ** 2).sum()) + 0.25
    for name, threshold in (("far", None), ("near", near)):
        found = losses.Flops(compat="1.4")(*sides, threshold=threshold)
        np.testing.assert_allclose(found.numpy(), arrays[f"losses.flops.{name}"], rtol=TOLERANCE)
    dense = triple(sparse_embed)
    terms, vectors = [found["activations"] for found in dense], [found["embeddings"] for found in dense]
    assert_scores("utils.dense", utils.dense_scores(*terms, *vectors), arrays)


def test_the_schedule_of_flops(lists: dict[str, Any]) -> None:
    schedule = losses.FlopsScheduler(steps=4)
    assert [schedule.get() for _ in range(6)] == pytest.approx(lists["losses.schedule"])
