"""Training examples and held-out sets made of a user's own documents, without a language model or judgements."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from cherche_models.errors import DataError
from cherche_models.train import data
from cherche_models.train.corpus import queries
from cherche_models.train.corpus.base import Document
from cherche_models.train.corpus.negatives import Negatives
from cherche_models.train.corpus.queries import Rarity, view
from cherche_models.train.corpus.text import fingerprint, is_prose, passages, words
from cherche_models.train.rows import Example
from cherche_models.train.staged import JudgedSet

FEWEST = 50
"""Documents from which queries can be made: fewer teach chance."""
_FEWEST_TESTED = 5
_HELD_OUT, _MOST_HELD_OUT = 4, 1000  # one document in four, and of many a thousand
_DEVELOPMENT = 0.3
_PASSAGES, _QUERIES, _NEGATIVES = 4, 2, 6  # at most: of a document, of a passage, of a query
_TITLE_WORDS = 20
_HEADING = re.compile(r"#{1,6}\s+(\S.*)")


@dataclass(frozen=True, slots=True)
class Made:
    """What was made of the documents.

    Attributes
    ----------
    examples : list of Example
        For training; their source is the kind of the query.
    development, test : JudgedSet
        Documents that training does not see, each with one query: for choices, and for the report.
    used : int
        Documents that examples or sets were made of.
    """

    examples: list[Example]
    development: JudgedSet
    test: JudgedSet
    used: int

    def write(self, folder: Path) -> None:
        """Write everything to a folder, from which `read` restores it."""
        folder.mkdir(parents=True, exist_ok=True)
        data.write(folder / "examples.jsonl", self.examples)
        about = {"development": asdict(self.development), "test": asdict(self.test), "used": self.used}
        (folder / "held_out.json").write_text(json.dumps(about, ensure_ascii=False), encoding="utf-8")


def read(folder: Path) -> Made:
    """What `Made.write` wrote."""
    about = json.loads((folder / "held_out.json").read_text(encoding="utf-8"))
    development, test = (JudgedSet(**about[name]) for name in ("development", "test"))
    return Made(list(data.read(folder / "examples.jsonl")), development, test, about["used"])


def make(texts: Mapping[str, Sequence[str]], *, most: int, seed: int = 0) -> Made:
    """Queries of the documents, with hard negatives among them, and held-out sets.

    A query is a title, a heading, a sentence, a question or some rare words, and its positive the passage without it.
    Documents that begin alike are all held out, or none.

    Parameters
    ----------
    texts : mapping of id → text of each field
        If there are several fields, the first is the title where it is short.
    most : int
        Examples.
    seed : int

    Raises
    ------
    DataError
        If there are fewer than `FEWEST` documents to make queries from.
    """
    found = {key: passages_of(fields) for key, fields in texts.items()}
    usable = {key: documents for key, documents in found.items() if documents}
    if len(usable) < FEWEST:
        raise DataError(
            f"{len(texts):,} documents",
            f"{len(usable):,} have enough text to make queries from, and fewer than {FEWEST} teach nothing but chance",
            "read more with --documents, name the fields that hold the text with --fields, or index more first",
        )
    every = max(_HELD_OUT, len(usable) // _MOST_HELD_OUT)
    held_out = [key for key, documents in usable.items() if documents[0].held_out(every)]
    aside = set(held_out)
    training = [document for key, documents in usable.items() if key not in aside for document in documents]
    rarity = Rarity(document.body for document in training)
    random.Random(f"{seed} held out").shuffle(held_out)
    split = round(_DEVELOPMENT * len(held_out))
    development, test = (
        _judged({key: usable[key][0] for key in keys}, rarity, seed) for keys in (held_out[:split], held_out[split:])
    )
    examples = list(_examples(training, rarity, most, seed))
    if len(test.queries) < _FEWEST_TESTED or not development.queries or not examples:
        raise DataError(
            f"{len(texts):,} documents",
            f"{len(examples):,} queries to train with and {len(test.queries):,} to measure with can be made of them",
            "read more with --documents, or name the fields that hold the text with --fields",
        )
    return Made(examples, development, test, len(usable))


def passages_of(fields: Sequence[str]) -> list[Document]:
    r"""The passages of one document, under its title and their heading; none if it has too little text.

    >>> [one.title for one in passages_of(["Ducks", "# Food\nThey eat grass, seeds, snails, frogs and some bread."])]
    ['Ducks: Food']
    """
    title, body = _title(fields)
    group = fingerprint(body)
    found = [
        Document(f"{title}: {heading}" if title and heading else title or heading, text, group=group)
        for heading, lines in _sections(body)
        for text in passages(lines)
    ]
    return found[:_PASSAGES]


def _title(fields: Sequence[str]) -> tuple[str, str]:
    """Title and text: the first of several fields, or a first line that stands alone, if it is short."""
    first, *rest = [field.strip() for field in fields if field.strip()] or [""]
    body = "\n".join(rest)
    if not body:
        first, _, body = first.partition("\n")
        if first.endswith((".", "!", "?", ":")):
            return "", f"{first}\n{body}"
    if body.strip() and len(first.split()) <= _TITLE_WORDS:
        return " ".join(first.lstrip("#").split()), body
    return "", f"{first}\n{body}"


def _sections(body: str) -> Iterator[tuple[str, list[str]]]:
    """Headings of Markdown, with the lines below each."""
    heading, lines = "", list[str]()
    for line in body.splitlines():
        if found := _HEADING.fullmatch(line.strip()):
            yield heading, lines
            heading, lines = found[1].rstrip("# "), []
        else:
            lines.append(line)
    yield heading, lines


def _made(document: Document, count: int, rarity: Rarity, chance: random.Random) -> list[queries.Query]:
    """Queries of a passage; questions, whose words are English, only of English."""
    english = is_prose(document.body)
    made = queries.several(document, count if english else count + 1, rarity, chance)
    return [query for query in made if english or query.kind != "question"][:count]


def _examples(training: Sequence[Document], rarity: Rarity, most: int, seed: int) -> Iterator[Example]:
    negatives = Negatives(training, rarity, keep=_NEGATIVES)
    siblings: dict[str, list[Document]] = {}
    for document in training:
        siblings.setdefault(document.group, []).append(document)
    order = list(range(len(training)))
    random.Random(f"{seed} order").shuffle(order)
    made = 0
    for place in order:
        document = training[place]
        chance = random.Random(f"{seed} {place}")
        for query in _made(document, _QUERIES, rarity, chance):
            # Another passage of the same document may answer the query as well.
            answers = {view(other, query.kind) for other in siblings[document.group]} | {view(document, "")}
            others = [text for text in negatives.of(query, place, chance) if text not in answers]
            answers.discard(query.positive)
            yield Example(query.text, query.positive, tuple(others), tuple(sorted(answers)), query.kind)
            made += 1
            if made == most:
                return


def _judged(documents: Mapping[str, Document], rarity: Rarity, seed: int) -> JudgedSet:
    """One query for each document, which is shown without what the query was made from."""
    texts: dict[str, list[str]] = {}
    asked: dict[str, str] = {}
    for key, document in documents.items():
        found = _made(document, 1, rarity, random.Random(f"{seed} {key}"))
        texts[key] = [found[0].positive if found else view(document, "")]
        if found and words(found[0].text):
            asked[key] = found[0].text
    return JudgedSet(texts, asked, {key: {key: 1} for key in asked})
