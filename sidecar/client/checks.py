"""What a client checks before it sends: types, sizes and lone surrogates, item by item."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import fields, replace

from sidecar.config import Limits
from sidecar.errors import ChercheError, invalid, item_name, quoted
from sidecar.values.documents import SourceDocument
from sidecar.values.encoded import EncodedText, EncodeResult, Text
from sidecar.values.search import SearchRequest, Timings
from sidecar.wire.status import CLUSTER_AUTHORIZATION

PART_BYTES = 1 << 20
PART_ITEMS = 256

Send = Callable[[Sequence[Text]], Awaitable[EncodeResult]]


def metadata(token: str, authorization: str) -> tuple[tuple[str, str], ...]:
    """What every call carries: the sidecar's token, and the cluster credentials that it forwards.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT for a secret that no header can carry.
    """
    given = []
    if token:
        given.append(("authorization", f"Bearer {header('token', token)}"))
    if authorization:
        given.append((CLUSTER_AUTHORIZATION, header("authorization", authorization)))
    return tuple(given)


def header(name: str, value: str) -> str:
    """The value, if a header can carry it.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT, not repeating the value.
    """
    if not (value.isascii() and value.isprintable()):
        raise invalid(f"the {name} holds characters that no header can carry", "use printable ASCII")
    return value


def text_problem(text: Text, place: int, limits: Limits) -> ChercheError | None:
    """Why a text cannot be sent."""
    return _problem(text.text, text.id, item_name("text", place, text.id), limits)


def document_problem(document: SourceDocument, place: int, limits: Limits) -> ChercheError | None:
    """Why a document cannot be sent."""
    name = item_name("document", place, document.id)
    if surrogate := _surrogate(document.id):
        return invalid(f"the id of {name} holds a lone surrogate at {surrogate - 1}", "give it another id")
    return _too_large(len(document.raw), name, limits)


def check_query(text: str, limits: Limits) -> None:
    """Refuse a query that cannot be sent.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT.
    """
    if problem := _problem(text, "", "the query", limits):
        raise problem


def check_search(request: SearchRequest, limits: Limits) -> None:
    """Refuse a search that cannot be sent.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT naming the part.
    """
    check_query(request.text, limits)
    if _surrogate(request.index):
        raise invalid("the index name holds a lone surrogate", "name an index that exists")


def check_listed(name: str, given: object) -> None:
    """Refuse what is one item, or has no order, where several are wanted: a string would be taken letter by letter.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT naming the argument.

    >>> check_listed("texts", ["cat", "dog"])
    >>> check_listed("texts", "cat dog")
    Traceback (most recent call last):
    sidecar.errors.ChercheError: texts is of the type str — give a list
    """
    if isinstance(given, str | bytes | Text | Mapping | AbstractSet) or not isinstance(given, Iterable):
        raise invalid(f"{name} is of the type {type(given).__name__}", "give a list")


def sift(texts: Sequence[Text], what: str, limits: Limits) -> tuple[list[int], dict[int, ChercheError]]:
    """Places of the texts that can be sent, and the errors of the others."""
    problems = {
        place: problem
        for place, text in enumerate(texts)
        if (problem := _problem(text.text, text.id, item_name(what, place, text.id), limits))
    }
    return [place for place in range(len(texts)) if place not in problems], problems


def parts(sizes: Sequence[int], most_bytes: int = PART_BYTES, most_items: int = PART_ITEMS) -> Iterator[slice]:
    """Cut a batch so that each part stays below both bounds; an item above them goes alone.

    >>> [(part.start, part.stop) for part in parts([4, 4, 4, 9], most_bytes=8)]
    [(0, 2), (2, 3), (3, 4)]
    """
    start, held = 0, 0
    for place, size in enumerate(sizes):
        if place > start and (held + size > most_bytes or place - start == most_items):
            yield slice(start, place)
            start, held = place, 0
        held += size
    # Nothing is sent as one part: its answer names the model.
    if start < len(sizes) or not sizes:
        yield slice(start, len(sizes))


async def in_parts(texts: Sequence[Text], what: str, limits: Limits, send: Send) -> EncodeResult:
    """Send what can be sent, part by part, and put the answers together in order."""
    sound, problems = sift(texts, what, limits)
    items = {place: EncodedText(place, texts[place].id, problem) for place, problem in problems.items()}
    answers = []
    for part in parts([len(texts[place].text.encode()) for place in sound]):
        places = sound[part]
        answer = await send([texts[place] for place in places])
        answers.append(answer)
        items |= {place: replace(item, index=place) for place, item in zip(places, answer.items, strict=True)}
    timings = Timings(*(sum(getattr(one.timings, f.name) for one in answers) for f in fields(Timings)))
    ordered = tuple(items[place] for place in range(len(texts)))
    return EncodeResult(ordered, answers[0].model, timings, answers[0].fingerprint)


def _problem(text: object, id: object, name: str, limits: Limits) -> ChercheError | None:
    if not isinstance(text, str):
        return _not_a_string(name, text)
    if not isinstance(id, str):
        return _not_a_string(f"the id of {name}", id)
    if surrogate := _surrogate(text):
        return invalid(f"{name} holds a lone surrogate at {surrogate - 1}", "replace it: it is no character")
    if _surrogate(id):
        return invalid(f"the id of {name} holds a lone surrogate", "give it another id")
    return _too_large(len(text.encode()), name, limits)


def _not_a_string(name: str, given: object) -> ChercheError:
    return invalid(f"{name} has the type {type(given).__name__} ({quoted(given)})", "give a string")


def _too_large(size: int, name: str, limits: Limits) -> ChercheError | None:
    if size <= limits.document_bytes:
        return None
    return invalid(
        f"{name} has {size:,} bytes, the limit is {limits.document_bytes:,}",
        "split it, or raise CHERCHE_LIMITS__DOCUMENT_BYTES here and on the server",
    )


def _surrogate(text: str) -> int:
    """Position of the first lone surrogate + 1; 0 where there is none."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return error.start + 1
    return 0
