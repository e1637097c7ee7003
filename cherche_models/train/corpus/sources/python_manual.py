"""The Python manual: library and language reference, tutorials and how-tos."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cherche_models.train.corpus import pages
from cherche_models.train.corpus.archive import Archive
from cherche_models.train.corpus.base import Document, Package, Source


def documents(archives: Mapping[str, Archive]) -> Iterator[Document]:
    """The sections of its pages, without change logs and indices."""
    files = archives["python3.11-doc"].texts("*/html/*.html")
    dull = ("/whatsnew/", "genindex", "py-modindex", "/distutils/")
    wanted = ((name, page) for name, page in files if not any(part in name for part in dull))
    yield from pages.of_html(wanted, "python", "sphinxsidebar", "related", "toctree-wrapper", "highlight", "contents")


SOURCE = Source(
    name="python-manual",
    field="python",
    licence="PSF-2.0",
    packages=(Package("apt", "python3.11-doc"),),
    documents=documents,
    long="long-manuals",
)
