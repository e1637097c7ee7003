from __future__ import annotations

import json
from pathlib import Path

import pytest

from cherche_models.train.corpus import __main__
from cherche_models.train.corpus.table import discover


def test_the_cache_is_the_users() -> None:
    assert __main__.cache_folder({"XDG_CACHE_HOME": "/c"}) == Path("/c/cherche/packages")
    assert __main__.cache_folder({}) == Path.home() / ".cache" / "cherche" / "packages"


def test_a_mixture_of_one_source_and_no_other(tmp_path: Path) -> None:
    folder = tmp_path / "scifact"
    (folder / "qrels").mkdir(parents=True)
    texts = [
        f"The cells of sample {number} are found in the blood of most mice that were seen." for number in range(30)
    ]
    rows = [{"_id": str(number), "title": f"Mice {number}", "text": text} for number, text in enumerate(texts)]
    (folder / "corpus.jsonl").write_text("\n".join(map(json.dumps, rows)))
    queries = [{"_id": f"q{number}", "text": f"Claim {number} holds."} for number in range(31)]
    (folder / "queries.jsonl").write_text("\n".join(map(json.dumps, queries)))
    judged = [f"q{number}\t{number}\t1" for number in range(30)]
    (folder / "qrels" / "train.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *judged]))
    others = [word for name in discover() if name != "scifact" for word in ("--without", name)]
    __main__.main([str(tmp_path / "out"), "--cache", str(tmp_path), "--scifact", str(folder), *others])
    asked = {json.loads(line)["query"].lower() for line in (tmp_path / "out" / "train.jsonl").read_text().splitlines()}
    assert any(query.startswith("claim") for query in asked)
    assert not any("claim 30" in query for query in asked)


def test_without_any_source_the_reason_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    others = [word for name in discover() if name != "scifact" for word in ("--without", name)]
    with pytest.raises(SystemExit, match="error: no source is left"):
        __main__.main([str(tmp_path / "out"), "--cache", str(tmp_path), *others])
    assert "without scifact: folder package scifact: no folder is given" in capsys.readouterr().err
