"""Docstrings of Python's standard library and of common libraries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cherche_models.train.corpus import python
from cherche_models.train.corpus.archive import Archive
from cherche_models.train.corpus.base import Document, Package, Source

LIBRARIES = (
    Package("pip", "django", "5.2.7"),
    Package("pip", "flask", "3.1.2"),
    Package("pip", "click", "8.3.0"),
    Package("pip", "requests", "2.32.5"),
    Package("pip", "httpx", "0.28.1"),
    Package("pip", "jinja2", "3.1.6"),
    Package("pip", "networkx", "3.5"),
    Package("pip", "pytest", "8.4.2"),
    Package("pip", "rich", "14.2.0"),
    Package("pip", "setuptools", "80.9.0"),
    Package("pip", "tornado", "6.5.2"),
    Package("pip", "trio", "0.31.0"),
    Package("pip", "werkzeug", "3.1.3"),
)
_ROOT = "usr/lib/python3.11/"


def documents(archives: Mapping[str, Archive]) -> Iterator[Document]:
    """One document a docstring."""
    for package, archive in archives.items():
        files = archive.texts(f"{_ROOT}*.py" if package.startswith("libpython") else "*.py")
        yield from python.documents((name.removeprefix(_ROOT), code) for name, code in files)


SOURCE = Source(
    name="python",
    field="python",
    licence="PSF-2.0, MIT, BSD-3-Clause, Apache-2.0",
    packages=(Package("apt", "libpython3.11-stdlib"), Package("apt", "libpython3.11-minimal"), *LIBRARIES),
    documents=documents,
)
