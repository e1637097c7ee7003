"""Paragraphs of a MediaWiki dump: ``python -m cherche_models.train.corpus.wiki DUMP.xml.bz2 > passages.jsonl``."""

from __future__ import annotations

import bz2
import html
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO
from xml.etree import ElementTree

from cherche_models.evaluate.beir import Document

_SHORTEST, _LONGEST = 45, 220
_APPENDICES = frozenset({"References", "External links", "See also", "Further reading", "Notes"})
_HEADING = re.compile(r"=+\s*(.*?)\s*=+\s*$")
_REMOVED = (
    (re.compile(r"<!--.*?-->|<ref[^>/]*/>|<ref.*?</ref>", re.DOTALL), 1),
    (re.compile(r"\{\{[^{}]*\}\}"), 6),
    (re.compile(r"\{\|.*?\|\}", re.DOTALL), 1),
    (re.compile(r"\[\[(?:File|Image|Category)[^\[\]]*(?:\[\[[^\[\]]*\]\][^\[\]]*)*\]\]", re.IGNORECASE), 3),
)
_SHOWN = (
    re.compile(r"\[\[[^\[\]|]*\|([^\[\]]*)\]\]"),
    re.compile(r"\[\[([^\[\]]*)\]\]"),
    re.compile(r"\[https?://\S+ ([^\]]*)\]"),
)


def passages(dump: Path) -> Iterator[Document]:
    """Paragraphs of articles with at least 45 words, truncated to 220, without lists and appendices.

    Parameters
    ----------
    dump : Path
        ``pages-articles.xml.bz2``; decompressed as it is read.

    Yields
    ------
    dict
        ``_id``, ``title`` (the article's, and the section's after a colon), ``text``.
    """
    number = 0
    for title, text in articles(dump):
        for section, paragraph in paragraphs(plain(text)):
            if len(paragraph.split()) < _SHORTEST:
                continue
            number += 1
            words = paragraph.split()[:_LONGEST]
            yield {"_id": f"w{number}", "title": f"{title}: {section}" if section else title, "text": " ".join(words)}


def plain(markup: str) -> str:
    """Approximate plain text of wiki markup.

    >>> plain("A '''duck''' is a [[Bird|fowl]].<ref>Who says?</ref> {{citation needed}}")
    'A duck is a fowl.   '
    """
    for pattern, times in _REMOVED:
        for _ in range(times):
            markup = pattern.sub(" ", markup)
    for pattern in _SHOWN:
        markup = pattern.sub(r"\1", markup)
    return html.unescape(re.sub(r"'{2,}", "", re.sub(r"<[^>]+>", " ", markup)))


def articles(dump: Path | IO[bytes]) -> Iterator[tuple[str, str]]:
    """Title and markup of each article that is no redirect."""
    with bz2.open(dump) as file:
        for _, element in ElementTree.iterparse(file):
            if not element.tag.endswith("}page"):
                continue
            title = element.findtext("{*}title") or ""
            text = element.findtext("{*}revision/{*}text") or ""
            element.clear()
            if ":" not in title and not text.upper().startswith("#REDIRECT"):
                yield title, text


def paragraphs(text: str) -> Iterator[tuple[str, str]]:
    """Section and text of each paragraph of an article's plain text, without lists and appendices."""
    section = ""
    for line in text.split("\n"):
        if heading := _HEADING.match(line):
            section = heading.group(1)
        elif section not in _APPENDICES and line.strip() and line[:1] not in "*#|!:;":
            yield section, line


if __name__ == "__main__":
    for found in passages(Path(sys.argv[1])):
        print(json.dumps(found))
