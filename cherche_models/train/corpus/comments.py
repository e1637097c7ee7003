"""Documentation comments of source code: ``/** … */``, ``///`` and ``//``, with the name that each documents."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from cherche_models.train.corpus.base import Document
from cherche_models.train.corpus.text import lead, one_line, words

_BLOCK = re.compile(r"/\*\*(?!\*|/)(.*?)\*/\s*(?=((?:[^\n]*\n?){1,4}))", re.DOTALL)
_STAR = re.compile(r"^[ \t]*\* ?", re.MULTILINE)
_TAG = re.compile(r"^[ \t]*@(\w+)[ \t]*", re.MULTILINE)
_INLINE = re.compile(r"\{@\w+\s+([^{}|]*?)(?:\s*\|\s*([^{}]*))?\}")
_FENCE, _MARKUP = re.compile(r"```.*?(?:```|\Z)", re.DOTALL), re.compile(r"</?[a-zA-Z][^<>]*>")
_PRE = re.compile(r"<pre\b.*?(?:</pre>|\Z)", re.DOTALL | re.IGNORECASE)
_LINK = re.compile(r"\[([^\]\n]*)\]\([^)\s]*\)|\[([^\]\n]*)\](?:\[[^\]\n]*\])?")
_KEPT_TAGS = {"param": "", "returns": "Returns ", "return": "Returns ", "throws": "Throws ", "description": ""}
_SUMMARY_WORDS = 28
_ENTITIES = {"&lt;": "<", "&gt;": ">", "&amp;": "&", "&nbsp;": " ", "&quot;": '"', "&#64;": "@"}


def blocks(code: str, name: re.Pattern[str]) -> Iterator[tuple[str, str]]:
    r"""Name and comment of each ``/** … */`` that a declaration follows.

    Parameters
    ----------
    code : str
    name : re.Pattern
        Finds a declaration; its first group that matched is the name.

    >>> list(blocks("/** A duck. */\nclass Duck {}", re.compile(r"class (\w+)")))
    [('Duck', ' A duck. ')]
    """
    for comment, declaration in _BLOCK.findall(code):
        if found := name.search(declaration):
            yield next(group for group in found.groups() if group), _STAR.sub("", comment)


def lines(code: str, mark: str, name: re.Pattern[str]) -> Iterator[tuple[str, str]]:
    r"""Name and comment of each run of lines that begin with a mark and that a declaration follows.

    A name of several groups is joined by full stops.

    >>> list(lines("/// A duck.\n#[derive(Debug)]\npub struct Duck;", "///", re.compile(r"pub struct (\w+)")))
    [('Duck', 'A duck.')]
    """
    comment: list[str] = []
    for line in code.splitlines():
        stripped = line.strip()
        if stripped.startswith(mark):
            comment.append(stripped[len(mark) :].removeprefix(" "))
        elif comment and not stripped.startswith(("#[", "@", "#!")):
            if found := name.match(stripped):
                yield ".".join(group for group in found.groups() if group), "\n".join(comment)
            comment = []


def document(title: str, comment: str) -> Document:
    """A document of a comment: its first sentence is the summary; code and markup are left out."""
    text = _MARKUP.sub(" ", _PRE.sub(" ", _FENCE.sub(" ", comment)))
    text = _LINK.sub(lambda match: match[1] or match[2] or "", _INLINE.sub(lambda match: match[2] or match[1], text))
    for entity, character in _ENTITIES.items():
        text = text.replace(entity, character)
    text = text.replace("`", "").replace("**", "")
    main, *tagged = _TAG.split(text)
    first, rest = lead(one_line(main))
    parts = [rest]
    for tag, value in zip(tagged[::2], tagged[1::2], strict=True):
        if tag in _KEPT_TAGS and value.strip():
            parts.append(f"{_KEPT_TAGS[tag]}{value.strip().removeprefix('- ')}".rstrip(" .") + ".")
    return introduced(title, first, one_line(" ".join(parts)))


def introduced(title: str, first: str, rest: str) -> Document:
    """A document whose first sentence is its summary, if it is short and something follows it."""
    if rest and len(words(first)) <= _SUMMARY_WORDS:
        return Document(title, rest, first)
    return Document(title, f"{first} {rest}".strip())


def documented(pairs: Iterable[tuple[str, str]], prefix: str) -> Iterator[Document]:
    """Documents of names and comments, each name under a prefix such as its package's."""
    for name, comment in pairs:
        yield document(f"{prefix}{name}", comment)
