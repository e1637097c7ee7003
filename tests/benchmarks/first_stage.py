"""CPU and recall of the first stage, by how its clauses are written: ``make prove SECTION=first_stage``.

One shard of mixed documents on a real server, made of the first 2,000 of SciFact: each holds the first half of one
text and the second half of another, and a random half of the term weights of each, so that no document is there twice.
The ways take turns, each with the same queries for 100 hits; the CPU is that of the whole server over a round, since
that is what runs out. Of each query also its first one, two or three long words, which is what people type.

``nested`` has the boost around the sum of the term weights, ``folded``, which is what is sent by default, in each of
them; both score every hit exactly. ``two phases N/M`` finds M candidates by BM25 and the N heaviest terms and scores
these by all terms; ``pruned`` has the 16 heaviest terms alone. Recall is the share of the exact 100 best that a way
has among its own. ``FIRST_STAGE_DOCUMENTS`` names other sizes than 20,000 and 100,000 documents;
``python -m tests.benchmarks.first_stage --documents N`` prints the same.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cherche_models import codec, grid, hub, naming
from cherche_models.evaluate import read
from cherche_models.types import TermWeights
from sidecar.engines.opensearch import OpenSearchEngine
from sidecar.engines.opensearch.http import Request
from sidecar.engines.opensearch.query import search_body
from sidecar.values.first_stage import Query, SparseClause
from sidecar.values.index import Fingerprint, IndexMeta, TextField

INDEX = "first-stage"
META = IndexMeta("cherche-tiny", Fingerprint("a" * 64, ""), (TextField("text"),), 256)
SIZES = tuple(map(int, os.environ.get("FIRST_STAGE_DOCUMENTS", "20000 100000").split()))
SIZE, ROUNDS, QUERIES, COMPARED = 100, 3, 50, 100
BOOST = 0.75
EXACT = "folded"
PHASES = ((8, 1000), (12, 1000), (16, 1000), (12, 500))
PRUNED = 16
_SOURCES, _BULK, _BATCH, _SEED = 2000, 500, 32, 7
_LONG = 4  # letters, from which on a word is taken for a short query
_STALE = 1.2  # seconds: the server reads its own statistics once in monitor.process.refresh_interval, 1 s
Send = Callable[..., Awaitable[Any]]
Asked = tuple[str, tuple[SparseClause, ...]]
"""A query and its terms, heaviest first."""


@dataclass(frozen=True, slots=True)
class Mixed:
    """A document of two: its text, weights by term, and the place of the first of both."""

    text: str
    weights: dict[int, float]
    first: int


class Corpus:
    """Texts, term weights and token codes of the first of SciFact, and queries with their clauses."""

    def __init__(self, folder: Path, sources: int = _SOURCES) -> None:
        model = hub.load(hub.PRETRAINED / "cherche-tiny", device="cpu")
        self._names = naming.feature_names(model.vocabulary)
        test, train = read(folder), read(folder, "train")
        self.texts = list(test.texts().values())[:sources]
        self._words = [text.split() for text in self.texts]
        encoded = _encoded(model, self.texts, "document")
        self._weights = [one.weights for one in encoded]
        self.codes = [one.codes for one in encoded]
        queries = list({**test.queries, **train.queries}.values())[:COMPARED]
        self.queries = self._asked(model, queries)
        long = [[word for word in text.split() if len(word) >= _LONG] for text in queries[:QUERIES]]
        short = [" ".join(words[: 1 + place % 3]) for place, words in enumerate(long) if words]
        self.groups = {"queries": self.queries[:QUERIES], "of one to three words": self._asked(model, short)}

    def _asked(self, model: Any, texts: Sequence[str]) -> list[Asked]:
        encoded = _encoded(model, texts, "query")
        return [(text, self._clauses(one.weights)) for text, one in zip(texts, encoded, strict=True)]

    def _clauses(self, weights: TermWeights) -> tuple[SparseClause, ...]:
        heaviest = sorted(weights.items(), key=lambda pair: (-pair[1], pair[0]))
        return tuple(SparseClause(token, self._names[token], weight) for token, weight in heaviest)

    def mixed(self, count: int) -> Iterator[Mixed]:
        """So many documents, each of two."""
        rng = random.Random(_SEED)
        for _ in range(count):
            one, two = rng.randrange(len(self._words)), rng.randrange(len(self._words))
            first, second = self._words[one], self._words[two]
            weights: dict[int, float] = {}
            for token, weight in (*self._weights[one].items(), *self._weights[two].items()):
                if rng.random() < 0.5:
                    weights[token] = max(weight, weights.get(token, 0.0))
            yield Mixed(" ".join((*first[: len(first) // 2], *second[len(second) // 2 :])), weights, one)

    def features(self, weights: Mapping[int, float]) -> dict[str, float]:
        """Weights by name in the index."""
        return {self._names[token]: weight for token, weight in weights.items()}


@dataclass(frozen=True, slots=True)
class _Encoded:
    """What an index would store of a text; no codes of a query."""

    weights: TermWeights
    codes: bytes


def _encoded(model: Any, texts: Sequence[str], kind: Any) -> list[_Encoded]:
    """Term weights on the grid and codes, in the order of the texts."""
    order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
    found: dict[int, _Encoded] = {}
    for start in range(0, len(order), _BATCH):
        places = order[start : start + _BATCH]
        for place, one in zip(places, model.encode([texts[place] for place in places], kind), strict=True):
            kept = grid.storable(one.weights.weights)
            weights = TermWeights(one.weights.ids[kept], grid.round_to_grid(one.weights.weights[kept]))
            found[place] = _Encoded(weights, codec.pack_codes(one.embeddings) if kind == "document" else b"")
    return [found[place] for place in range(len(texts))]


def nested(body: dict[str, Any]) -> dict[str, Any]:
    """The same search with the boost around the sum, as it was sent before."""
    lexical, sparse = body["query"]["bool"]["should"]
    features = [one["rank_feature"] for one in sparse["bool"]["should"]]
    plain = [{"rank_feature": {**one, "boost": one["boost"] / BOOST}} for one in features]
    wrapped = {"bool": {**sparse["bool"], "should": plain, "boost": BOOST}}
    return {**body, "query": {"bool": {"should": [lexical, wrapped], "minimum_should_match": 1}}}


def bodies(text: str, clauses: tuple[SparseClause, ...]) -> dict[str, dict[str, Any]]:
    """One query, written in each way."""
    hybrid = Query(text, "hybrid", META.fields, clauses=clauses, sparse_boost=BOOST, size=SIZE, body={"_source": False})
    folded = search_body(hybrid, clauses)
    written = {"bm25": search_body(replace(hybrid, mode="bm25"), ()), "nested": nested(folded), EXACT: folded}
    for terms, candidates in PHASES:
        two = replace(hybrid, first_terms=terms, candidates=candidates)
        written[f"two phases {terms}/{candidates}"] = search_body(two, clauses)
    return {**written, "pruned": search_body(hybrid, clauses[:PRUNED])}


async def fill(engine: OpenSearchEngine, send: Send, corpus: Corpus, documents: int) -> dict[str, Any]:
    """Index the documents into one shard and merge it into one segment."""
    await send("PUT", f"/{INDEX}", {"settings": {"number_of_shards": 1, "number_of_replicas": 0}})
    await engine.setup(INDEX, META)
    await send("PUT", f"/{INDEX}/_settings", {"index": {"refresh_interval": "-1"}})
    started, lines = time.perf_counter(), list[str]()
    for number, document in enumerate(corpus.mixed(documents), start=1):
        source = {"text": document.text, "cherche_weights": corpus.features(document.weights)}
        lines += ['{"index":{}}', json.dumps(source)]
        if number % _BULK == 0 or number == documents:
            reply = await send("POST", f"/{INDEX}/_bulk", ("\n".join(lines) + "\n").encode())
            if reply["errors"]:
                raise SystemExit(f"a document was refused: {reply['items'][0]}")
            lines = []
    indexed = time.perf_counter() - started
    await send("POST", f"/{INDEX}/_forcemerge", max_num_segments="1")
    await send("POST", f"/{INDEX}/_refresh")
    stats = await send("GET", f"/{INDEX}/_stats/store,docs")
    return {
        "documents": stats["_all"]["primaries"]["docs"]["count"],
        "bytes": stats["_all"]["primaries"]["store"]["size_in_bytes"],
        "seconds_to_index": round(indexed, 1),
    }


async def compare(send: Send, queries: Sequence[Asked]) -> dict[str, Any]:
    """Whether nested and folded find the same, and what share of that, and of its best ten, each other way finds.

    Documents whose scores are equal in float32 may change places: a hit that scores as the last one counts as found.
    """
    shares: dict[str, list[tuple[float, float]]] = {}
    worst: dict[str, float] = {}
    for text, clauses in queries:
        found = {way: scores(await search(send, body)) for way, body in bodies(text, clauses).items()}
        exact = found[EXACT]
        for way in found.keys() - {EXACT, "bm25"}:
            shares.setdefault(way, []).append((recall(exact, found[way], SIZE), recall(exact, found[way], 10)))
            shared = exact.keys() & found[way].keys()
            off = max((abs(exact[key] - found[way][key]) / exact[key] for key in shared), default=0.0)
            worst[way] = max(worst.get(way, 0.0), off)
    return {
        way: {
            "recall_at_100": round(float(np.mean([one for one, _ in shares[way]])), 4),
            "least_recall_at_100": round(min(one for one, _ in shares[way]), 2),
            "recall_at_10": round(float(np.mean([ten for _, ten in shares[way]])), 4),
            "largest_relative_difference_of_a_score": worst[way],
        }
        for way in sorted(shares)
    }


def scores(reply: Any) -> dict[str, float]:
    """Score by id, best first."""
    return {hit["_id"]: hit["_score"] for hit in reply["hits"]["hits"]}


def recall(exact: Mapping[str, float], found: Mapping[str, float], depth: int) -> float:
    """Share of the best `depth` that are among the best `depth` that were found."""
    best = list(exact)[:depth]
    kept = set(list(found)[:depth])
    least = exact[best[-1]] * (1 + 1e-5) if best else 0.0
    return sum(key in kept or exact[key] <= least for key in best) / len(best) if best else 1.0


async def search(send: Send, body: dict[str, Any]) -> Any:
    """Search with named scores, as the sidecar does."""
    return await send("POST", f"/{INDEX}/_search", body, include_named_queries_score="true", request_cache="false")


async def cpu(send: Send) -> int:
    """Milliseconds of CPU that the server's process has had."""
    await asyncio.sleep(_STALE)
    nodes = (await send("GET", "/_nodes/stats/process"))["nodes"]
    return sum(int(node["process"]["cpu"]["total_in_millis"]) for node in nodes.values())


