"""BM25 of a real collection."""

from __future__ import annotations

import pytest

from cherche_models.evaluate import beir
from cherche_models.evaluate.measures import evaluate

BULK = 500


@pytest.fixture
def engine_name():
    return "embedded"


@pytest.mark.data
async def test_bm25_ranks_scifact_as_a_cluster_does(bench, data_dir):
    collection = beir.read(data_dir / "scifact")
    documents = [
        bench.document(id, str(found["text"]), title=found["title"]) for id, found in collection.documents.items()
    ]
    for start in range(0, len(documents), BULK):
        await bench.fill(*documents[start : start + BULK])
    rankings = {
        id: [hit.id for hit in (await bench.search(text, size=100)).hits] for id, text in collection.queries.items()
    }
    found = evaluate(rankings, collection.qrels, ["ndcg@10", "recall@100"])
    # OpenSearch 3.8.0 with the `english` analyzer: .6906 and .9192.
    assert found["ndcg@10"] == pytest.approx(0.6906, abs=0.0005)
    assert found["recall@100"] == pytest.approx(0.9192, abs=0.0005)
