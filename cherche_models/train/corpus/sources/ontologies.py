"""Ontologies of biology and chemistry: terms, synonyms and definitions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cherche_models.train.corpus import obo
from cherche_models.train.corpus.archive import Archive
from cherche_models.train.corpus.base import Document, Package, Source


def documents(archives: Mapping[str, Archive]) -> Iterator[Document]:
    """The defined terms of the Gene, Sequence, Pathway, Evidence, Software and ChEBI ontologies, and of EDAM."""
    for _, text in archives["emboss-data"].texts("*/OBO/*.obo", "*/EDAM.obo"):
        yield from obo.terms(text)


SOURCE = Source(
    name="ontologies",
    field="science",
    licence="CC-BY-4.0, CC-BY-SA-3.0, GPL-2.0-or-later",
    packages=(Package("apt", "emboss-data"),),
    documents=documents,
)
