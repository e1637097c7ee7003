"""Search modes, measured and compared."""

from __future__ import annotations

from tests.unit.sidecar.cli.conftest import Command, judged, judged_beyond


def test_eval_measures_every_mode_and_compares_them(articles: Command) -> None:
    report = articles.json("eval", "articles", *judged(articles), "--modes", "bm25,sparse,hybrid,hybrid+rerank")
    assert list(report["modes"]) == ["bm25", "sparse", "hybrid", "hybrid+rerank"]
    assert report["modes"]["bm25"]["hits@1"] == 0.5  # only the synonym finds "cardiac"
    assert report["modes"]["sparse"]["ndcg@10"] == 1.0
    assert set(report["modes"]["sparse"]["latency_ms"]) == {"p50", "p95"}
    assert report["modes"]["hybrid+rerank"]["rerank_status"] == {"APPLIED": 2}
    assert len(report["significance"]) == 6
    assert {"a": "bm25", "b": "sparse", "wins": 1, "losses": 0}.items() <= report["significance"][0].items()


def test_eval_writes_runs_that_others_can_measure(articles: Command) -> None:
    folder = articles.folder / "runs"
    articles("eval", "articles", *judged(articles), "--modes", "sparse", "--run", str(folder))
    assert (folder / "sparse.run").read_text().startswith("q1 Q0 1 1 ")


def test_eval_warns_of_judged_documents_that_the_index_does_not_hold(articles: Command) -> None:
    asked = ["eval", "articles", *judged_beyond(articles), "--modes", "bm25"]
    assert articles.json(*asked)["judged_documents"] == {
        "judged": 6,
        "absent": 4,
        "examples": ["gone0", "gone1", "gone2"],
    }
    said = articles(*asked).stderr
    assert "4 of 6 judged documents are not in articles ('gone0', 'gone1', 'gone2', …)" in said
    assert "judged documents are not" not in articles("eval", "articles", *judged(articles), "--modes", "bm25").stderr
