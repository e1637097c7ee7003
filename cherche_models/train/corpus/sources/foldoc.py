"""FOLDOC, the Free On-line Dictionary of Computing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from cherche_models.train.corpus import dictd
from cherche_models.train.corpus.archive import Archive
from cherche_models.train.corpus.base import Document, Package, Source
from cherche_models.train.corpus.text import one_line, passages

_LINK, _SUBJECT = re.compile(r"\{([^{}]*?)(?:\s*\([^()]*\))?\}"), re.compile(r"<[^<>\n]{2,40}>")
_DATE = re.compile(r"\(\d{4}-\d\d-\d\d\)\s*$|__|\[[^\[\]]*\?\]|\s\.$")


def documents(archives: Mapping[str, Archive]) -> Iterator[Document]:
    """The passages of each entry; the title is the headword."""
    for word, text in dictd.entries(archives["dict-foldoc"], "foldoc"):
        _, _, body = text.partition("\n")
        body = _DATE.sub("", _SUBJECT.sub("", _LINK.sub(r"\1", body)).strip())
        for passage in passages(re.split(r"\n\s*\n", body)):
            yield Document(title=one_line(word), text=passage, group=f"foldoc {word}")


SOURCE = Source(
    name="foldoc",
    field="computing",
    licence="GFDL-1.1-or-later",
    packages=(Package("apt", "dict-foldoc"),),
    documents=documents,
)
