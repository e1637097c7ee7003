from __future__ import annotations

from pathlib import Path

from cherche_models.train.corpus import dictd
from tests.unit.cherche_models.train.corpus import packages


def test_entries_of_a_dictionary_in_the_order_of_its_text(tmp_path: Path) -> None:
    text = "duck\n\n   A bird.\ngoose\n\n   Another.\n"
    index = "00-database-info\tA\tB\ngoose\tS\tT\nduck\tA\tS\ndrake\tA\tS\n"
    archive = packages.deb(tmp_path / "d_1_all.deb", {"usr/share/dictd/b.dict": text, "usr/share/dictd/b.index": index})
    assert list(dictd.entries(archive, "b")) == [("duck", text[:18]), ("goose", text[18:37])]
