"""The first line decides what separates the columns of a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from cherche_models.evaluate.columns import rows


def test_cells_of_tabs_are_kept_as_they_are_and_lines_are_numbered(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text("a b\t c\t\n \n\u00a0\t\u2028\t1\n", encoding="utf-8")
    assert list(rows(path)) == [(f"{path}:1", ["a b", " c", ""]), (f"{path}:3", ["\u00a0", "\u2028", "1"])]


def test_runs_of_spaces_separate_and_nothing_else_does(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("  a   b\u00a0c\u3000 d \r\n", encoding="utf-8")
    assert list(rows(path)) == [(f"{path}:1", ["a", "b\u00a0c\u3000", "d"])]


def test_two_separators_in_a_file_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("a b\na\tb\n")
    with pytest.raises(ValueError, match=r"a\.txt:2: the line has a tab, the first line has none: use one separator"):
        list(rows(path))
