"""An index's life on a real cluster: ``python -m tests.benchmarks.prove life``.

Backfill: 20,000 documents (the standard library's documentation, SciFact, Cranfield, repeated with changed texts)
that were in the cluster before cherche was; the command is killed with SIGKILL in the middle and run again, while
5 % of the documents are written anew by somebody else. Then every document is read back, and every text that the
model was given is counted. Upgrade: another model under 20 searches a second, while others write.

The models are fakes that encode at once and note what they encode: what is shown is that nothing is lost, stale or
done twice. How fast a real model encodes is another figure.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import count, pairwise
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import numpy as np

from sidecar.demo.corpus import standard_library
from sidecar.engines.opensearch import bookkeeping
from sidecar.testing import NAN, POISON

INDEX = "life"
DOCUMENTS = 20_000
SEARCHES_PER_SECOND = 20
SAMPLED = 64  # documents that each run encodes for its estimate
IN_FLIGHT = 3 * 128  # documents that a kill may find encoded and not yet written

# The whole command, in one process with its sidecar; its model notes the text of every document that it encodes.
PROGRAM = """
import hashlib, os, sys
import sidecar.models.library
from sidecar.testing import FakeModel

class Noting(FakeModel):
    def encode(self, tokens, kind):
        found = super().encode(tokens, kind)
        if kind == "document":
            lines = "".join(hashlib.sha256(repr(one.texts).encode()).hexdigest() + "\\n" for one in tokens)
            with open(os.environ["ENCODED"], "a") as file:
                file.write(lines)
        return found

