"""A document's JSON becomes the text that is encoded."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Sequence
from typing import Any, NoReturn

from cherche_models.evaluate import formats
from sidecar.errors import invalid, quoted
from sidecar.pipeline.fingerprint import sha256_of
from sidecar.values.documents import OWN_FIELDS, Json, SourceDocument, text_of, value_at
from sidecar.values.index import Fingerprint, TextField

MAX_ID_BYTES = 512
# Letters, numbers, and the symbols among which emoji are; not punctuation, spaces, signs of mathematics or currency.
_OF_WORDS = ("Lu", "Ll", "Lt", "Lm", "Lo", "Nd", "Nl", "No", "So")


def has_words(text: str) -> bool:
    """Whether a query has anything to look for; `tests/contract/words.json` holds the plugin to the same answers.

    >>> has_words("C++?"), has_words("?!")
    (True, False)
    """
    return any(unicodedata.category(character) in _OF_WORDS for character in text)


def parse(document: SourceDocument, limit: int) -> dict[str, Any]:
    """Read a document, or say what is wrong with it.

    Parameters
    ----------
    document : SourceDocument
    limit : int
        Most bytes of JSON.

    Returns
    -------
    dict : the user's own fields.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT naming the document, the reason and the next step.
    """
    name = f"document {document.id!r}"
    _check_id(document.id)
    if len(document.raw) > limit:
        raise invalid(
            f"{name} has {len(document.raw):,} bytes, the limit is {limit:,}",
            "split it, or raise CHERCHE_LIMITS__DOCUMENT_BYTES on the server",
        )
    try:
        text = document.raw.decode("utf-8")
        source = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=formats.once)
        # `1e999` is read as infinity, and escapes hide lone surrogates: both show only in what is written.
        written = json.dumps(source, ensure_ascii=False, allow_nan=False)
    except UnicodeDecodeError as error:
        raise invalid(f"{name} is not UTF-8 at byte {error.start}", "convert the file to UTF-8") from None
    except (ValueError, RecursionError) as error:
        raise invalid(f"{name} is not JSON: {error}", "mend the line") from None
    if not isinstance(source, dict):
        raise invalid(f"{name} is a JSON {type(source).__name__}, not an object", "wrap it as {…}")
    if _has_surrogate(written):
        raise invalid(f"{name} holds a lone surrogate", "replace it before feeding: it is no character")
    _check_fields(document.id, source)
    return source


def same_json(one: Json, other: Json) -> bool:
    """Whether two documents say the same; the order of keys says nothing.

    >>> same_json({"a": 1, "b": 2}, {"b": 2, "a": 1}), same_json({"a": 1}, {"a": True})
    (True, False)
    """
    return one == other and json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def _check_id(id: str) -> None:
    if not id:
        raise invalid("a document has no id", "give it an _id (or id) that is not empty")
    if _has_surrogate(id):
        raise invalid(f"the id {quoted(id)} holds a lone surrogate", "replace it before feeding: it is no character")
    if len(id.encode()) > MAX_ID_BYTES:
        raise invalid(f"document {quoted(id)} has an id longer than {MAX_ID_BYTES} bytes", "shorten the id")


def _check_fields(id: str, source: dict[str, Any]) -> None:
    """Refuse what belongs to cherche; take out ``_id``, which is no field of a document."""
    reserved = next((key for key in source if key in OWN_FIELDS), None)
    if reserved:
        raise invalid(f"document {id!r} uses the reserved field {reserved!r}", "rename or drop that field")
    if source.get("_id", id) != id:
        raise invalid(f"document {id!r} holds another _id, {source['_id']!r}", "send it under that id, or drop _id")
    source.pop("_id", None)


def _has_surrogate(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def field_texts(name: str, source: Json, fields: Sequence[TextField]) -> list[str]:
    """The text of each encoded field, "" where it is absent.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT if a field holds an object, which no text field of an engine takes.

    >>> field_texts("document 1", {"title": 7, "text": ["b", None, "c"]}, [TextField("title"), TextField("text")])
    ['7', 'b c']
    """
    texts = []
    for field in fields:
        text = text_of(value_at(source, field.name))
        if text is None:
            raise invalid(
                f"{name}: field {field.name!r} holds an object, not text",
                "name the text within it, such as --fields chapters.body",
            )
        texts.append(text)
    return texts


def has_text(texts: Sequence[str]) -> bool:
    """Whether there is anything to encode.

    >>> has_text(["", "a"]), has_text([" ", ""])
    (True, False)
    """
    return any(text.strip() for text in texts)


def join(texts: Sequence[str]) -> str:
    """The text that is encoded: fields in order, one space between.

    >>> join(["a title", "", "a text"])
    'a title a text'
    """
    return " ".join(text for text in texts if text)


def content_hash(texts: Sequence[str], fields: Sequence[TextField], fingerprint: Fingerprint) -> str:
    """sha256 of the encoded text and what encodes it; equal hashes need no second encoding."""
    shares = [field.token_share for field in fields]
    text: Any = join(texts) if not any(shares) else [list(texts), shares]
    return sha256_of([text, fingerprint.sparse, fingerprint.codes])
