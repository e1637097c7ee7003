"""Documents as an index in use holds them: many scripts, shapes, ids and routings. Equal seeds give equal documents.

Numbers with a fraction are `Decimal`, so that their digits can be compared; `dumps` and `loads` keep them.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

Json = dict[str, Any]
Key = tuple[str, str]
"""Id and routing value, "" for none: what names a document of an index with routings."""

WORDS: Mapping[str, tuple[str, ...]] = {
    "latin": ("moonlight", "river", "stone", "cloud", "heart", "engine", "café", "naïve", "straße", "harbour", "don't"),
    "cyrillic": ("луна", "река", "камень", "облако", "сердце", "поиск", "город", "ёлка"),
    "greek": ("φεγγάρι", "ποτάμι", "πέτρα", "σύννεφο", "καρδιά", "λιμάνι", "αναζήτηση"),
    "arabic": ("قمر", "نهر", "حجر", "سحابة", "قلب", "مدينة", "بحث"),
    "hebrew": ("ירח", "נהר", "אבן", "ענן", "לב", "עיר", "חיפוש"),
    "devanagari": ("चाँद", "नदी", "पत्थर", "बादल", "दिल", "शहर", "खोज"),
    "han": ("月光", "河流", "石头", "ひかり", "カワ", "都市", "検索"),
    "thai": ("แสงจันทร์", "แม่น้ำ", "ก้อนหิน", "เมฆ", "หัวใจ", "เมือง"),
}
SCRIPTS = tuple(WORDS)
CATEGORIES = ("animals", "drinks", "places", "tools", "books & maps")
TENANTS = tuple(f"t{number}" for number in range(6))
LONGEST_ID = 512  # bytes, the engine's limit
TOO_LARGE = 1_100_000
"""Characters of the text of a document that is beyond the sidecar's default limit."""

_MARKS = (
    "/",
    "?",
    "#",
    '"',
    ",",
    "*",
    " ",
    "%2F",
    "&=",
    "\\",
    "'",
    "<>|",
    "+",
    "\t",
    "\n",
    "..",
    "{{text}}",
    "🦊",
    "é",
)
_DIGITS = ("0.1234567890123456789012345", "1.50", "1E+5", "-0.0", "2.5e-310", "123456789012345678.5")
_SHARES = {"latin": 9}


@dataclass(frozen=True, slots=True)
class Document:
    """A document as its owner writes it.

    Attributes
    ----------
    id, routing : str
        `routing` is "" for none; two documents may share an id where their routings differ.
    number : int
        Its place among all.
    source : dict
    is_too_large : bool
        Whether it is beyond the sidecar's limit, so that it is never encoded.
    """

    id: str
    routing: str
    number: int
    source: Json = field(hash=False)
    is_too_large: bool = False

    @property
    def key(self) -> Key:
        """What names it."""
        return self.id, self.routing


def documents(count: int, seed: int = 12) -> list[Document]:
    """So many documents; a longer list begins with the documents of a shorter one."""
    made: list[Document] = []
    for number in range(count):
        rng = random.Random(f"{seed} {number}")
        twin = made[number - 1] if number % 97 == 96 else None
        routing = _routing(rng)
        id = _id(number, rng)
        if twin is not None:  # under another routing, and so perhaps in another shard
            id, routing = twin.id, f"{twin.routing}-twin"
        source = source_of(number, rng)
        if is_too_large(number):  # it is never written by cherche, so that its numbers would stay as they are
            source.pop("raw", None)
        made.append(Document(id, routing, number, source, is_too_large(number)))
    return made


def source_of(number: int, rng: random.Random) -> Json:
    """Fields of one document; their values take every form that an engine takes."""
    [script] = rng.choices(SCRIPTS, [_SHARES.get(one, 1) for one in SCRIPTS])
    source: Json = {
        "sku": f"SKU-{number:06d}/{rng.choice('äöüß')}",
        "script": script,
        "category": rng.choice(CATEGORIES),
        "tenant": rng.choice(TENANTS),
        "year": rng.choice((1998, 2007, 2015, 2024)),
        **_texts(number, script, rng),
        **_fields(number, rng),
    }
    keys = list(source)
    rng.shuffle(keys)
    return {key: source[key] for key in keys}


def is_too_large(number: int) -> bool:
    """Whether the document's text is beyond the sidecar's limit."""
    return number % 1000 == 500 and not _has_no_text(number)


def mark(number: int) -> str:
    """A word that only the text of this document holds."""
    return f"mark{number:06d}"