async def race(send: Send, queries: Sequence[Asked], rounds: int) -> dict[str, dict[str, Any]]:
    """CPU and time of each way; the first round only warms up."""
    written = [bodies(text, clauses) for text, clauses in queries]
    used: dict[str, list[float]] = {way: [] for way in written[0]}
    took: dict[str, list[float]] = {way: [] for way in written[0]}
    before = await cpu(send)
    for number in range(rounds + 1):
        for way in written[0]:
            times = []
            for one in written:
                started = time.perf_counter()
                await search(send, one[way])
                times.append((time.perf_counter() - started) * 1000)
            after = await cpu(send)
            if number:
                used[way].append((after - before) / len(written))
                took[way] += times
            before = after
    return {
        way: {
            "cpu_ms": round(statistics.median(used[way]), 2),
            "cpu_ms_of_each_round": [round(value, 2) for value in used[way]],
            **{f"p{q}_ms": round(float(np.percentile(took[way], q)), 1) for q in (50, 95)},
        }
        for way in used
    }


async def _measured(url: str, corpus: Corpus, documents: int, rounds: int) -> dict[str, Any]:
    engine = OpenSearchEngine.connect(url, timeout=600.0)

    async def send(method: str, path: str, body: Any = None, **params: str) -> Any:
        return await engine._http.send(Request(method, path, body, params), what="benchmark")

    try:
        index = await fill(engine, send, corpus, documents)
        try:
            compared = await compare(send, corpus.queries)
            raced = {name: await race(send, queries, rounds) for name, queries in corpus.groups.items()}
        finally:
            await send("DELETE", f"/{INDEX}")
    finally:
        await engine.aclose()
    return {
        "index": index,
        "ways": {
            name: {
                "searches": len(queries),
                "terms_of_a_query": round(float(np.mean([len(clauses) for _, clauses in queries])), 1),
                **raced[name],
            }
            for name, queries in corpus.groups.items()
        },
        "compared_with_exact": {"searches": len(corpus.queries), **compared},
    }


