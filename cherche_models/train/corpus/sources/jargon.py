"""The Jargon File: the slang of programmers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from cherche_models.train.corpus import dictd
from cherche_models.train.corpus.archive import Archive
from cherche_models.train.corpus.base import Document, Package, Source
from cherche_models.train.corpus.text import one_line, passages

_LINK = re.compile(r"\{([^{}]*)\}")


def documents(archives: Mapping[str, Archive]) -> Iterator[Document]:
    """The passages of each entry; the title is the headword."""
    for word, text in dictd.entries(archives["dict-jargon"], "jargon"):
        _, _, body = text.partition("\n")
        for passage in passages(re.split(r"\n\s*\n", _LINK.sub(r"\1", body))):
            yield Document(one_line(word), passage, group=f"jargon {word}")


SOURCE = Source(
    name="jargon",
    field="computing",
    licence="public domain",
    packages=(Package("apt", "dict-jargon"),),
    documents=documents,
)