def dumps(value: Any) -> str:  # any JSON value
    """One line of JSON with every digit of a `Decimal`."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=lambda one: f"\ue000{one}\ue000")
    return re.sub('"\ue000([^\ue000]*)\ue000"', r"\1", text)


def loads(text: str | bytes) -> Any:  # any JSON value
    """Read JSON without rounding a number."""
    return json.loads(text, parse_float=Decimal)


def rounded(value: Any) -> Any:  # any JSON value
    """What the engine keeps of a document that it read to change it: numbers with a fraction are doubles."""
    if isinstance(value, dict):
        return {key: rounded(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [rounded(inner) for inner in value]
    return Decimal(repr(float(value))) if isinstance(value, Decimal) else value


def sentence(script: str, words: int, rng: random.Random) -> str:
    """So many words of a script, mixed with a few of another one."""
    picked = [rng.choice(WORDS[script if rng.random() < 0.9 else "latin"]) for _ in range(words)]
    return ("" if script in ("han", "thai") and rng.random() < 0.5 else " ").join(picked)


def _has_no_text(number: int) -> bool:
    return number % 11 == 10


def _texts(number: int, script: str, rng: random.Random) -> Json:
    """The text fields; one document in eleven has no text at all."""
    if _has_no_text(number):
        return rng.choice(({}, {"title": None, "text": ""}, {"title": [], "text": [None]}, {"text": "  "}))
    title: Any = sentence(script, rng.randint(2, 6), rng)
    text: Any = f"{sentence(script, rng.randint(4, 24), rng)} {mark(number)}"
    if is_too_large(number):
        text = (text + " ") * (TOO_LARGE // len(text))
    elif number % 100 == 50:
        text = f"{text} {sentence(script, 1500, rng)}"
    form = rng.randrange(10)
    if form == 0:
        text = f"<div class=\"a 'b'\"><p>{text} &amp; &lt;more&gt;<br/></p><script>let a = 1 < 2;</script></div>"
    elif form == 1:
        title, text = [title, None, number], [[text], None, "tail"]
    elif form == 2:
        title = rng.choice((None, number, True, Decimal("1.5"), ""))
    texts = {"title": title, "text": text}
    if rng.random() < 0.6:
        texts["notes"] = sentence(rng.choice(SCRIPTS), rng.randint(1, 12), rng)
    return texts


def _fields(number: int, rng: random.Random) -> Json:
    """Fields beside the texts, each of them absent now and then."""
    digits = rng.choice(_DIGITS)
    values: Json = {
        "tags": rng.choice((["a", None, "b c"], [], None, "single", [["nested", "list"], "ü"])),
        "price": rng.choice((Decimal("19.90"), "12.5", 7, "no number", None)),
        "published": rng.choice(("2024-02-29", 1_700_000_000_000, "2001-01-01T00:00:00Z", None)),
        "parts": [
            {"kind": rng.choice("xyz"), "note": sentence("latin", 3, rng), "n": n} for n in range(rng.randrange(4))
        ],
        "meta": rng.choice(({"info": {"body": "moonlight"}}, {"info.body": "river"}, {}, None)),
        "labels": {"a.b": {"c": str(number)}, "ключ": rng.choice((None, "v", ["v", "w"]))},
        "raw": {"deep": [{"empty": {}, "none": None, "list": [[], [None]]}], "big": 9007199254740993 + number},
        "place": {"lat": rng.randrange(-90, 90), "lon": Decimal("12.50")},
        "address": f"192.168.{number % 256}.{rng.randrange(256)}",
        "flag": rng.choice((True, False, "true", "")),
    }
    values["raw"]["digits"] = Decimal(digits)
    return {key: value for key, value in values.items() if rng.random() < 0.8}


def _id(number: int, rng: random.Random) -> str:
    """Every third id is odd."""
    if number % 3:
        return str(number)
    odd = rng.choice(_MARKS)
    match number % 9:
        case 0:
            return f"{odd}{number}{odd}"
        case 3 if number % 27 == 3:
            return f"{number}-".ljust(480, "x")
        case 3 if number % 27 == 12:
            head = f"{number}-"
            return head + "🦊" * ((LONGEST_ID - len(head)) // 4)
    return f"{number}{odd}{sentence(rng.choice(SCRIPTS), 1, rng)}"


def _routing(rng: random.Random) -> str:
    """Two documents of five have a routing value."""
    return rng.choice(("", "", "", "t3", f"{rng.choice(TENANTS)}/ {rng.choice('#?&ü')}"))


def changed(document: Document, version: int) -> Iterator[tuple[str, Json]]:
    """Ways in which somebody changes a document, as (kind, fields): ``index`` is of the whole, ``update`` of a part."""
    rng = random.Random(f"{document.number} {version}")
    script = document.source["script"]
    text = f"{sentence(script, 6, rng)} {mark(document.number)} v{version}"
    yield "index", {**document.source, "title": f"rewritten {version}", "text": text}
    yield "update", {"year": 1900 + version % 100}
    yield "update", {"text": text, "meta": {"info": {"body": f"v{version}"}}}
    yield "delete", {}