def measure(sizes: Sequence[int] = SIZES, rounds: int = ROUNDS) -> dict[str, Any]:
    """Build an index of each size and let the ways take turns.

    Parameters
    ----------
    sizes : sequence of int
        Documents.
    rounds : int
        Rounds that count; one more comes first.
    """
    from tests.benchmarks.prove import cluster_url

    folder = os.environ.get("CHERCHE_TEST_DATA")
    if not folder:
        raise SystemExit("CHERCHE_TEST_DATA is not set: it names the folder of collections in BEIR layout")
    corpus = Corpus(Path(folder) / "scifact")
    with cluster_url() as url:
        found = {str(size): asyncio.run(_measured(url, corpus, size, rounds)) for size in sizes}
    figures: dict[str, Any] = {
        "documents": f"mixed of two of the first {_SOURCES:,} texts of SciFact, one shard, one segment",
        "hits": SIZE,
        "sizes": found,
    }
    return figures if len(sizes) == 1 else {**figures, "cpu_ms_for_a_million_documents_more": slopes(found)}


def slopes(found: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """How the CPU of a search grows from the smallest index to the largest."""
    small, large = min(found, key=int), max(found, key=int)
    more = (int(large) - int(small)) / 1e6
    groups = found[small]["ways"]
    return {
        group: {
            way: round((found[large]["ways"][group][way]["cpu_ms"] - row["cpu_ms"]) / more, 1)
            for way, row in groups[group].items()
            if isinstance(row, dict)
        }
        for group in groups
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, nargs="+", default=SIZES)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    chosen = parser.parse_args()
    print(json.dumps(measure(chosen.documents, chosen.rounds), indent=1))
