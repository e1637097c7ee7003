"""What counts as a text: every public function that takes texts checks them here."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet

from cherche_models.errors import ItemError

_SHOWN = 40


def check_texts(texts: object) -> None:
    """Check that an argument is a list of texts that can be encoded as UTF-8.

    Raises
    ------
    TypeError
        If it is a single text, a mapping or a set, or has no length.
    ItemError
        Naming the position of the first item that is no string, or holds a lone surrogate.

    >>> check_texts(["fine", "café"])
    >>> check_texts(["fine", float("nan")])
    Traceback (most recent call last):
    cherche_models.errors.ItemError: text 1 has the type float (nan): give a string
    """
    if isinstance(texts, str | bytes | Mapping | AbstractSet) or not isinstance(texts, Collection):
        raise TypeError(f"texts is a {type(texts).__name__}: give a list of texts")
    for position, text in enumerate(texts):
        if problem := problem_of(text):
            raise ItemError(position, problem)


def check_pairs(queries: Sequence[str], documents: Sequence[str]) -> None:
    """Check two lists of texts, the first of one of which belongs to the first of the other, and so on.

    Raises
    ------
    TypeError, ItemError
        As `check_texts`, for either.
    ValueError
        If there are more of one than of the other.

    >>> check_pairs("cat", "dog")
    Traceback (most recent call last):
    TypeError: texts is a str: give a list of texts
    """
    check_texts(queries)
    check_texts(documents)
    if len(queries) != len(documents):
        raise ValueError(f"{len(queries)} queries and {len(documents)} documents: give one document for each query")


def problem_of(text: object) -> str:
    """Why an object cannot be encoded as a text; empty if it can.

    >>> problem_of(["a", "b"]), problem_of("a")
    ("has the type list (['a', 'b']): give a string", '')
    """
    if not isinstance(text, str):
        said = repr(text)
        said = said if len(said) <= _SHOWN else f"{said[:_SHOWN]}…"
        return f"has the type {type(text).__name__} ({said}): give a string"
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        return f"holds the lone surrogate {text[error.start]!r} at position {error.start}: replace the character"
    return ""


def field_text(document: Mapping[str, object], field: str, position: int) -> str:
    """The text of a document's field; empty if the field is missing or None.

    Parameters
    ----------
    document : mapping
    field : str
    position : int
        Of the document, for errors.

    Raises
    ------
    ItemError
        If the field holds anything else, such as NaN.
    """
    value = document.get(field)
    if value is None:
        return ""
    if problem := problem_of(value):
        raise ItemError(position, f"cannot be made: its field {field!r} {problem}, or leave the field out")
    return str(value)


def joined(document: Mapping[str, object], fields: Sequence[str], position: int) -> str:
    """The text of a document: its fields joined by one space, without empty ones; raises as `field_text`.

    >>> joined({"title": "Ducks", "body": None, "text": "They swim."}, ("title", "body", "text"), 0)
    'Ducks They swim.'
    """
    return " ".join(text for field in fields if (text := field_text(document, field, position)))
