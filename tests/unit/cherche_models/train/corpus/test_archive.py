from __future__ import annotations

import gzip
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from cherche_models.train.corpus.archive import Archive
from tests.unit.cherche_models.train.corpus import packages

FILES = {"usr/share/a.txt": "one", "usr/share/b.txt.gz": gzip.compress(b"two"), "usr/share/c.bin": b"\xff"}


@pytest.mark.parametrize(
    ("make", "name"), [(packages.deb, "d_1_all.deb"), (packages.tar, "t-1.tgz"), (packages.wheel, "w-1-py3.whl")]
)
def test_files_are_found_by_name_and_decompressed(
    tmp_path: Path, make: Callable[[Path, Mapping[str, bytes | str]], Archive], name: str
) -> None:
    archive = make(tmp_path / name, FILES)
    assert list(archive.texts("*.txt")) == [("usr/share/a.txt", "one"), ("usr/share/b.txt", "two")]


def test_a_folder_is_read_as_an_archive_is(tmp_path: Path) -> None:
    (tmp_path / "qrels").mkdir()
    (tmp_path / "qrels" / "train.tsv").write_text("x")
    (tmp_path / "corpus.jsonl").write_text("y")
    assert list(Archive(tmp_path).texts("corpus.jsonl", "qrels/*")) == [("corpus.jsonl", "y"), ("qrels/train.tsv", "x")]


def test_text_that_is_not_utf8_is_latin1(tmp_path: Path) -> None:
    assert list(packages.deb(tmp_path / "d_1_all.deb", FILES).texts("*.bin")) == [("usr/share/c.bin", "ÿ")]


def test_a_damaged_package_is_refused(tmp_path: Path) -> None:
    (tmp_path / "d_1_all.deb").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"d_1_all\.deb is not a Debian package"):
        list(Archive(tmp_path / "d_1_all.deb").files("*"))
