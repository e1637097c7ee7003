"""Docstrings of Python's libraries for statistics, mathematics and the sciences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cherche_models.train.corpus import python
from cherche_models.train.corpus.archive import Archive
from cherche_models.train.corpus.base import Document, Package, Source


def documents(archives: Mapping[str, Archive]) -> Iterator[Document]:
    """One document a docstring."""
    for archive in archives.values():
        yield from python.documents(archive.texts("*.py"))


SOURCE = Source(
    name="mathematics",
    field="mathematics",
    licence="BSD-3-Clause",
    packages=(
        Package("pip", "astropy", "7.1.1"),
        Package("pip", "biopython", "1.85"),
        Package("pip", "nltk", "3.9.2"),
        Package("pip", "pandas", "2.3.3"),
        Package("pip", "scikit-image", "0.25.2"),
        Package("pip", "scikit-learn", "1.7.2"),
        Package("pip", "scipy", "1.16.2"),
        Package("pip", "statsmodels", "0.14.5"),
        Package("pip", "sympy", "1.14.0"),
        Package("pip", "xarray", "2025.9.1"),
    ),
    documents=documents,
)
