"""Documents of manuals in HTML and of manual pages, for the sources that have them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from cherche_models.train.corpus import html, man
from cherche_models.train.corpus.base import Document
from cherche_models.train.corpus.text import passages

_FOOTER = re.compile(
    r"©|Copyright|Part of the git|Last updated|This page is licensed|From cppreference|The Python Software Foundation"
)
_APPENDIX_LINES = """
ATTRIBUTES
AUTHOR
AUTHOR AND COPYRIGHT
AUTHORS
AVAILABILITY
COLOPHON
CONFORMING TO
CONTRIBUTORS
COPYRIGHT
COPYRIGHT AND LICENSE
CREDITS
EXTERNAL LINKS
FILES
HISTORY
KEYWORDS
LICENSE
MAINTAINER
REFERENCES
REPORTING BUGS
SEE ALSO
STANDARDS
SUPPORT
SYNOPSIS
"""
_APPENDICES = frozenset(_APPENDIX_LINES.strip().splitlines())


def of_html(
    files: Iterable[tuple[str, str]], manual: str, *skipped: str, by_section: bool = False
) -> Iterator[Document]:
    """The passages of each section of each page; a page, or a section, is a group.

    Parameters
    ----------
    files : iterable of name and HTML
    manual : str
        Distinguishes pages of the same name.
    skipped : str
        Classes of elements to leave out.
    """
    for name, text in files:
        page = html.read(text, *skipped)
        for section in page.sections:
            kept = [text for text in section.paragraphs if not _FOOTER.match(text)]
            title = section.heading
            if title.upper() in _APPENDICES:
                continue
            if title != page.title:
                title = f"{page.title}: {title}" if title else page.title
            group = title if by_section else name.rsplit("/html/", 1)[-1]
            for passage in passages(kept):
                yield Document(title, passage, group=f"{manual} {group}")


def of_man(files: Iterable[tuple[str, str]], manual: str) -> Iterator[Document]:
    """The passages of each section of each page, and the page's first passage introduced by its NAME line."""
    for name, text in files:
        found = man.page(text)
        if not found.name or not found.description:
            continue
        group = f"{manual} {name.rsplit('/', 1)[-1]}"
        first = True
        for section in found.sections:
            heading = section.heading
            if heading.upper() in _APPENDICES:
                continue
            plain = heading.upper() in ("DESCRIPTION", "SYNOPSIS")
            for passage in passages(section.paragraphs):
                title = found.name if plain else f"{found.name}: {heading.lower() if heading.isupper() else heading}"
                yield Document(title, passage, found.description if first and plain else "", group)
                first = first and not plain
