"""Entries of a dictionary in the format of dictd: an index of base-64 offsets into one text."""

from __future__ import annotations

from collections.abc import Iterator

from cherche_models.train.corpus.archive import Archive

_DIGITS = {
    digit: value for value, digit in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
}


def entries(archive: Archive, name: str) -> Iterator[tuple[str, str]]:
    """Headword and text of each entry, in the order of the text; headwords that share one are listed once.

    Raises
    ------
    KeyError
        If the archive lacks the dictionary.
    """
    files = {path.rsplit("/", 1)[-1]: content for path, content in archive.files(f"*/{name}.index", f"*/{name}.dict")}
    index, text = files[f"{name}.index"].decode("utf-8", "replace"), files[f"{name}.dict"]
    spans: dict[tuple[int, int], str] = {}
    for line in index.splitlines():
        cells = line.split("\t")
        if len(cells) >= 3 and not cells[0].startswith("00-database"):
            spans.setdefault((_decoded(cells[1]), _decoded(cells[2])), cells[0])
    for (start, size), word in sorted(spans.items()):
        yield word, text[start : start + size].decode("utf-8", "replace")


def _decoded(number: str) -> int:
    value = 0
    for digit in number:
        value = value * 64 + _DIGITS[digit]
    return value
