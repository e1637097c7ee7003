"""A document of a caller's JSON object: its id, its routing value, and the bytes that are sent. Pure."""

from __future__ import annotations

import json
from typing import Any

from sidecar.errors import invalid
from sidecar.values.documents import Json, SourceDocument


def read_id(source: Json, name: str) -> str:
    """The id of a document: ``_id``, else ``id``.

    Parameters
    ----------
    source : mapping
    name : str
        What errors call the document.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT where there is none, or it is neither a string nor a whole number.

    >>> read_id({"_id": 7, "id": "a"}, "document 0")
    '7'
    """
    value = source.get("_id", source.get("id"))
    if value is None or value == "":
        raise invalid(f"{name} has no _id and no id", "give each document an id of its own")
    return _word(value, "id", name)


def read_document(source: Json, name: str) -> SourceDocument:
    """The document, without ``_id`` and ``_routing``.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT as `read_id`; for such a routing, for what JSON does not hold, and for lone surrogates.

    >>> read_document({"_id": "a", "text": "Aspirin"}, "document 0")
    SourceDocument(id='a', raw=b'{"text":"Aspirin"}', routing='')
    """
    identifier, routing = read_id(source, name), source.get("_routing")
    kept = {key: value for key, value in source.items() if key not in ("_id", "_routing")}
    try:
        text = json.dumps(kept, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise invalid(f"{name} is not JSON: {error}", "use objects, lists, strings, numbers, booleans, null") from error
    return SourceDocument(identifier, _encoded(text, name), "" if routing is None else _word(routing, "routing", name))


def _word(value: Any, what: str, name: str) -> str:  # noqa: ANN401  # any JSON value
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise invalid(f"{name} has the {what} {value!r}", f"{what}s are strings or whole numbers")
    _encoded(str(value), name)
    return str(value)


def _encoded(text: str, name: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        culprit = ascii(error.object[error.start])
        raise invalid(
            f"{name} holds the lone surrogate {culprit}", "remove it or pair it: it is no character"
        ) from error
