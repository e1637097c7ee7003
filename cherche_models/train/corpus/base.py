"""What a source of the mixture declares, and the documents that it yields."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b

from cherche_models.train.corpus.archive import Archive
from cherche_models.train.corpus.text import fingerprint

HELD_OUT_EVERY = 8
"""One group of documents in so many is held out."""


@dataclass(frozen=True, slots=True)
class Package:
    """A package and the client that fetches it.

    Attributes
    ----------
    client : str
        A key of `cherche_models.train.corpus.clients.CLIENTS`.
    name : str
    version : str
        "" takes the version that the machine's package index has, as Debian keeps one only.
    """

    client: str
    name: str
    version: str = ""


@dataclass(frozen=True, slots=True)
class Document:
    """A passage, with what introduces it kept apart so that either can become a query for the rest.

    Attributes
    ----------
    title : str
        Name or heading.
    summary : str
        The sentence that introduces the text, or "".
    text : str
        The rest; one line.
    group : str
        The chapter, page or article that it is part of, all of which is held out or nothing; "" if it stands alone.
    names : tuple of str
        What it is called, if more than the title: synonyms.
    questions : tuple of str
        What it is known to answer.
    """

    title: str
    text: str
    summary: str = ""
    group: str = ""
    names: tuple[str, ...] = ()
    questions: tuple[str, ...] = ()

    @property
    def body(self) -> str:
        """Summary and text."""
        return f"{self.summary} {self.text}".strip()

    def held_out(self, every: int = HELD_OUT_EVERY) -> bool:
        """Whether the document belongs to the held-out set: a function of its group or of its first words alone."""
        return _number(self.group or fingerprint(self.body)) % every == 0


Documents = Callable[[Mapping[str, Archive]], Iterator[Document]]
"""Takes the archives by package name."""


@dataclass(frozen=True, slots=True)
class Source:
    """One source of documents.

    Attributes
    ----------
    name : str
        That of its module, with hyphens.
    field : str
        Subject; negatives and held-out sets are formed within a field. Sources may share one.
    licence : str
        SPDX expression or the names of the licences.
    packages : tuple of Package
    documents : callable
    long : str
        Name of the held-out set of whole groups (chapters, articles); "" for none.
    every : int
        One group in so many is held out.
    """

    name: str
    field: str
    licence: str
    packages: tuple[Package, ...]
    documents: Documents
    long: str = ""
    every: int = HELD_OUT_EVERY


def _number(key: str) -> int:
    return int.from_bytes(blake2b(key.encode(), digest_size=8).digest(), "big")
