from __future__ import annotations

import json
from pathlib import Path

import pytest

from cherche_models import utils
from cherche_models.retrieve import BM25

QRELS = ["query-id\tcorpus-id\tscore", "x\t0\t1", "y\t2\t1", "z\t1\t1", "z\t3\t0", "z\t9\t1"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A collection that is there already, so that nothing is fetched."""
    root = tmp_path / "tiny"
    (root / "qrels").mkdir(parents=True)
    corpus = [{"_id": str(i), "title": f"duck {i}", "text": "pond" * i} for i in range(4)]
    queries = [{"_id": "x", "text": "duck"}, {"_id": "y", "text": "duck"}, {"_id": "z", "text": "pond"}]
    (root / "corpus.jsonl").write_text("\n".join(map(json.dumps, corpus)))
    (root / "queries.jsonl").write_text("\n".join(map(json.dumps, queries)))
    (root / "qrels" / "test.tsv").write_text("\n".join(QRELS))
    return tmp_path


def test_a_collection_in_scripts_shapes(folder: Path) -> None:
    documents, queries, qrels = utils.load_beir("tiny", split="test", folder=folder)
    assert documents[1] == {"id": "1", "title": "duck 1", "text": "pond"}
    assert queries == ["duck", "pond"]
    assert qrels == {"duck": {"0": 1, "2": 1}, "pond": {"1": 1, "3": 0, "9": 1}}


def test_triples_have_no_answer_for_a_negative(folder: Path) -> None:
    documents, queries, qrels = utils.load_beir("tiny", folder=folder)
    answers = {"duck": {"duck 0", "duck 2 pondpond"}, "pond": {"duck 1 pond"}}
    for seed in range(20):
        triples = utils.get_beir_triples("id", ["title", "text"], documents, queries, qrels, seed=seed)
        assert [query for query, _, _ in triples] == ["duck", "duck", "pond"]
        assert all(
            positive in answers[query] and negative not in answers[query] for query, positive, negative in triples
        )
    with pytest.raises(ValueError, match="no negative to draw"):
        utils.get_beir_triples("id", "text", documents[:1], ["duck"], qrels)


def test_measures_of_a_retriever_with_repeated_queries() -> None:
    documents = [{"id": i, "text": text} for i, text in enumerate(["duck", "cow", "goose"])]
    retriever = BM25("id", "text", analyzer="word").add_documents(documents)
    queries = ["duck", "cow", "duck", "nothing"]
    found = retriever(retriever.encode_queries(queries), k=10, tqdm_bar=False)
    qrels = {"duck": {"0": 1}, "cow": {"2": 1}, "unasked": {"1": 1}}
    assert utils.evaluate(found, qrels, queries, ["hits@1"]) == {"hits@1": pytest.approx(1 / 3)}
    assert list(utils.evaluate(found, qrels, queries)) == ["ndcg@10", *(f"hits@{k}" for k in (1, 2, 3, 4, 5, 10))]
    with pytest.raises(ValueError, match="4 lists of results for 1 queries"):
        utils.evaluate(found, qrels, ["duck"])