sidecar.models.library.load_model = lambda *_, **__: Noting(name="cherche-small", max_length=128, latency=0.002)
from sidecar.cli import main
main()
"""


def documents(wanted: int, data: Path | None) -> Iterator[tuple[str, dict[str, str]]]:
    """So many documents: each collection once, then again with a changed text."""
    corpus = [(entry.id, {"title": entry.id, "text": entry.text}) for entry in standard_library()]
    for name in ("scifact", "cranfield") if data is not None else ():
        lines = (Path(str(data)) / name / "corpus.jsonl").read_text(encoding="utf-8").splitlines()
        found = [json.loads(line) for line in lines]
        corpus += [(f"{name}-{d['_id']}", {"title": d["title"], "text": d["text"]}) for d in found if d["text"]]
    # Words that make the fake model fail.
    corpus = [(id, s) for id, s in corpus if POISON not in str(s).lower() and NAN not in str(s).lower()]
    for number, place in zip(count(), range(wanted), strict=False):
        again, at = divmod(place, len(corpus))
        id, source = corpus[at]
        text = f"Version {again} of {number}. {source['text']}" if again else source["text"]
        yield f"{id}-{again}", {"title": source["title"], "text": text}


class Command:
    """Runs `cherche` on an engine; what its model encodes is noted in `folder`."""

    def __init__(self, folder: Path, settings: Mapping[str, str]) -> None:
        self.folder = folder
        kept = {name: value for name, value in os.environ.items() if not name.startswith("CHERCHE_")}
        self.environment = {**kept, **settings, "ENCODED": str(folder / "encoded"), "CHERCHE_METRICS__PORT": "-1"}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a verb."""
        line = [sys.executable, "-c", PROGRAM, *arguments, "--json"]
        return subprocess.Popen(
            line, env=self.environment, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def run(self, *arguments: str) -> dict[str, Any]:
        """Run a verb that must succeed."""
        process = self.start(*arguments)
        said, errors = process.communicate()
        if process.returncode:
            raise SystemExit(f"cherche {' '.join(arguments)} exited with {process.returncode}: {errors}")
        answer: dict[str, Any] = json.loads(said)
        return answer

    def killed_after(self, encoded: int, *arguments: str) -> int:
        """Start a verb and end it with SIGKILL once so many texts went through the model; how many they were."""
        process = self.start(*arguments)
        try:
            while self.encoded() < encoded:
                if process.poll() is not None:
                    raise SystemExit(f"it ended before it could be killed: {process.communicate()}")
                time.sleep(0.02)
        finally:
            os.kill(process.pid, signal.SIGKILL)
            process.communicate()
        return self.encoded()

    def encoded(self) -> int:
        """Texts that went through the model so far, in all runs."""
        path = self.folder / "encoded"
        return path.read_bytes().count(b"\n") if path.exists() else 0

    def repeated(self) -> int:
        """How often the model was given a text that it had been given before."""
        return sum(times - 1 for times in Counter((self.folder / "encoded").read_text().split()).values())


def send(url: str, method: str, path: str, body: Any = None) -> Any:
    """One raw request, as another client of the cluster sends it."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else None
    kind = "application/x-ndjson" if isinstance(body, bytes) else "application/json"
    with urlopen(Request(url + path, data, {"content-type": kind}, method=method), timeout=120) as reply:
        return json.load(reply)


def bulk(url: str, index: str, part: Sequence[tuple[str, dict[str, str]]]) -> None:
    """Write documents as somebody does who knows nothing of weights."""
    lines = b"".join(json.dumps(line).encode() + b"\n" for id, s in part for line in ({"index": {"_id": id}}, s))
    if send(url, "POST", f"/{index}/_bulk", lines)["errors"]:
        raise SystemExit("the cluster refused a document")


def stored(url: str, index: str) -> dict[str, tuple[dict[str, Any], int]]:
    """Source and version of every document."""
    found: dict[str, tuple[dict[str, Any], int]] = {}
    send(url, "POST", f"/{index}/_refresh")
    after: list[Any] = []
    while True:
        body = {"size": 2000, "version": True, "sort": [{"_id": "asc"}], **({"search_after": after} if after else {})}
        hits = send(url, "POST", f"/{index}/_search", body)["hits"]["hits"]
        found |= {hit["_id"]: (hit["_source"], hit["_version"]) for hit in hits}
        if len(hits) < 2000:
            return found
        after = hits[-1]["sort"]


def own_fields(source: Mapping[str, Any]) -> dict[str, Any]:
    """What the document's owner wrote."""
    return {key: value for key, value in source.items() if not key.startswith("cherche_")}


def without_weights(url: str, index: str) -> int:
    """Documents that no weights or codes lie beside, asked of the cluster."""
    whole = [{"exists": {"field": name}} for name in ("cherche_terms", "cherche_codes")]
    query = {"bool": {"must_not": {"bool": {"filter": [bookkeeping.is_in("ok"), *whole]}}}}
    return int(send(url, "POST", f"/{index}/_count", {"query": query})["count"])


def backfill(url: str, wanted: int, data: Path | None) -> dict[str, Any]:
    """Kill it once, write 5 % anew meanwhile, run it again, and look at every document."""
    corpus = dict(documents(wanted, data))
    send(url, "PUT", f"/{INDEX}", {"settings": {"number_of_shards": 3, "number_of_replicas": 0}})
    items = list(corpus.items())
    for start in range(0, len(items), 1000):
        bulk(url, INDEX, items[start : start + 1000])
    updated = random.Random(7).sample(sorted(corpus), wanted // 20)
    with tempfile.TemporaryDirectory() as folder:
        cherche = Command(Path(folder), {"CHERCHE_ENGINE": "opensearch", "CHERCHE_URL": url})
        cherche.run("setup", INDEX, "--fields", "title,text")
        verb = ("backfill", INDEX, "--search-slowdown", "0")
        killed = cherche.killed_after(wanted // 3, *verb)
        began = time.monotonic()
        process = cherche.start(*verb)
        for start in range(0, len(updated), 20):
            part = [
                (id, {**corpus[id], "text": f"{corpus[id]['text']} rewritten"}) for id in updated[start : start + 20]
            ]
            bulk(url, INDEX, part)
            corpus |= dict(part)
            time.sleep(0.05)
        said, errors = process.communicate()
        if process.returncode:
            raise SystemExit(f"the second run failed: {errors}")
        seconds = time.monotonic() - began
        summary = json.loads(said)
        last = cherche.run(*verb)
        texts = cherche.encoded()
    found = stored(url, INDEX)
    lost = [id for id in corpus if id not in found]
    own = {
        id: {key: value for key, value in s.items() if not key.startswith("cherche_")} for id, (s, _) in found.items()
    }
    versions = Counter(version for id, (_, version) in found.items() if id not in set(updated))
    return {
        "documents": wanted,
        "killed_after_texts": killed,
        "written_meanwhile": len(updated),
        "second_run": {key: summary[key] for key in ("rounds", "read", "encoded", "kept", "outrun", "failed")},
        "second_run_seconds": round(seconds, 1),
        "third_run": {key: last[key] for key in ("encoded", "kept", "failed")},
        "lost": len(lost),
        "stale_sources": sum(own[id] != corpus[id] for id in found),
        "without_weights": without_weights(url, INDEX),
        "texts_encoded": texts,
        "texts_beyond_one_a_write": texts - wanted - len(updated),
        "of_these_sampled_for_estimates": f"at most {3 * SAMPLED}",
        "of_these_lost_in_the_kill": f"at most {IN_FLIGHT}",
        "writes_per_document_not_updated": dict(sorted(versions.items())),
        "nothing_lost_stale_or_twice": not lost
        and own == corpus
        and not last["encoded"]
        and without_weights(url, INDEX) == 0
        and set(versions) == {2}
        and texts <= wanted + len(updated) + 3 * SAMPLED + IN_FLIGHT,
    }


async def upgrade(url: str, wanted: int, data: Path | None) -> dict[str, Any]:
    """Another model under searches and writes; what failed, what was mixed, what was lost."""
    from sidecar.engines.opensearch import OpenSearchEngine
    from sidecar.testing import FakeModel, running_server
    from sidecar.values.index import IndexOptions, TextField
    from sidecar.values.maintenance import BackfillOptions
    from sidecar.values.search import SearchRequest

    corpus = dict(documents(wanted, data))
    alias, old = "upgraded", "upgraded-1"
    settings = {"number_of_shards": 3, "number_of_replicas": 0}
    send(url, "PUT", f"/{old}", {"settings": settings, "aliases": {alias: {}}})
    items = list(corpus.items())
    for start in range(0, len(items), 1000):
        bulk(url, old, items[start : start + 1000])
    quiet = BackfillOptions(search_slowdown=0.0)
    stop = asyncio.Event()
    failures: list[str] = []
    rewritten: set[str] = set()
    pages: list[tuple[str, bool]] = []
    seconds: dict[str, list[float]] = {"before": [], "during": []}
    engine = OpenSearchEngine.connect(url)
    try:
        async with running_server(engine, [FakeModel(name="one"), FakeModel(name="two", buckets=512)]) as server:
            client = server.client
            await client.setup_index(alias, IndexOptions(model="one", fields=(TextField("title"), TextField("text"))))
            async for _ in client.backfill_index(alias, quiet):
                pass

            async def search(text: str, phase: str) -> None:
                began = time.perf_counter()
                try:
                    result = await client.search(SearchRequest(alias, text, rerank=True, size=10))
                except Exception as error:
                    failures.append(str(error))
                    return
                seconds[phase].append(time.perf_counter() - began)
                # What was rewritten has no weights yet; every other hit shares its terms with its own text.
                pages.append(
                    (
                        result.fingerprint.sparse,
                        all(hit.parts.sparse > 0 for hit in result.hits if hit.id not in rewritten),
                    )
                )

            async def searching(phase: str, ended: asyncio.Event) -> None:
                titles = [source["text"][:60] for source in corpus.values()]
                running: set[asyncio.Task[None]] = set()
                for number in count():
                    if ended.is_set():
                        break
                    task = asyncio.create_task(search(titles[number * 37 % len(titles)], phase))
                    running.add(task)
                    task.add_done_callback(running.discard)
                    with suppress(TimeoutError):
                        await asyncio.wait_for(asyncio.shield(ended.wait()), 1 / SEARCHES_PER_SECOND)
                await asyncio.gather(*running)

            async def writing() -> None:
                for number in count():
                    if stop.is_set():
                        return
                    id = items[number * 101 % len(items)][0]
                    source = {**corpus[id], "text": f"{corpus[id]['text'][:200]} rewritten {number}"}
                    rewritten.add(id)
                    corpus[id] = source
                    await asyncio.to_thread(send, url, "PUT", f"/{alias}/_doc/{id}", source)
                    await asyncio.sleep(0.05)

            calm = asyncio.Event()
            asyncio.get_running_loop().call_later(5.0, calm.set)
            await searching("before", calm)
            work = [asyncio.create_task(searching("during", stop)), asyncio.create_task(writing())]
            began = time.monotonic()
            async for _ in client.upgrade_index(alias, "prepare", IndexOptions(model="two"), settings=quiet):
                pass
            prepared = time.monotonic() - began
            async for _ in client.upgrade_index(alias, "switch", settings=quiet):
                pass
            switched = time.monotonic() - began - prepared
            await asyncio.sleep(2.0)
            stop.set()
            await asyncio.gather(*work)
            async for _ in client.backfill_index(alias, quiet):
                pass
            report = await client.get_index(alias)
    finally:
        await engine.aclose()
    found = stored(url, alias)
    own = {
        id: {key: value for key, value in s.items() if not key.startswith("cherche_")} for id, (s, _) in found.items()
    }
    fingerprints = [fingerprint for fingerprint, _ in pages]
    mixed = sum(not same for _, same in pages)
    return {
        "documents": wanted,
        "searches": len(pages),
        "searches_per_second": SEARCHES_PER_SECOND,
        "failed_searches": len(failures),
        "pages_with_a_hit_of_another_model": mixed,
        "order_of_fingerprints_changes": sum(a != b for a, b in pairwise(fingerprints)),
        "prepared_in_seconds": round(prepared, 1),
        "switched_in_seconds": round(switched, 1),
        "lost_writes": sum(own.get(id) != source for id, source in corpus.items()),
        "encoded": report.stats.encoded,
        "milliseconds": {phase: _percentiles(each) for phase, each in seconds.items()},
        "nothing_failed_mixed_or_lost": not failures
        and not mixed
        and own == corpus
        and report.stats.encoded == len(corpus),
    }


def _percentiles(seconds: Sequence[float]) -> dict[str, float]:
    return {name: round(float(np.percentile(seconds, q)) * 1000, 1) for name, q in (("p50", 50), ("p99", 99))}


def measure() -> dict[str, Any]:
    """All figures, on OPENSEARCH_URL or a cluster of one node."""
    from tests.benchmarks.prove import cluster_url

    folder = os.environ.get("CHERCHE_TEST_DATA")
    data = Path(folder) if folder else None
    wanted = int(os.environ.get("LIFE_DOCUMENTS", DOCUMENTS))
    with cluster_url() as url:
        return {"backfill": backfill(url, wanted, data), "upgrade": asyncio.run(upgrade(url, min(wanted, 2000), data))}
