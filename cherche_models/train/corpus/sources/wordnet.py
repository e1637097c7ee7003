"""Glosses of WordNet: the words of a synset, what they mean, and examples."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from cherche_models.train.corpus.archive import Archive
from cherche_models.train.corpus.base import Document, Package, Source
from cherche_models.train.corpus.text import one_line

_MARKER = re.compile(r"\((?:a|p|ip)\)$")


def documents(archives: Mapping[str, Archive]) -> Iterator[Document]:
    """One document a synset (wndb(5WN)); the title is its words, most frequent first."""
    for _, text in archives["wordnet-base"].texts("*/wordnet/data.*"):
        for line in text.splitlines():
            if line.startswith("  "):  # the licence
                continue
            data, _, gloss = line.partition("|")
            cells = data.split()
            count = int(cells[3], 16)
            found = (_MARKER.sub("", cells[4 + 2 * i]).replace("_", " ") for i in range(count))
            names = tuple(dict.fromkeys(found))
            yield Document(title=", ".join(names), text=one_line(gloss), names=names)


SOURCE = Source(
    name="wordnet",
    field="words",
    licence="WordNet-3.0",
    packages=(Package("apt", "wordnet-base"),),
    documents=documents,
)
