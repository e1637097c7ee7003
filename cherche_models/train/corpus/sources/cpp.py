"""cppreference: the reference of C and C++."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cherche_models.train.corpus import pages
from cherche_models.train.corpus.archive import Archive
from cherche_models.train.corpus.base import Document, Package, Source

_SKIPPED = (
    "t-navbar",
    "t-dcl-begin",
    "toc",
    "t-example",
    "printfooter",
    "source-cpp",
    "source-c",
    "editsection",
    "t-sdsc",
)


def documents(archives: Mapping[str, Archive]) -> Iterator[Document]:
    """The sections of its pages, without declarations and examples."""
    yield from pages.of_html(archives["cppreference-doc-en-html"].texts("*/html/en/*.html"), "cppreference", *_SKIPPED)


SOURCE = Source(
    name="cpp",
    field="cpp",
    licence="CC-BY-SA-3.0, GFDL-1.3",
    packages=(Package("apt", "cppreference-doc-en-html"),),
    documents=documents,
)
