"""The mixture: documents without duplicates, queries, hard negatives, and held-out sets in BEIR's layout."""

from __future__ import annotations

import json
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

from cherche_models.train.corpus import queries
from cherche_models.train.corpus.base import Document, Source
from cherche_models.train.corpus.exclusions import EXCLUDED, Exclusions
from cherche_models.train.corpus.negatives import Negatives
from cherche_models.train.corpus.parallel import spread
from cherche_models.train.corpus.queries import Query, Rarity
from cherche_models.train.corpus.text import LONGEST, SHORTEST, fingerprint, is_prose, sentences, words

LONG = {"long-manuals": (800, 4000), "long-articles": (300, 20_000)}
"""Held-out sets of whole chapters and articles, and their fewest and most words."""
_MOST_PER_DOCUMENT = 4
_ENDING = 90
"""Characters that a held-out document may not share with the end of a training document."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes of the mixture.

    Attributes
    ----------
    queries, documents : int
        Of a field, for training. Without queries the held-out sets are the same as with them.
    negatives : int
        Of a query.
    held_queries, held_documents : int
        Of a held-out set.
    seed : int
    """

    queries: int = 15_000
    documents: int = 30_000
    negatives: int = 8
    held_queries: int = 250
    held_documents: int = 5_000
    seed: int = 0


@dataclass(slots=True)
class Field:
    """The documents of a field, each with its source."""

    training: list[tuple[str, Document]] = field(default_factory=list)
    held_out: list[tuple[str, Document]] = field(default_factory=list)


@dataclass(slots=True)
class Gathered:
    """What the sources gave.

    Attributes
    ----------
    fields : dict of name → Field
    long : dict of name → {group → its documents}
        Held-out chapters and articles as they were before short passages and duplicates were dropped.
    dropped : dict of source → Counter
        Documents left out, by reason.
    """

    fields: dict[str, Field] = field(default_factory=lambda: defaultdict(Field))
    long: dict[str, dict[str, list[Document]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))
    dropped: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))


@dataclass(frozen=True, slots=True)
class Screened:
    """A document, its fingerprint, and why it is left out: "" if it is not."""

    document: Document
    fingerprint: str
    reason: str


def screen(documents: Iterable[Document], exclusions: Exclusions) -> list[Screened]:
    """Documents with what speaks against each, apart from duplicates."""
    return [Screened(one, fingerprint(one.body), exclusions.reason(one) or _reason(one)) for one in documents]


def _reason(document: Document) -> str:
    if not SHORTEST <= len(document.body.split()) <= LONGEST + SHORTEST:
        return "short or long"
    return "" if is_prose(document.body) else "no prose"


class Gatherer:
    """Sorts the documents of all sources into fields, without duplicates.

    Documents that begin alike are duplicates. A held-out document that ends as a training document does is left out.
    """

    def __init__(self) -> None:
        self.result = Gathered()
        self._seen: set[str] = set()
        self._endings: set[str] = set()

    def add(self, source: Source, documents: Iterable[Screened]) -> None:
        """Add a source's documents to its field, and its whole held-out groups to its long set, if it has one."""
        dropped = self.result.dropped[source.name]
        place = self.result.fields[source.field]
        for screened in documents:
            document, reason = screened.document, screened.reason
            held_out = document.held_out(source.every)
            if source.long and held_out and document.group and not reason.startswith(EXCLUDED):
                self.result.long[source.long][document.group].append(document)
            if not reason and screened.fingerprint in self._seen:
                reason = "duplicate"
            if reason:
                dropped[reason] += 1
            else:
                self._seen.add(screened.fingerprint)
                (place.held_out if held_out else place.training).append((source.name, document))
                if not held_out:
                    self._endings.add(_ending(document))

    def finish(self) -> Gathered:
        """What was gathered, once all sources are added."""
        for place in self.result.fields.values():
            kept = []
            for name, document in place.held_out:
                if _ending(document) in self._endings:
                    self.result.dropped[name]["held out, but like a training document"] += 1
                else:
                    kept.append((name, document))
            place.held_out = kept
        return self.result


def _ending(document: Document) -> str:
    return " ".join(document.body.split())[-_ENDING:]


def write(
    gathered: Gathered, out: Path, limits: Limits, exclusions: Exclusions, jobs: int = 1
) -> dict[str, dict[str, int]]:
    """Write ``documents.jsonl``, ``train.jsonl`` and ``dev/``; returns counts by field.

    Parameters
    ----------
    gathered : Gathered
    out : Path
        Created.
    limits : Limits
    exclusions : Exclusions
        Queries to leave out.
    jobs : int
        Processes; the result is the same for any number.
    """
    names = sorted(gathered.fields)
    tasks = [(name, gathered.fields[name], out, limits, exclusions) for name in names]
    (out / "parts").mkdir(parents=True, exist_ok=True)
    counts = list(spread(_write_field, tasks, jobs))
    for kind in ("documents", "train"):
        with (out / f"{kind}.jsonl").open("wb") as whole:
            for name in names:
                part = out / "parts" / f"{name}.{kind}.jsonl"
                whole.write(part.read_bytes())
                part.unlink()
    (out / "parts").rmdir()
    result = dict(zip(names, counts, strict=True))
    for name, groups in sorted(gathered.long.items()):
        result[name] = _write_long(name, groups, out, limits)
    return result


