"""The manuals of programs for science: GRASS GIS, GNU Octave and gnuplot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cherche_models.train.corpus import pages
from cherche_models.train.corpus.archive import Archive
from cherche_models.train.corpus.base import Document, Package, Source


def documents(archives: Mapping[str, Archive]) -> Iterator[Document]:
    """The sections of their pages."""
    yield from pages.of_html(archives["grass-doc"].texts("*/html/*.html"), "grass", "toc", "code")
    octave = archives["octave-doc"].texts("*/octave.html/*.html")
    wanted = ((name, page) for name, page in octave if "/XREF" not in name and "/index" not in name)
    yield from pages.of_html(wanted, "octave", "header", "nav-panel", "example")
    yield from pages.of_html(archives["gnuplot-doc"].texts("*/htmldocs/node*.html"), "gnuplot", "navigation")


SOURCE = Source(
    name="science",
    field="mathematics",
    licence="GPL-2.0-or-later, GPL-3.0-or-later, gnuplot",
    packages=(Package("apt", "gnuplot-doc"), Package("apt", "grass-doc"), Package("apt", "octave-doc")),
    documents=documents,
)
