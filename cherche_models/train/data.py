"""Training examples: a query, a positive (relevant) text and hard negatives."""

from __future__ import annotations

import ast
import json
import random
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path

from cherche_models.evaluate import beir
from cherche_models.evaluate.beir import Document, text_of
from cherche_models.train.bm25 import BM25
from cherche_models.train.rows import Example as Example
from cherche_models.train.rows import check_format, parse

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")


def write(path: Path, examples: Iterable[Example]) -> None:
    """Write examples as JSONL."""
    with path.open("w", encoding="utf-8") as lines:
        lines.writelines(json.dumps(asdict(example), ensure_ascii=False) + "\n" for example in examples)


def read(path: Path) -> Iterator[Example]:
    """Examples of a JSONL file; see `rows.example` for the fields of a line.

    Raises
    ------
    DataError
        Naming file and line of the first invalid example. `stream.lines` counts and skips those instead.
    """
    check_format(path)
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield parse(line, f"{path}:{number}")


def triples(rows: Iterable[tuple[str, str, str]]) -> Iterator[Example]:
    """Examples of (query, positive, negative) triples.

    >>> next(triples([("q", "yes", "no")])).negatives
    ('no',)
    """
    for query, positive, negative in rows:
        yield Example(query, positive, (negative,))


def judged(collection: beir.Collection, queries: Iterable[str], source: str = "judged") -> Iterator[Example]:
    """One example for each relevant document of the given queries; those that the corpus lacks are left out."""
    texts = collection.texts()
    for query in queries:
        found = [d for d, relevance in collection.qrels[query].items() if relevance > 0]
        relevant = tuple(texts[d] for d in found if d in texts)
        for positive in relevant:
            others = tuple(text for text in relevant if text != positive)
            yield Example(collection.queries[query], positive, answers=others, source=source)


def title_pairs(documents: Iterable[Document], source: str = "title") -> Iterator[Example]:
    """Title as query, text as positive, of documents that have both."""
    for document in documents:
        title, text = str(document.get("title") or ""), str(document.get("text") or "")
        if title and text:
            yield Example(title, text, answers=(text_of(document),), source=source)


def sentence_pairs(
    documents: Iterable[Document],
    *,
    per_document: int,
    seed: int,
    words: tuple[int, int] = (6, 40),
    source: str = "sentence",
) -> Iterator[Example]:
    """A sentence as query, its document without it as positive: inverse cloze task (Lee et al. 2019, section 4).

    Parameters
    ----------
    documents : iterable of documents
    per_document : int
        Sentences drawn from each document.
    seed : int
    words : (int, int)
        Minimum and maximum words of a drawn sentence.
    source : str
    """
    draw = random.Random(seed)
    for document in documents:
        sentences = _SENTENCE_END.split(str(document.get("text") or ""))
        usable = [i for i, s in enumerate(sentences) if words[0] <= len(s.split()) <= words[1]]
        if len(sentences) < 3:
            continue
        for chosen in draw.sample(usable, min(per_document, len(usable))):
            rest = " ".join(sentence for i, sentence in enumerate(sentences) if i != chosen)
            positive = text_of({**document, "text": rest})
            yield Example(sentences[chosen], positive, answers=(text_of(document),), source=source)


def docstrings(folder: Path, skip: Collection[str] = ("site-packages", "test", "tests")) -> Iterator[Document]:
    """Docstrings of the Python files under a folder, parsed without importing them.

    Each module, class and function with a summary line and more text yields
    ``{_id, title, summary, text}``: its dotted name twice, the first line, the rest.
    Files that are not valid Python are skipped; test data often contains some on purpose.

    Parameters
    ----------
    folder : Path
    skip : collection of str
        Names of folders to leave out, at any depth.
    """
    for path in sorted(folder.rglob("*.py")):
        if not set(skip).isdisjoint(path.relative_to(folder).parts):
            continue
        try:
            tree = ast.parse(path.read_bytes())
        except (SyntaxError, ValueError):
            continue
        name = ".".join(path.relative_to(folder).with_suffix("").parts).removesuffix(".__init__")
        yield from _documented(tree, name)


def _documented(
    node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef, name: str
) -> Iterator[Document]:
    documentation = ast.get_docstring(node) or ""
    summary, _, rest = documentation.partition("\n\n")
    if rest.strip():
        yield {"_id": name, "title": name, "summary": " ".join(summary.split()), "text": " ".join(rest.split())}
    for child in node.body:
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _documented(child, f"{name}.{child.name}")


def docstring_pairs(documents: Iterable[Document], source: str = "docstring") -> Iterator[Example]:
    """Summary line as query, dotted name and the remaining text as positive."""
    for document in documents:
        summary = str(document["summary"])
        if len(summary.split()) >= 4:
            whole = f"{document['title']} {summary} {document['text']}"
            yield Example(summary, text_of(document), answers=(whole,), source=source)


def mine(examples: Iterable[Example], index: BM25, texts: Mapping[str, str], *, depth: int = 30) -> Iterator[Example]:
    """Replace each example's negatives by the texts that BM25 ranks highest, without known relevant ones.

    Parameters
    ----------
    examples : iterable of Example
    index : BM25
    texts : mapping of id → text
        The indexed documents as the model reads them.
    depth : int
        Ranks to consider.
    """
    for example in examples:
        known = {example.positive, *example.answers}
        found = (texts[key] for key, _ in index.search(example.query, depth))
        yield replace(example, negatives=tuple(text for text in found if text not in known), scores=())


def mixed(
    examples: Sequence[Example], shares: Mapping[str, float], batch: int, seed: int
) -> Callable[[int], list[Example]]:
    """Batches by step number: ``mixed(...)(step)`` is deterministic.

    Each source is read in a shuffled order that changes with each pass, so a
    resumed run sees the same examples as an uninterrupted one.

    Parameters
    ----------
    examples : sequence of Example
    shares : mapping of source → share
        Rows of a batch are divided in proportion, see `apportion`; shares need not sum to 1.
    batch : int
    seed : int

    Raises
    ------
    ValueError
        If a source has no example.
    """
    pools = {source: [e for e in examples if e.source == source] for source in shares}
    if empty := [source for source, pool in pools.items() if not pool]:
        raise ValueError(f"no example has the source {empty}; there are {sorted({e.source for e in examples})}")
    counts = apportion(shares, batch)

    def at(step: int) -> list[Example]:
        return [
            _example_at(pools[source], step * count + i, f"{seed}/{source}")
            for source, count in counts.items()
            for i in range(count)
        ]

    return at


def apportion(shares: Mapping[str, float], batch: int) -> dict[str, int]:
    """Rows of a batch for each source, by the largest remainder method.

    >>> apportion({"a": 2, "b": 1}, 4)
    {'a': 3, 'b': 1}
    """
    whole = sum(shares.values())
    exact = {source: batch * share / whole for source, share in shares.items()}
    counts = {source: int(value) for source, value in exact.items()}
    by_remainder = sorted(exact, key=lambda source: (counts[source] - exact[source], source))
    for source in by_remainder[: batch - sum(counts.values())]:
        counts[source] += 1
    return counts


def _example_at(pool: Sequence[Example], position: int, seed: str) -> Example:
    epoch, place = divmod(position, len(pool))
    return pool[_order(len(pool), f"{seed}/{epoch}")[place]]


@lru_cache(maxsize=64)
def _order(size: int, seed: str) -> list[int]:
    order = list(range(size))
    random.Random(seed).shuffle(order)
    return order