def _write_field(task: tuple[str, Field, Path, Limits, Exclusions]) -> dict[str, int]:
    name, documents, out, limits, exclusions = task
    training = _sample(documents.training, limits.documents, f"{limits.seed} {name}")
    held_out = _sample(documents.held_out, limits.held_documents, f"{limits.seed} {name} held out")
    rarity = Rarity(document.body for _, document in training)
    rows = 0
    with (out / "parts" / f"{name}.documents.jsonl").open("w", encoding="utf-8") as file:
        for source, document in training:
            row = {
                "_id": key(document),
                "field": name,
                "source": source,
                "title": document.title,
                "text": document.body,
            }
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    with (out / "parts" / f"{name}.train.jsonl").open("w", encoding="utf-8") as file:
        for example in _rows(name, training, rarity, limits, exclusions):
            file.write(json.dumps(example, ensure_ascii=False) + "\n")
            rows += 1
    judged = _write_dev(out / "dev" / name, held_out, rarity, limits, exclusions) if held_out else 0
    return {"documents": len(training), "queries": rows, "held_documents": len(held_out), "held_queries": judged}


def _rows(
    name: str, training: list[tuple[str, Document]], rarity: Rarity, limits: Limits, exclusions: Exclusions
) -> Iterator[Mapping[str, object]]:
    if not limits.queries:
        return  # and no index of negatives is made
    documents = [document for _, document in training]
    negatives = Negatives(documents, rarity, keep=limits.negatives)
    each = max(1, min(_MOST_PER_DOCUMENT, -(-limits.queries * 5 // (4 * max(1, len(documents))))))
    order = list(range(len(documents)))
    random.Random(f"{limits.seed} {name} order").shuffle(order)
    made = 0
    for place in order:
        source, document = training[place]
        chance = random.Random(f"{limits.seed} {key(document)}")
        for query in queries.several(document, each, rarity, chance):
            if exclusions.query(query.text):
                continue
            yield {
                "query": query.text,
                "positive": query.positive,
                "negatives": negatives.of(query, place, chance),
                "source": name,
                "origin": source,
                "kind": query.kind,
            }
            made += 1
            if made == limits.queries:
                return


def _write_dev(
    folder: Path, held_out: list[tuple[str, Document]], rarity: Rarity, limits: Limits, exclusions: Exclusions
) -> int:
    """A held-out set: each document is shown as a positive is, whether it is one or not."""
    made: dict[str, Query] = {}
    texts: dict[str, str] = {}
    for _, document in held_out:
        chance = random.Random(f"{limits.seed} {key(document)}")
        found = queries.several(document, 1, rarity, chance)
        identifier = key(document)
        texts[identifier] = found[0].positive if found else f"{document.title} {document.body}"
        if found and not exclusions.query(found[0].text):
            made[identifier] = found[0]
    chosen = list(made)
    random.Random(f"{limits.seed} judged").shuffle(chosen)
    judged = [(made[identifier].text, identifier) for identifier in sorted(chosen[: limits.held_queries])]
    _write_beir(folder, texts, judged)
    return len(judged)


def _write_long(name: str, groups: Mapping[str, list[Document]], out: Path, limits: Limits) -> dict[str, int]:
    """Whole chapters; queries are headings and sentences from anywhere in them, which are taken out."""
    texts: dict[str, str] = {}
    judged: list[tuple[str, str]] = []
    chapters: list[tuple[str, list[Document]]] = []
    for group, documents in sorted(groups.items()):
        count = sum(len(document.body.split()) for document in documents)
        if LONG[name][0] <= count <= LONG[name][1]:
            chapters.append((group, documents))
    each = max(1, -(-limits.held_queries // max(1, len(chapters))))
    for number, (group, documents) in enumerate(chapters):
        chance = random.Random(f"{limits.seed} {group}")
        identifier, parts = f"{name}-{number}", []
        places = sorted(chance.sample(range(len(documents)), min(each, len(documents))))
        for place, document in enumerate(documents):
            heading = document.title.partition(": ")[2]
            shown = f"{heading} {document.body}".strip()
            if place in places:
                found = [text for text in sentences(document.body) if queries.can_ask(text)]
                if heading and len(words(heading)) > 1 and chance.random() < 0.4:
                    query, shown = document.title.replace(": ", " "), document.body
                elif found:
                    query = chance.choice(found)
                    shown = shown.replace(query, " ")
                else:
                    query = ""
                if query:
                    judged.append((queries.surface(query, chance, bare=True), identifier))
            parts.append(shown)
        texts[identifier] = " ".join(parts)
    random.Random(f"{limits.seed} {name}").shuffle(judged)
    judged = sorted(judged[: limits.held_queries], key=lambda pair: pair[1])
    _write_beir(out / "dev" / name, texts, judged)
    return {"held_documents": len(texts), "held_queries": len(judged)}


def _write_beir(folder: Path, texts: Mapping[str, str], judged: list[tuple[str, str]]) -> None:
    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    with (folder / "corpus.jsonl").open("w", encoding="utf-8") as file:
        for identifier, text in texts.items():
            file.write(json.dumps({"_id": identifier, "title": "", "text": text}, ensure_ascii=False) + "\n")
    with (folder / "queries.jsonl").open("w", encoding="utf-8") as file:
        for number, (query, _) in enumerate(judged):
            file.write(json.dumps({"_id": f"q{number}", "text": query}, ensure_ascii=False) + "\n")
    rows = ["query-id\tcorpus-id\tscore", *(f"q{number}\t{document}\t1" for number, (_, document) in enumerate(judged))]
    (folder / "qrels" / "dev.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")


def key(document: Document) -> str:
    """Identifier of a document: a digest of its title and text."""
    return blake2b(f"{document.title}\n{document.body}".encode(), digest_size=8).hexdigest()


def _sample(documents: list[tuple[str, Document]], count: int, seed: str) -> list[tuple[str, Document]]:
    """At most `count` documents, in the order given."""
    if len(documents) <= count:
        return list(documents)
    chosen = sorted(random.Random(seed).sample(range(len(documents)), count))
    return [documents[place] for place in chosen]
