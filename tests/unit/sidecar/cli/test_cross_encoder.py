"""A cross-encoder's order of the hits, beside the search modes."""

from __future__ import annotations

import json
from pathlib import Path

from cherche_models import hub
from cherche_models.evaluate import read_run
from sidecar.cli.cross_encoder import ordered
from sidecar.values.index import Fingerprint, IndexMeta, TextField
from sidecar.values.search import Hit, ScoreParts
from tests import checkpoints
from tests.unit.sidecar.cli.conftest import Command, judged


def test_eval_has_a_row_for_a_cross_encoder(articles: Command, tmp_path: Path) -> None:
    folder = checkpoints.classifier(tmp_path / "cross")
    options = ["--modes", "bm25,hybrid", "--cross-encoder", str(folder), "--run", str(tmp_path / "runs")]
    report = articles.json("eval", "articles", *judged(articles), *options)
    assert list(report["modes"]) == ["bm25", "hybrid", "hybrid+cross-encoder"]
    assert len(report["significance"]) == 3
    runs = {name: read_run(tmp_path / "runs" / f"{name}.run") for name in ("hybrid", "hybrid+cross-encoder")}
    documents = {d["_id"]: d for d in map(json.loads, (articles.folder / "corpus.jsonl").read_text().splitlines())}
    model = hub.load_cross_encoder(folder, device="cpu")
    for query, text in (("q1", "aspirin"), ("q2", "heart")):
        found = {key: documents[key] for key in runs["hybrid"][query]}
        pairs = [(text, " ".join(d[f] for f in ("title", "text") if f in d)) for d in found.values()]
        scored = dict(zip(found, model.predict(pairs).tolist(), strict=True))
        assert runs["hybrid+cross-encoder"][query] == sorted(found, key=lambda key: -scored[key])
    refused = articles("eval", "articles", *judged(articles), "--cross-encoder", str(tmp_path), code=1)
    assert "name the folder that holds the checkpoint" in refused.stderr


def test_ties_keep_the_order_of_the_search() -> None:
    meta = IndexMeta("m", Fingerprint("s"), (TextField("text"),), 8)
    hits = [Hit(name, rank, 0.0, ScoreParts(0, 0, 0, rank), {"text": name}) for rank, name in enumerate("abc", 1)]
    scores = {"a": 1.0, "b": 2.0, "c": 1.0}
    assert ordered("q", hits, meta, lambda pairs: [scores[text] for _, text in pairs]) == ["b", "a", "c"]
    assert ordered("q", [], meta, lambda pairs: [1.0]) == []
