"""The policy, the developer's reference and the questions and answers of Debian."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cherche_models.train.corpus import pages
from cherche_models.train.corpus.archive import Archive
from cherche_models.train.corpus.base import Document, Package, Source


def documents(archives: Mapping[str, Archive]) -> Iterator[Document]:
    """The sections of their pages in English."""
    policy = archives["debian-policy"].texts("*/policy.html/*.html", "*/perl-policy.html/*.html")
    yield from pages.of_html(policy, "policy", "sphinxsidebar", "related", "highlight", "toctree-wrapper")
    reference = archives["developers-reference"].texts("usr/share/developers-reference/*.html")
    yield from pages.of_html(reference, "reference", "sphinxsidebar", "related", "highlight", "toctree-wrapper")
    yield from pages.of_html(archives["debian-faq"].texts("*.en.html"), "faq", "toc", "navheader", "navfooter")


SOURCE = Source(
    name="packaging",
    field="commands",
    licence="GPL-2.0-or-later",
    packages=(Package("apt", "debian-faq"), Package("apt", "debian-policy"), Package("apt", "developers-reference")),
    documents=documents,
)
