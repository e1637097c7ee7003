"""The excerpt of the English Wikipedia in gensim's test data."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from itertools import groupby

from cherche_models.train.corpus import wiki
from cherche_models.train.corpus.archive import Archive
from cherche_models.train.corpus.base import Document, Package, Source
from cherche_models.train.corpus.text import passages


def documents(archives: Mapping[str, Archive]) -> Iterator[Document]:
    """The passages of each section; an article is a group."""
    for _, dump in archives["gensim"].files("*/enwiki-*.bz2"):
        for title, markup in wiki.articles(io.BytesIO(dump)):
            found = wiki.paragraphs(wiki.plain(markup))
            for section, paragraphs in groupby(found, key=lambda pair: pair[0]):
                for passage in passages(text for _, text in paragraphs):
                    yield Document(f"{title}: {section}" if section else title, passage, group=f"wikipedia {title}")


SOURCE = Source(
    name="wikipedia",
    field="encyclopedia",
    licence="CC-BY-SA-3.0",
    packages=(Package("pip", "gensim", "4.4.0"),),
    documents=documents,
    long="long-articles",
    every=2,  # the excerpt has a hundred articles
)
