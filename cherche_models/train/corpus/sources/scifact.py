"""The training half of SciFact: claims, and the abstracts that they are judged by.

The judgements of the test half are not read. Only what the training half judges becomes a positive.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping

from cherche_models.train.corpus.archive import Archive
from cherche_models.train.corpus.base import Document, Package, Source

_LONGEST = 300


def documents(archives: Mapping[str, Archive]) -> Iterator[Document]:
    """The judged abstracts; the claims that each is relevant to are its questions."""
    files = dict(archives["scifact"].texts("corpus.jsonl", "queries.jsonl", "qrels/train.tsv"))
    claims: dict[str, list[str]] = defaultdict(list)
    for line in files["qrels/train.tsv"].splitlines()[1:]:
        query, document, relevance = line.split("\t")
        if int(relevance) > 0:
            claims[document].append(query)
    wanted = {query for queries in claims.values() for query in queries}
    texts = {
        row["_id"]: row["text"] for row in map(json.loads, files["queries.jsonl"].splitlines()) if row["_id"] in wanted
    }
    for row in map(json.loads, files["corpus.jsonl"].splitlines()):
        if row["_id"] in claims:
            text = " ".join(str(row["text"]).split()[:_LONGEST])
            questions = tuple(texts[query] for query in claims[row["_id"]])
            yield Document(row["title"], text, group=f"scifact {row['_id']}", questions=questions)


SOURCE = Source(
    name="scifact",
    field="claims",
    licence="CC-BY-4.0, ODC-By-1.0",
    packages=(Package("folder", "scifact"),),
    documents=documents,
)
