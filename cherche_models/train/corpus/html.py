"""Sections of an HTML page: headings, and the paragraphs under each."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser

from cherche_models.train.corpus.text import one_line

_HEADINGS = frozenset({"h1", "h2", "h3", "h4", "h5"})
_BLOCKS = frozenset(
    {"p", "li", "dd", "dt", "div", "section", "blockquote", "td", "tr", "table", "ul", "ol", "dl", "br"}
)
_SKIPPED = frozenset({"script", "style", "nav", "pre", "header", "footer", "form", "button", "svg", "select"})
_LABELS = frozenset(
    {"", "CONTENTS", "DESCRIPTION", "KEYWORDS", "NAME", "NOTE", "OVERVIEW", "SYNOPSIS", "TABLE OF CONTENTS"}
)
_VOID = frozenset({"br", "hr", "img", "input", "link", "meta", "wbr", "col", "area", "base", "embed", "source"})
_SITE = re.compile(r"\s+[-—|]\s+.*$")
_NUMBER = re.compile(
    r"^(?:(?:chapter|section|appendix)\s+)?(?:[A-Z]\.|\d+(?:\.\d+)*\.?)(?:[A-Z]?\d+\.)*\s+|[¶#§]\s*$", re.I
)


@dataclass(slots=True)
class Section:
    """A heading and its paragraphs, up to the next heading of any level."""

    heading: str
    paragraphs: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Page:
    """A page's title and its sections in order; text before the first heading is under the heading ""."""

    title: str
    sections: list[Section]


def read(page: str, *skipped: str) -> Page:
    """Read a page.

    Its title is the first heading that is no label such as "Description", else that of its head, without what follows
    a dash. Code blocks, navigation and elements of the classes in `skipped` are left out; numbers and permalink signs
    are removed from headings.

    >>> found = read("<h1>1.2. Ducks</h1><p>They <b>swim</b>.<p>And fly.<h2>Food</h2><pre>x</pre>Fish")
    >>> found.title, [(section.heading, section.paragraphs) for section in found.sections]
    ('Ducks', [('Ducks', ['They swim.', 'And fly.']), ('Food', ['Fish'])])
    """
    reader = _Reader(frozenset(skipped))
    reader.feed(page)
    reader.close()
    reader.flush()
    found = [section for section in reader.found if section.heading or section.paragraphs]
    heading = next((section.heading for section in found if section.heading.upper() not in _LABELS), "")
    return Page(heading or _SITE.sub("", one_line(reader.title)), found)


class _Reader(HTMLParser):
    def __init__(self, skipped: frozenset[str]) -> None:
        super().__init__()
        self.found = [Section("")]
        self.title = ""
        self._skipped, self._hidden, self._heading = skipped, "", False
        self._depth = 0
        self._text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self._hidden:
            self._depth += tag == self._hidden
            return
        classes = next((value or "" for name, value in attrs if name == "class"), "").split()
        if tag not in _VOID and (tag in _SKIPPED or not self._skipped.isdisjoint(classes)):
            self.flush()
            self._hidden, self._depth = tag, 1
        elif tag in _HEADINGS:
            self.flush()
            self._heading = True
        elif tag == "title" or (tag in _BLOCKS and not self._heading):
            self.flush()

    def handle_endtag(self, tag: str) -> None:
        if self._hidden:
            self._depth -= tag == self._hidden
            if not self._depth:
                self._hidden = ""
        elif tag == "title":
            self.title = self.title or "".join(self._text)
            self._text = []
        elif tag in _HEADINGS and self._heading:
            heading = _NUMBER.sub("", _NUMBER.sub("", one_line("".join(self._text))))
            self.found.append(Section(heading))
            self._text, self._heading = [], False
        elif tag in _BLOCKS and not self._heading:
            self.flush()

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self._text.append(data)

    def flush(self) -> None:
        if text := one_line("".join(self._text)):
            self.found[-1].paragraphs.append(text)
        self._text = []
        self._heading = False
