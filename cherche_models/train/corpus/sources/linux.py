"""The documentation of the Linux kernel."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cherche_models.train.corpus import pages
from cherche_models.train.corpus.archive import Archive
from cherche_models.train.corpus.base import Document, Package, Source


def documents(archives: Mapping[str, Archive]) -> Iterator[Document]:
    """The sections of its pages in English."""
    files = archives["linux-doc-6.1"].texts("*/html/*.html")
    wanted = ((name, page) for name, page in files if "/translations/" not in name)
    yield from pages.of_html(wanted, "linux", "sphinxsidebar", "related", "toctree-wrapper", "contents", "highlight")


SOURCE = Source(
    name="linux",
    field="kernel",
    licence="GPL-2.0",
    packages=(Package("apt", "linux-doc-6.1"),),
    documents=documents,
    long="long-manuals",
)
