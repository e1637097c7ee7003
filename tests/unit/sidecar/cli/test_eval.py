"""Search modes, measured and compared."""

from __future__ import annotations

from tests.unit.sidecar.cli.conftest import Command, judged


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
