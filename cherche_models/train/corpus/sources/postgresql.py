"""The PostgreSQL manual."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cherche_models.train.corpus import pages
from cherche_models.train.corpus.archive import Archive
from cherche_models.train.corpus.base import Document, Package, Source


def documents(archives: Mapping[str, Archive]) -> Iterator[Document]:
    """The sections of its pages, without release notes and the index."""
    files = archives["postgresql-doc-15"].texts("*/html/*.html")
    wanted = ((name, page) for name, page in files if not name.rsplit("/", 1)[-1].startswith(("release", "bookindex")))
    yield from pages.of_html(wanted, "postgresql", "toc", "navheader", "navfooter")


SOURCE = Source(
    name="postgresql",
    field="databases",
    licence="PostgreSQL",
    packages=(Package("apt", "postgresql-doc-15"),),
    documents=documents,
    long="long-manuals",
)
