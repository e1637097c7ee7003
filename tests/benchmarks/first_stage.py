"""CPU of the first stage, by how its clauses are written: ``python -m tests.benchmarks.prove first_stage``.

One shard of mixed documents on a real server, made of the first 2,000 of SciFact: each holds the first half of one
text and the second half of another, and a random half of the term weights of each, so that no document is there twice.
The ways take turns, each with the same queries for 100 hits; the CPU is that of the whole server over a round, since
that is what runs out. ``nested`` has the boost around the sum of the term weights, ``folded``, which is what is sent,
in each of them. ``python -m tests.benchmarks.first_stage --documents N`` prints the same for another size.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cherche_models import grid, hub, naming
from cherche_models.evaluate import read
from cherche_models.types import TermWeights
from sidecar.engines.opensearch import OpenSearchEngine
from sidecar.engines.opensearch.http import Request
from sidecar.engines.opensearch.query import search_body
from sidecar.values.first_stage import Query, SparseClause
from sidecar.values.index import Fingerprint, IndexMeta, TextField

INDEX = "first-stage"
META = IndexMeta("cherche-tiny", Fingerprint("a" * 64, ""), (TextField("text"),), 256)
DOCUMENTS, SIZE, ROUNDS, QUERIES, COMPARED = 100_000, 100, 5, 50, 200
BOOST = 0.75
_SOURCES, _BULK, _BATCH, _SEED = 2000, 500, 32, 7
_STALE = 1.2  # seconds: the server reads its own statistics once in monitor.process.refresh_interval, 1 s
Send = Callable[..., Awaitable[Any]]


class Corpus:
    """Texts and term weights of SciFact, and queries with their clauses."""

    def __init__(self, folder: Path) -> None:
        model = hub.load(hub.PRETRAINED / "cherche-tiny", device="cpu")
        self._names = naming.feature_names(model.vocabulary)
        test, train = read(folder), read(folder, "train")
        texts = list(test.texts().values())[:_SOURCES]
        self._words = [text.split() for text in texts]
        self._weights = _encoded(model, texts, "document")
        queries = list({**test.queries, **train.queries}.values())[:COMPARED]
        weighted = _encoded(model, queries, "query")
        self.queries = [(text, self._clauses(one)) for text, one in zip(queries, weighted, strict=True)]

    def _clauses(self, weights: TermWeights) -> tuple[SparseClause, ...]:
        heaviest = sorted(weights.items(), key=lambda pair: (-pair[1], pair[0]))
        return tuple(SparseClause(token, self._names[token], weight) for token, weight in heaviest)

    def mixed(self, count: int) -> Iterator[dict[str, Any]]:
        """So many documents, each of two."""
        rng = random.Random(_SEED)
        for _ in range(count):
            one, two = rng.randrange(len(self._words)), rng.randrange(len(self._words))
            first, second = self._words[one], self._words[two]
            features: dict[str, float] = {}
            for token, weight in (*self._weights[one].items(), *self._weights[two].items()):
                if rng.random() < 0.5:
                    name = self._names[token]
                    features[name] = max(weight, features.get(name, 0.0))
            text = " ".join((*first[: len(first) // 2], *second[len(second) // 2 :]))
            yield {"text": text, "cherche_weights": features}


def _encoded(model: Any, texts: Sequence[str], kind: Any) -> list[TermWeights]:
    """Term weights on the grid, in the order of the texts."""
    order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
    found: dict[int, TermWeights] = {}
    for start in range(0, len(order), _BATCH):
        places = order[start : start + _BATCH]
        for place, one in zip(places, model.encode([texts[place] for place in places], kind), strict=True):
            kept = grid.storable(one.weights.weights)
            found[place] = TermWeights(one.weights.ids[kept], grid.round_to_grid(one.weights.weights[kept]))
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
    lexical = search_body(Query(text, "bm25", META.fields, size=SIZE, body={"_source": False}), ())
    return {"bm25": lexical, "nested": nested(folded), "folded": folded}


async def fill(engine: OpenSearchEngine, send: Send, corpus: Corpus, documents: int) -> dict[str, Any]:
    """Index the documents into one shard and merge it into one segment."""
    await send("PUT", f"/{INDEX}", {"settings": {"number_of_shards": 1, "number_of_replicas": 0}})
    await engine.setup(INDEX, META)
    await send("PUT", f"/{INDEX}/_settings", {"index": {"refresh_interval": "-1"}})
    started, lines = time.perf_counter(), list[str]()
    for number, document in enumerate(corpus.mixed(documents), start=1):
        lines += ['{"index":{}}', json.dumps(document)]
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


async def compare(send: Send, queries: Sequence[tuple[str, tuple[SparseClause, ...]]]) -> dict[str, Any]:
    """Whether the ways find the same: hits in order, and the largest relative difference of a score."""
    same, worst = 0, 0.0
    for text, clauses in queries:
        written = bodies(text, clauses)
        before, after = [(await search(send, written[way]))["hits"]["hits"] for way in ("nested", "folded")]
        theirs, ours = [{hit["_id"]: hit["_score"] for hit in hits} for hits in (before, after)]
        # Documents whose scores are equal in float32 may change places; only those are let pass.
        least = min(theirs.values(), default=0.0) * (1 + 1e-5)
        same += all(score <= least for key, score in {**theirs, **ours}.items() if key not in theirs or key not in ours)
        shared = theirs.keys() & ours.keys()
        worst = max([worst, *(abs(theirs[key] - ours[key]) / theirs[key] for key in shared)])
    return {"queries": len(queries), "same_hits": same, "largest_relative_difference_of_a_score": worst}


async def search(send: Send, body: dict[str, Any]) -> Any:
    """Search with named scores, as the sidecar does."""
    return await send("POST", f"/{INDEX}/_search", body, include_named_queries_score="true", request_cache="false")


async def cpu(send: Send) -> int:
    """Milliseconds of CPU that the server's process has had."""
    await asyncio.sleep(_STALE)
    nodes = (await send("GET", "/_nodes/stats/process"))["nodes"]
    return sum(int(node["process"]["cpu"]["total_in_millis"]) for node in nodes.values())


