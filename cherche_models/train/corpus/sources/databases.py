"""The manuals of SQLite and PostGIS."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cherche_models.train.corpus import pages
from cherche_models.train.corpus.archive import Archive
from cherche_models.train.corpus.base import Document, Package, Source


def documents(archives: Mapping[str, Archive]) -> Iterator[Document]:
    """The sections of their pages, without release notes."""
    files = archives["sqlite3-doc"].texts("*/sqlite3/*.html")
    wanted = ((name, page) for name, page in files if "/releaselog/" not in name and "/changes" not in name)
    yield from pages.of_html(wanted, "sqlite", "fancy_toc", "menu", "rightsideul", "nosearch")
    yield from pages.of_html(archives["postgis-doc"].texts("*/postgis.html"), "postgis", "toc", by_section=True)


SOURCE = Source(
    name="databases",
    field="databases",
    licence="public domain, CC-BY-SA-3.0",
    packages=(Package("apt", "sqlite3-doc"), Package("apt", "postgis-doc")),
    documents=documents,
)
