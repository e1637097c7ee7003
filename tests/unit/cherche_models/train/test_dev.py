"""Every stage of a dev set is measured, and the weights are those with the best mean."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from cherche_models import hub
from cherche_models.evaluate import read
from cherche_models.train import dev
from cherche_models.train.query_table import idf
from tests import checkpoints
from tests.unit.cherche_models.train import mixture


def test_every_mode_of_a_dev_set_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus = mixture.write(tmp_path / "corpus")
    base = checkpoints.masked_lm(tmp_path / "base")
    model = hub.load(base, device="cpu", architecture="joint", new_head=True, dim=8)
    model.query_table = idf(model, read(corpus / "dev" / "words", "dev").texts().values())
    hub.save(model, tmp_path / "model")
    encoder = checkpoints.encoder(tmp_path / "encoder")
    dev.main([str(tmp_path / "model"), str(corpus / "dev" / "words"), "--reranker", str(encoder), "--documents", "30"])
    found = json.loads(capsys.readouterr().out)
    row = found["sets"]["words"]
    assert row["documents"] == 30
    modes = ("bm25", "sparse", "hybrid", "hybrid+rerank", "hybrid+encoder", "rrf", "hybrid, doc only")
    for mode in (*modes, "sparse, doc only"):
        assert 0 <= row[mode] <= 1
        assert found["sets"]["mean"][mode] == row[mode]
    assert len(found["chosen"]["hybrids"]) == len(dev.BOOSTS)
    difference, p = row["hybrid - bm25"]
    assert difference == pytest.approx(row["hybrid"] - row["bm25"], abs=2e-4)
    assert 0 < p <= 1
    assert {"hybrid+rerank - hybrid+encoder", "rrf - hybrid"} <= row.keys()
    assert found["chosen"]["reranked"][str(found["chosen"]["rerank_weight"])] == max(
        found["chosen"]["reranked"].values()
    )


def test_the_weights_of_the_model_are_measured_beside_the_best(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = mixture.write(tmp_path / "corpus")
    model = hub.load(checkpoints.masked_lm(tmp_path / "base"), device="cpu", architecture="joint", new_head=True, dim=8)
    for boost, weight in ((0.123, 0.456), (None, None)):
        model.sparse_boost, model.rerank_weight = boost or model.sparse_boost, weight or model.rerank_weight
        hub.save(model, tmp_path / str(boost))
        dev.main([str(tmp_path / str(boost)), str(corpus / "dev" / "words"), "--dtype", "fp32"])
        found = json.loads(capsys.readouterr().out)
        if boost:
            stored = found["stored"]
            assert (stored["sparse_boost"], stored["rerank_weight"]) == (boost, weight)
            assert stored["sets"]["words"].keys() == found["sets"]["words"].keys()
            assert stored["sets"]["words"]["bm25"] == found["sets"]["words"]["bm25"]
            model.sparse_boost, model.rerank_weight = (
                found["chosen"][key] for key in ("sparse_boost", "rerank_weight")
            )
        else:
            assert "stored" not in found


def test_a_sample_keeps_what_is_judged(tmp_path: Path) -> None:
    collection = read(mixture.write(tmp_path / "corpus") / "dev" / "words", "dev")
    kept = dev.sample(collection, 15)
    assert len(kept.documents) == 15
    assert {key for judged in collection.qrels.values() for key in judged} <= kept.documents.keys()
    assert dev.sample(collection, 1000).documents == collection.documents


def test_a_pair_is_compared_with_one_model_that_does_both(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus, base = mixture.write(tmp_path / "corpus"), checkpoints.masked_lm(tmp_path / "base")
    for name, seed in (("one", 1), ("two", 2)):
        torch.manual_seed(seed)
        model = hub.load(base, device="cpu", architecture="joint", new_head=True, dim=8)
        hub.save(model, tmp_path / name)
    encoder = checkpoints.encoder(tmp_path / "encoder")
    folders = [str(corpus / "dev" / "words"), "--documents", "30"]
    dev.main([str(tmp_path / "one"), *folders, "--reranker", str(encoder), "--terms", str(tmp_path / "two")])
    found = json.loads(capsys.readouterr().out)
    assert list(found["pairs"]) == ["two + encoder", "two + one"]
    alone = found["sets"]["words"]
    for paired in found["pairs"].values():
        row = paired["sets"]["words"]
        assert paired["sets"]["mean"] == row  # of one set
        assert len(paired["chosen"]["reranked"]) == len(dev.WEIGHTS)
        for mode in ("hybrid", "hybrid+rerank"):
            difference, p = row[f"alone - pair, {mode}"]
            assert difference == pytest.approx(alone[mode] - row[mode], abs=2e-4)
            assert 0 < p <= 1
    reranked = [paired["sets"]["words"]["hybrid+rerank"] for paired in found["pairs"].values()]
    assert reranked[0] != reranked[1]  # other embeddings of the same hits


def test_a_pair_of_a_model_with_itself_is_that_model(tmp_path: Path) -> None:
    collection = read(mixture.write(tmp_path / "corpus") / "dev" / "words", "dev")
    model = hub.load(checkpoints.masked_lm(tmp_path / "base"), device="cpu", architecture="joint", new_head=True, dim=8)
    alone = [dev.staged(model, name, collection) for name in ("a", "b")]
    found = dev.against(dev.pair(alone, [each.scored for each in alone]), alone, dev.choose(alone))
    assert list(found["sets"]) == ["a", "b", "mean"]
    for row in found["sets"].values():
        assert row["alone - pair, hybrid"] == row["alone - pair, hybrid+rerank"] == [0.0, 1.0]
