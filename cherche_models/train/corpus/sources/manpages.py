"""Manual pages of Linux and of common packages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cherche_models.train.corpus import pages
from cherche_models.train.corpus.archive import Archive
from cherche_models.train.corpus.base import Document, Package, Source

NAMES = (
    "manpages",
    "manpages-dev",
    "perl-doc",
    "coreutils",
    "freebsd-manpages",
    "iproute2",
    "libcurl4-doc",
    "openssh-client",
    "systemd",
    "tcl8.6-doc",
    "util-linux",
)


def documents(archives: Mapping[str, Archive]) -> Iterator[Document]:
    """The sections of the pages in English."""
    for name in NAMES:
        files = archives[name].texts("usr/share/man/man[1-8]/*")
        yield from pages.of_man(files, "man")


SOURCE = Source(
    name="manpages",
    field="commands",
    licence="GPL-2.0-or-later and the packages' own free licences",
    packages=tuple(Package("apt", name) for name in NAMES),
    documents=documents,
)