async def race(
    send: Send, queries: Sequence[tuple[str, tuple[SparseClause, ...]]], rounds: int
) -> dict[str, dict[str, Any]]:
    """CPU and time of each way; the first round only warms up."""
    written = [bodies(text, clauses) for text, clauses in queries]
    used: dict[str, list[float]] = {way: [] for way in written[0]}
    took: dict[str, list[float]] = {way: [] for way in written[0]}
    for number in range(rounds + 1):
        for way in written[0]:
            before = await cpu(send)
            times = [(await search(send, one[way]))["took"] for one in written]
            if number:
                used[way].append((await cpu(send) - before) / len(written))
                took[way].append(statistics.median(times))
    return {
        way: {
            "cpu_ms": round(statistics.median(used[way]), 2),
            "cpu_ms_of_each_round": [round(value, 2) for value in used[way]],
            "median_took_ms": statistics.median(took[way]),
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
            ways = await race(send, corpus.queries[:QUERIES], rounds)
        finally:
            await send("DELETE", f"/{INDEX}")
    finally:
        await engine.aclose()
    terms = [len(clauses) for _, clauses in corpus.queries[:QUERIES]]
    return {
        "index": index,
        "queries": QUERIES,
        "terms_of_a_query": round(float(np.mean(terms)), 1),
        "hits": SIZE,
        "ways": ways,
        "folded_over_nested": round(ways["folded"]["cpu_ms"] / ways["nested"]["cpu_ms"], 3),
        "compared": compared,
    }


def measure(documents: int = DOCUMENTS, rounds: int = ROUNDS) -> dict[str, Any]:
    """Build the index and let the ways take turns.

    Parameters
    ----------
    documents : int
    rounds : int
        Rounds that count; one more comes first.
    """
    from tests.benchmarks.prove import cluster_url

    folder = os.environ.get("CHERCHE_TEST_DATA")
    if not folder:
        raise SystemExit("CHERCHE_TEST_DATA is not set: it names the folder of collections in BEIR layout")
    corpus = Corpus(Path(folder) / "scifact")
    with cluster_url() as url:
        return asyncio.run(_measured(url, corpus, documents, rounds))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=DOCUMENTS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    chosen = parser.parse_args()
    print(json.dumps(measure(chosen.documents, chosen.rounds), indent=1))
