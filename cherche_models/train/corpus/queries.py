"""Queries made from documents without a language model.

Each query leaves out of its document what it was made from (Inverse Cloze Task: Lee et al. 2019, "Latent Retrieval
for Weakly Supervised Open Domain Question Answering", section 4), so that a match is more than a copy.
"""

from __future__ import annotations

import math
import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from cherche_models.train.corpus.base import Document
from cherche_models.train.corpus.text import STOP, lead, sentences, words

KINDS = {"summary": 4.0, "title": 1.5, "question": 2.0, "inner": 2.0, "keywords": 1.2}
"""Kinds of queries, and how often each is drawn relative to the others."""
LONGEST = 32
"""Words of a query."""
_FEWEST, _SHORTEST_REST = 5, 6
_TYPOS, _LOWER, _BARE, _SPELT = 0.06, 0.6, 0.2, 0.5
_QUESTIONS = ("how to {}", "how do I {}", "how can I {}", "{}", "how to {} ?", "way to {}")
_DEFINITIONS = ("what is {}", "{} meaning", "define {}", "what does {} mean", "what is meant by {}", "explain {}")
_NOUNS = ("{}", "{}", "about {}", "explain {}")
_TERM = re.compile(r"[A-Za-z][A-Za-z' -]*[A-Za-z]")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|[._:/#$]+")
_DEPENDENT = re.compile(
    r"(?:However|This|These|That|Those|It|Its|They|Their|He|She|Therefore|Thus|Hence|But|And|Or|So|Otherwise|Then|Also"
    r"|Instead|Moreover|Furthermore|Additionally|Here|There|In this|In that|See|For example|Such|Both|Neither|Note)\b"
)
"""Begins a sentence that cannot be understood without the one before it."""
_KEYS = "qwertyuiop asdfghjkl zxcvbnm"
_VERBS_TEXT = """
accept acquire activate add adjust align allocate allow analyse analyze append apply assign attach begin bind block
build cache calculate call cancel change check clean clear clone close combine compare compile complete compress
compute concatenate configure connect construct consume contain control convert copy count create decode decompress
decrypt define delete describe destroy detach detect determine disable disconnect display divide download draw drop
dump edit emit enable encode encrypt end ensure enter escape estimate evaluate execute exit expand export extract
fetch fill filter find finish fit flush fold force format free generate get give group handle hash hide identify
import include increase initialize insert install inspect invert invoke iterate join kill launch limit list load
locate lock log look make manage map mark match measure merge modify monitor mount move multiply normalize notify
obtain open order output overwrite pack parse pass perform play plot pop prepare prevent print process produce
provide push put query raise read receive record redirect reduce refresh register release reload remove rename
render repeat replace report request reset resize resolve restore retrieve return reverse rotate round run sample
save scale scan schedule search select send serialize set show shuffle shut skip sleep solve sort specify split
start stop store strip submit subtract swap switch synchronize take terminate test transform translate transpose
traverse trim truncate turn uninstall unlock unpack unregister update upload use validate verify view wait watch
wrap write yield zip
"""
_VERBS = frozenset(_VERBS_TEXT.split())


@dataclass(frozen=True, slots=True)
class Query:
    """A query, and the text of the document that it was made from, without it.

    Attributes
    ----------
    kind : str
        A key of `KINDS`, or "given" for one of the document's own questions.
    text : str
    positive : str
    """

    kind: str
    text: str
    positive: str


class Rarity:
    """Inverse document frequencies of the words of a collection.

    Parameters
    ----------
    texts : iterable of str
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self._counts: Counter[str] = Counter()
        self._size = 0
        for text in texts:
            self._counts.update(set(words(text)))
            self._size += 1

    def __call__(self, word: str) -> float:
        """ln((N + 1) / (df + 0.5)); 0 for a stop word.

        >>> rarity = Rarity(["a duck swims", "a duck flies"])
        >>> rarity("the"), round(rarity("duck"), 3), round(rarity("swims"), 3)
        (0.0, 0.182, 0.693)
        """
        return 0.0 if word in STOP else math.log((self._size + 1) / (self._counts[word] + 0.5))

    def known(self, word: str) -> int:
        """How many texts contain the word."""
        return self._counts[word]


def view(document: Document, kind: str) -> str:
    """The document as a candidate for a query of a kind: without what the query was made from.

    Negatives are shown as the positive is, so that the missing part tells nothing; one that is all summary keeps it.

    >>> duck = Document("duck", "It swims in ponds and lakes.", "A bird.")
    >>> view(duck, "title"), view(duck, "summary")
    ('A bird. It swims in ponds and lakes.', 'duck It swims in ponds and lakes.')
    """
    if kind in ("title", "question") and document.title:
        return document.body
    if kind == "summary" and len((rest := _summary(document)[1]).split()) >= _SHORTEST_REST:
        return f"{document.title} {rest}".strip()
    return f"{document.title} {document.body}".strip()


def make(document: Document, kind: str, rarity: Rarity, chance: random.Random) -> Query | None:
    """A query of one kind, or None if the document gives none.

    Parameters
    ----------
    document : Document
    kind : str
        A key of `KINDS`.
    rarity : Rarity
        Of the collection's words.
    chance : random.Random
        Decides among templates, sentences, words and spelling.
    """
    made = _MAKERS[kind](document, rarity, chance)
    if made is None:
        return None
    text, positive = made
    text = surface(" ".join(text.split()[:LONGEST]), chance, bare=kind in ("summary", "inner"))
    if len(positive.removeprefix(document.title).split()) < _SHORTEST_REST or not words(text):
        return None
    return Query(kind, text, positive)


def several(document: Document, count: int, rarity: Rarity, chance: random.Random) -> list[Query]:
    """The document's own questions, then at most `count` queries in all, of different kinds drawn by `KINDS`."""
    made = [Query("given", question, view(document, "given")) for question in document.questions]
    kinds = dict(KINDS)
    while kinds and len(made) < count:
        kind = chance.choices(list(kinds), list(kinds.values()))[0]
        del kinds[kind]
        if query := make(document, kind, rarity, chance):
            made.append(query)
    return made


def surface(text: str, chance: random.Random, *, bare: bool = False) -> str:
    """The text as somebody might type it: without the full stop, often lower-case, seldom misspelt.

    Parameters
    ----------
    text : str
    chance : random.Random
    bare : bool
        Whether it may lose its stop words.
    """
    text = text.strip().rstrip(".:;,").strip()
    if chance.random() < _LOWER:
        text = text.lower()
    if bare and chance.random() < _BARE:
        kept = [word for word in text.split() if word.lower() not in STOP]
        text = " ".join(kept) if len(kept) > 1 else text
    return misspelt(text, chance) if chance.random() < _TYPOS else text


def misspelt(text: str, chance: random.Random) -> str:
    """The text with one letter of one word dropped, doubled, exchanged with the next or with its neighbour key.

    >>> misspelt("ducks swim", random.Random(3)) != "ducks swim", misspelt("a b", random.Random(0))
    (True, 'a b')
    """
    tokens = text.split(" ")
    long = [place for place, token in enumerate(tokens) if len(token) > 3 and token.isalpha()]
    if not long:
        return text
    place = chance.choice(long)
    word = tokens[place]
    at = chance.randrange(1, len(word) - 1)
    change = chance.choice(("drop", "double", "exchange", "slip"))
    if change == "drop":
        word = word[:at] + word[at + 1 :]
    elif change == "double":
        word = word[:at] + word[at] + word[at:]
    elif change == "exchange":
        word = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    else:
        key = _KEYS.find(word[at].lower())
        near = _KEYS[key + 1] if 0 <= key < len(_KEYS) - 1 and _KEYS[key + 1] != " " else word[at]
        word = word[:at] + near + word[at + 1 :]
    return " ".join([*tokens[:place], word, *tokens[place + 1 :]])


def spelt_out(name: str) -> str:
    """The words of an identifier.

    >>> spelt_out("http.HTTPServer.read_allBytes"), spelt_out("night owl")
    ('http HTTP Server read all Bytes', 'night owl')
    """
    return " ".join(_HUMP.sub(" ", name).split())


def question(summary: str) -> str | None:
    """What a summary does, as the end of "how to …"; None if it does not begin with a common verb.

    >>> question("Returns the name of the owner."), question("A very large duck.")
    ('return the name of the owner', None)
    """
    first, _, rest = summary.strip().rstrip(".").partition(" ")
    base = _base(first.lower())
    return f"{base} {rest}" if base and rest else None


def _base(word: str) -> str | None:
    for form in (word, word.removesuffix("s"), word.removesuffix("es"), f"{word.removesuffix('ies')}y"):
        if form in _VERBS:
            return form
    return None


def can_ask(sentence: str) -> bool:
    """Whether a sentence is of a query's length and understood without the one before it.

    >>> can_ask("Ducks swim in ponds and lakes."), can_ask("However, they swim in ponds and lakes.")
    (True, False)
    """
    return _FEWEST <= len(words(sentence)) <= LONGEST and not _DEPENDENT.match(sentence)


def _summary(document: Document) -> tuple[str, str]:
    """What introduces the document, and the rest."""
    if document.summary:
        return document.summary, document.text
    return lead(document.text)


_Made = tuple[str, str] | None


def _by_summary(document: Document, _: Rarity, __: random.Random) -> _Made:
    summary, rest = _summary(document)
    dependent = not document.summary and _DEPENDENT.match(summary)
    return (summary, f"{document.title} {rest}".strip()) if len(words(summary)) > 2 and rest and not dependent else None


def _by_title(document: Document, _: Rarity, chance: random.Random) -> _Made:
    if not document.title:
        return None
    page, _colon, heading = document.title.partition(": ")
    if heading:
        return chance.choice((document.title, f"{page} {heading}", f"{heading} {page}")), view(document, "title")
    shown = chance.choice((document.title, *document.names))
    return spelt_out(shown) if chance.random() < _SPELT else shown, view(document, "title")


def _by_question(document: Document, _: Rarity, chance: random.Random) -> _Made:
    summary, rest = _summary(document)
    if asked := question(summary.split(". ")[0]):
        return chance.choice(_QUESTIONS).format(asked), f"{document.title} {rest}".strip()
    page, _colon, heading = document.title.partition(": ")
    if heading:
        return f"{chance.choice(_NOUNS).format(heading)} {chance.choice(('in', 'of', 'for'))} {page}", view(
            document, "title"
        )
    names = [name for name in document.names or (page,) if _TERM.fullmatch(name) and len(name.split()) <= 4]
    return (chance.choice(_DEFINITIONS).format(chance.choice(names)), view(document, "title")) if names else None


def _by_inner(document: Document, _: Rarity, chance: random.Random) -> _Made:
    found = sentences(document.text)
    usable = [place for place, sentence in enumerate(found) if place and can_ask(sentence)]
    if not usable:
        return None
    place = chance.choice(usable)
    rest = " ".join([*found[:place], *found[place + 1 :]])
    return found[place], " ".join(part for part in (document.title, document.summary, rest) if part)


def _by_keywords(document: Document, rarity: Rarity, chance: random.Random) -> _Made:
    chosen = keywords(document.body, chance.randint(2, 5), rarity, chance)
    return (" ".join(chosen), view(document, "keywords")) if len(chosen) > 1 else None


def keywords(text: str, count: int, rarity: Rarity, chance: random.Random) -> list[str]:
    """Distinct words of a text, drawn by inverse document frequency times log term frequency, in order of the text.

    Words of a single text, or of two letters and less, are left out: they are names and misprints.
    """
    counts = Counter(words(text))
    pool = {
        word: rarity(word) * (1 + math.log(n))
        for word, n in counts.items()
        if len(word) > 2 and not word.isdigit() and rarity.known(word) > 1 and rarity(word) > 0
    }
    best = sorted(pool, key=lambda word: (-pool[word], word))[: 4 * count]
    # Efraimidis and Spirakis 2006, "Weighted random sampling with a reservoir": the largest u^(1/w).
    drawn = sorted(best, key=lambda word: -(chance.random() ** (1 / pool[word])))[:count]
    order = list(counts)
    return sorted(drawn, key=order.index)


_MAKERS: dict[str, Callable[[Document, Rarity, random.Random], _Made]] = {
    "summary": _by_summary,
    "title": _by_title,
    "question": _by_question,
    "inner": _by_inner,
    "keywords": _by_keywords,
}


def rarest(text: str, count: int, rarity: Rarity) -> Sequence[str]:
    """The words of a text that are in the fewest documents, at least one; what a search for it can be limited to."""
    found = [word for word in dict.fromkeys(words(text)) if word not in STOP and rarity.known(word)]
    return sorted(found, key=lambda word: (-rarity(word), word))[:count]
