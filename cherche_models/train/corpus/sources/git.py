"""The manual of Git."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cherche_models.train.corpus import pages
from cherche_models.train.corpus.archive import Archive
from cherche_models.train.corpus.base import Document, Package, Source


def documents(archives: Mapping[str, Archive]) -> Iterator[Document]:
    """The sections of its pages, without release notes."""
    files = archives["git-doc"].texts("*.html")
    wanted = ((name, page) for name, page in files if "RelNotes" not in name)
    yield from pages.of_html(wanted, "git", "toc")


SOURCE = Source(
    name="git",
    field="commands",
    licence="GPL-2.0",
    packages=(Package("apt", "git-doc"),),
    documents=documents,
    long="long-manuals",
)
