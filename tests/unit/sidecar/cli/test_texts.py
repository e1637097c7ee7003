"""Texts from arguments, files and stdin."""

from __future__ import annotations

from pathlib import Path

import pytest

from sidecar.cli.texts import read_texts
from sidecar.errors import ChercheError
from tests.unit.sidecar.cli.conftest import Command


def test_no_text_at_all_is_an_error(command: Command) -> None:
    assert "no text" in command("encode", stdin=b"\n", code=1).stderr


def test_a_files_name_stands_for_its_lines_and_an_odd_name_for_itself(tmp_path: Path) -> None:
    path = tmp_path / "texts.txt"
    path.write_bytes(b"\xef\xbb\xbfone\n \ntwo")
    odd = ["a\0b", "x" * 5000, str(tmp_path)]
    assert read_texts([str(path), *odd]) == ["one", "two", *odd]


def test_a_file_that_is_not_utf_8_is_named(tmp_path: Path) -> None:
    path = tmp_path / "texts.txt"
    path.write_bytes(b"caf\xe9\n")
    with pytest.raises(ChercheError, match=r"texts\.txt is not UTF-8 at byte 3"):
        read_texts([str(path)])


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_a_file_in_utf_16_is_named_with_the_way_out(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "texts.txt"
    path.write_bytes("one\ntwo\n".encode(encoding))
    with pytest.raises(ChercheError, match=r"texts\.txt is text in UTF-16.* — convert it: iconv -f UTF-16"):
        read_texts([str(path)])
