"""The manuals of the Apache HTTP server, Node.js and Django."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cherche_models.train.corpus import pages
from cherche_models.train.corpus.archive import Archive
from cherche_models.train.corpus.base import Document, Package, Source


def documents(archives: Mapping[str, Archive]) -> Iterator[Document]:
    """The sections of their pages in English, without release notes."""
    apache = archives["apache2-doc"].texts("*/manual/en/*.html")
    yield from pages.of_html(apache, "apache", "toplang", "bottomlang", "qview", "directive-reference", "top")
    node = archives["nodejs-doc"].texts("*/nodejs/api/*.html")
    single = ((name, page) for name, page in node if not name.endswith("/all.html"))
    yield from pages.of_html(single, "nodejs", "toc", "picker-header", "api_metadata")
    django = archives["python-django-doc"].texts("*/html/*.html")
    wanted = ((name, page) for name, page in django if "/releases/" not in name and "genindex" not in name)
    yield from pages.of_html(wanted, "django", "sphinxsidebar", "related", "contents", "highlight", "nav", "sidebar")


SOURCE = Source(
    name="web",
    field="web",
    licence="Apache-2.0, MIT, BSD-3-Clause",
    packages=(Package("apt", "apache2-doc"), Package("apt", "nodejs-doc"), Package("apt", "python-django-doc")),
    documents=documents,
    long="long-manuals",
)
