"""A backfill that is killed is resumed by running it again; nothing is lost, and nothing encoded twice without need."""

from __future__ import annotations

import json
from pathlib import Path

from tests.benchmarks.life import IN_FLIGHT, SAMPLED, Command, documents

DOCUMENTS = 1200


def test_a_killed_backfill_goes_on_where_it_stopped(tmp_path: Path) -> None:
    cherche = Command(tmp_path, {"CHERCHE_EMBEDDED__PATH": str(tmp_path / "index.sqlite")})
    corpus = tmp_path / "corpus.jsonl"
    lines = [json.dumps({"_id": id, **source}) for id, source in documents(DOCUMENTS, None)]
    corpus.write_text("\n".join(lines) + "\n", encoding="utf-8")
    cherche.run("setup", "articles")
    cherche.run("feed", "articles", str(corpus))
    cherche.run("remove", "articles", "--yes")
    cherche.run("setup", "articles")
    (tmp_path / "encoded").unlink()

    killed = cherche.killed_after(DOCUMENTS // 2, "backfill", "articles")
    assert killed < DOCUMENTS
    resumed = cherche.run("backfill", "articles")
    assert (resumed["finished"], resumed["failed"]) == (True, 0)
    assert 0 < resumed["encoded"] <= DOCUMENTS - killed + IN_FLIGHT
    assert cherche.repeated() <= 2 * SAMPLED + IN_FLIGHT
    again = cherche.run("backfill", "articles")
    assert (again["encoded"], again["kept"]) == (0, DOCUMENTS)
