"""Errors that name the item, the reason and the next step."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from enum import StrEnum
from typing import Any

_CREDENTIALS = re.compile(r"://[^\s\"'<>/?#]*@")
MOST_QUOTED = 200
"""Characters of a name or value that a message repeats."""
MOST_SAID = 1000
"""Characters of a reason, and of a next step: what is left of a message that forgot to quote."""


class Code(StrEnum):
    """Kinds of failure, named as gRPC names them."""

    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    NOT_FOUND = "NOT_FOUND"
    ALREADY_EXISTS = "ALREADY_EXISTS"
    FAILED_PRECONDITION = "FAILED_PRECONDITION"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    RESOURCE_EXHAUSTED = "RESOURCE_EXHAUSTED"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    UNAVAILABLE = "UNAVAILABLE"
    ABORTED = "ABORTED"
    CANCELLED = "CANCELLED"
    INTERNAL = "INTERNAL"


class ChercheError(Exception):
    """A failure with a kind, a reason and a next step.

    Attributes
    ----------
    code : Code
    reason : str
        What went wrong, naming the item.
    next_step : str
        What mends it; empty where nothing does.
    retry_after : float or None
        Seconds after which a retry is worth it; only on overload.
    """

    def __init__(self, code: Code, reason: str, next_step: str = "", *, retry_after: float | None = None) -> None:
        self.code = code
        # Errors are shown, logged and sent: here each passes, whatever it quotes.
        self.reason = said(reason)
        self.next_step = said(next_step)
        super().__init__(f"{self.reason} — {self.next_step}" if next_step else self.reason)
        self.retry_after = retry_after

    def __reduce__(self) -> tuple[Any, ...]:
        """Parts that make it again: an exception's own way forgets all but its message."""
        return _remade, (type(self), self.args, self.__dict__)

    @property
    def retryable(self) -> bool:
        """Whether the same call may succeed later."""
        return self.code in (Code.RESOURCE_EXHAUSTED, Code.UNAVAILABLE)


def _remade(kind: type[ChercheError], args: tuple[Any, ...], fields: dict[str, Any]) -> ChercheError:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(fields)
    return error


def said(text: str, most: int = MOST_SAID) -> str:
    """A text as it may be shown and logged: at most so many characters, and no credentials.

    >>> said("no answer from https://ada:hunter2@cluster:9200/" + "x" * 5000, 80)
    'no answer from https://***@cluster:9200/xxxxx… (4,980 left out) …xxxxxxxxxxxxxxx'
    """
    return shortened(masked(text), most)


def shortened(text: str, most: int = MOST_QUOTED) -> str:
    """A text of at most so many characters: the beginning names the item, the end often says what is wrong.

    >>> shortened("x" * 5000, 50)
    'xxxxxxxxxxxxxxxxxxxxxxx… (4,970 left out) …xxxxxxx'
    """
    if len(text) <= most:
        return text
    kept = max(0, most - len(f"… ({len(text):,} left out) …"))
    tail = kept // 4
    head = kept - tail
    return f"{text[:head]}… ({len(text) - kept:,} left out) …{text[len(text) - tail :]}"


def quoted(value: object) -> str:
    """What a caller sent, as a message repeats it: in quotation marks, and bounded.

    >>> quoted("articles"), len(quoted("x" * 100_000))
    ("'articles'", 201)
    """
    return repr(shortened(value)) if isinstance(value, str) else shortened(repr(value))


def masked(text: str) -> str:
    """A text without the credentials of the URLs in it.

    >>> masked("no answer from https://ada:hunter2@cluster:9200/books")
    'no answer from https://***@cluster:9200/books'
    """
    return _CREDENTIALS.sub("://***@", text)


def masked_address(address: str) -> str:
    """An address without the credentials in it, with or without a scheme.

    >>> masked_address("ada:hunter2@cluster:9200"), masked_address("cluster:9200")
    ('***@cluster:9200', 'cluster:9200')
    """
    scheme, mark, rest = address.rpartition("://")
    credentials, at, host = rest.rpartition("@")
    return f"{scheme}{mark}***@{host}" if at else f"{scheme}{mark}{credentials}{host}"


def invalid(reason: str, next_step: str = "") -> ChercheError:
    """The caller's item is wrong; the same item will fail again."""
    return ChercheError(Code.INVALID_ARGUMENT, reason, next_step)


def not_found(reason: str, next_step: str = "") -> ChercheError:
    """What was named is not there."""
    return ChercheError(Code.NOT_FOUND, reason, next_step)


def precondition(reason: str, next_step: str = "") -> ChercheError:
    """Something must be done first: `next_step` says what."""
    return ChercheError(Code.FAILED_PRECONDITION, reason, next_step)


def unavailable(reason: str, next_step: str = "") -> ChercheError:
    """Something this call needs does not answer."""
    return ChercheError(Code.UNAVAILABLE, reason, next_step)


def overloaded(reason: str, retry_after: float) -> ChercheError:
    """Refused early; try again after `retry_after` seconds."""
    return ChercheError(Code.RESOURCE_EXHAUSTED, reason, f"retry in {retry_after:g} s", retry_after=retry_after)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A question with the nearest of the known names, to begin a next step with; "" where none is near.

    >>> did_you_mean("artcles", ["articles", "books"]), did_you_mean("x", ["articles"])
    ("did you mean 'articles'? otherwise ", '')
    """
    near = nearest(name, known)
    return f"did you mean {near!r}? otherwise " if near else ""


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name that is most like one; "" where none is near.

    >>> nearest("artcles", ["articles", "books"]), nearest("articles" * 1000, ["articles"])
    ('articles', '')
    """
    # The comparison takes seconds of the event loop for millions of characters, which no known name is near to.
    near = difflib.get_close_matches(name, known, 1) if len(name) <= MOST_QUOTED else []
    return near[0] if near else ""


def item_name(what: str, index: int, id: str) -> str:
    """How messages call an item.

    >>> item_name("document", 3, ""), item_name("document", 3, "a")
    ('document 3', "document 'a'")
    """
    return f"{what} {quoted(id)}" if id else f"{what} {index}"


def naming(error: ChercheError, name: str) -> ChercheError:
    """The same error, saying which item it is about."""
    if name in error.reason:
        return error
    return ChercheError(error.code, f"{name}: {error.reason}", error.next_step, retry_after=error.retry_after)
