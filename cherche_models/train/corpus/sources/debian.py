"""Descriptions of Debian's packages: the short one introduces the long one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from cherche_models.train.corpus.archive import Archive
from cherche_models.train.corpus.base import Document, Package, Source
from cherche_models.train.corpus.text import one_line

_BOILERPLATE = re.compile(
    r"(?:This|The) (?:(?:meta|transitional|dummy|virtual) ?-?package|package (?:contains|provides|includes|is)) "
    r"[^.]*(?:debug|symbols|transitional|dummy|dependenc)[^.]*\.",
    re.IGNORECASE,
)
_DULL = re.compile(
    r"transitional|dummy package|debug symbols|metapackage|\(development|\(documentation\)$", re.IGNORECASE
)


def documents(archives: Mapping[str, Archive]) -> Iterator[Document]:
    """One document a package; the title is its name."""
    for name, text in archives["Translation-en"].texts("*"):
        for stanza in text.split("\n\n"):
            if document := _document(stanza):
                yield document
        del name


def _document(stanza: str) -> Document | None:
    fields: dict[str, list[str]] = {}
    key = ""
    for line in stanza.splitlines():
        if line[:1].isspace():
            fields[key].append(line.strip()) if key else None
        else:
            key, _, value = line.partition(":")
            fields[key] = [value.strip()]
    summary, *rest = fields.get("Description-en", [""])
    if not summary or _DULL.search(summary):
        return None
    text = one_line(" ".join(" " if line == "." else line for line in rest))
    return Document(title=fields["Package"][0], summary=summary, text=_BOILERPLATE.sub("", text))


SOURCE = Source(
    name="debian",
    field="software",
    licence="the packages' own free licences",
    packages=(Package("apt-index", "Translation-en"),),
    documents=documents,
)
