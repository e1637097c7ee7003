"""Texts that must not be trained on, since a model is judged on them."""

from __future__ import annotations

import builtins
import operator
import re
import sysconfig
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from cherche_models.evaluate.searches import Search
from cherche_models.train.corpus import python
from cherche_models.train.corpus.base import Document
from cherche_models.train.corpus.text import words

EXCLUDED = "excluded"
"""What a reason begins with."""
_ALIKE = 0.6
_FEWEST_WORDS, _BEGINNING = 4, 8


class Exclusions:
    """Names, texts and queries to leave out.

    Parameters
    ----------
    names : iterable of str
        Dotted names. A document is excluded if its title is one or begins with one and a dash or colon, or if it
        mentions the last two parts of one, or its first and its last.
    texts : iterable of str
        A document is excluded if it has the first eight words of one, or shares 60 % of the distinct words of both.
    queries : iterable of str
    """

    def __init__(self, names: Iterable[str] = (), texts: Iterable[str] = (), queries: Iterable[str] = ()) -> None:
        self._names = frozenset(names)
        dotted = [name.split(".") for name in self._names if "." in name]
        tails = sorted({tail for parts in dotted for tail in (".".join(parts[-2:]), f"{parts[0]}.{parts[-1]}")})
        self._mention = re.compile(r"\b(?:" + "|".join(map(re.escape, tails)) + r")\b") if tails else None
        found = [text for text in map(words, texts) if len(text) >= _FEWEST_WORDS]
        self._texts = [frozenset(text) for text in found]
        self._beginnings = [" ".join(text[:_BEGINNING]) for text in found]
        self._queries = {" ".join(words(query)) for query in queries}

    def reason(self, document: Document) -> str:
        """Why a document is excluded; "" if it is not."""
        title = document.title.partition(" — ")[0].partition(": ")[0]
        whole = f"{document.title} {document.body}"
        if not self._names.isdisjoint((document.title, title)) or (self._mention and self._mention.search(whole)):
            return f"{EXCLUDED} name"
        tokens = words(document.body)
        line, found = " ".join(tokens), frozenset(tokens)
        if any(beginning in line for beginning in self._beginnings):
            return f"{EXCLUDED} text"
        for text in self._texts:
            if len(text & found) >= _ALIKE * max(len(text), len(found)):
                return f"{EXCLUDED} text"
        return ""

    def query(self, text: str) -> bool:
        """Whether a query is excluded."""
        return " ".join(words(text)) in self._queries


def of_searches(searches: Sequence[Search]) -> Exclusions:
    """What leaves out searches of Python's documentation and the entries that answer them.

    Parameters
    ----------
    searches : sequence of Search
        Their targets are looked up in the running Python's library, whose files are parsed and not imported.
    """
    names = sorted({target for search in searches for target in search.targets})
    return Exclusions(names, _documentation(names), [search.text for search in searches])


def _documentation(names: Sequence[str]) -> Iterator[str]:
    root = Path(sysconfig.get_path("stdlib"))
    for top in sorted({name.split(".")[0] for name in names}):
        paths = [path for path in (root / f"{top}.py", *sorted((root / top).rglob("*.py"))) if path.is_file()]
        files = ((path.relative_to(root).as_posix(), path.read_text("utf-8")) for path in paths)
        yield from (document.body for document in python.documents(files) if document.title in names)
    for name in names:
        owner, _, member = name.partition(".")
        if member and hasattr(builtins, owner):
            yield python.plain(operator.attrgetter(member)(getattr(builtins, owner)).__doc__ or "")
