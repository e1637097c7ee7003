"""Make the figures that the README and the notes quote: ``python -m tests.benchmarks.prove [SECTION …]``.

Each section runs the command line a user would run, on real collections and a real server, and
writes ``tests/benchmarks/results/<section>.json`` with the commands and the machine written in.
Needs CHERCHE_TEST_DATA and CHERCHE_TEST_MODELS; the opensearch rows need OPENSEARCH_URL, or JDK
21+ and Maven.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.benchmarks import (
    crowd,
    dist,
    faults,
    feed,
    first_hit,
    first_stage,
    flow,
    fuzz,
    life,
    memory,
    messy,
    nodes,
    on_demand,
    overload,
    plugin,
    plugin_latency,
    restart,
    spread,
    start,
    versions,
)
from tests.benchmarks.machine import machine

RESULTS = Path(__file__).parent / "results"
MODES = "bm25,sparse,sparse:pruned,sparse:doc_only,hybrid,hybrid:pruned,hybrid:doc_only"
RERANKED = "bm25,sparse,hybrid,bm25+rerank,hybrid+rerank"


class Cherche:
    """The console command, with one engine in its environment; remembers what it ran."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.commands: list[str] = []
        names = {name: value for name, value in os.environ.items() if not name.startswith("CHERCHE_")}
        self._environment = {**names, "HF_HUB_OFFLINE": "1", "CHERCHE_METRICS__PORT": "-1", **environment}

    def __call__(self, *arguments: str) -> dict[str, Any]:
        """Run a verb with --json and read its answer; a failure stops the run."""
        self.commands.append(_anonymous(["cherche", *arguments]))
        done = subprocess.run(
            [sys.executable, "-m", "sidecar.cli", *arguments, "--json"],
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode not in (0, 1) or not done.stdout:
            raise SystemExit(f"{self.commands[-1]} exited with {done.returncode}:\n{done.stderr}")
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer


def _anonymous(arguments: Sequence[str]) -> str:
    """The command with folders written as the variables that name them."""
    text = " ".join(arguments)
    for variable in ("CHERCHE_TEST_DATA", "CHERCHE_TEST_MODELS"):
        if os.environ.get(variable):
            text = text.replace(os.environ[variable], f"${variable}")
    return text


@contextmanager
def engines() -> Iterator[dict[str, Cherche]]:
    """The command line on each engine; the embedded one in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        embedded = Cherche({"CHERCHE_ENGINE": "embedded", "CHERCHE_EMBEDDED__PATH": f"{folder}/index.sqlite"})
        with cluster_url() as url:
            yield {
                "embedded": embedded,
                "opensearch": Cherche({"CHERCHE_ENGINE": "opensearch", "CHERCHE_URL": url}),
            }


@contextmanager
def cluster_url() -> Iterator[str]:
    """OPENSEARCH_URL, or a cluster of one node that is gone afterwards."""
    from sidecar.cluster import running_cluster

    if url := os.environ.get("OPENSEARCH_URL"):
        yield url
        return
    with running_cluster(heap="2g") as urls:
        yield urls[0]


def collection(name: str) -> Path:
    """A collection of CHERCHE_TEST_DATA."""
    folder = os.environ.get("CHERCHE_TEST_DATA")
    if not folder:
        raise SystemExit("CHERCHE_TEST_DATA is not set: it names the folder of collections in BEIR layout")
    return Path(folder) / name


def checkpoint(name: str) -> Path:
    """A checkpoint of CHERCHE_TEST_MODELS."""
    folder = os.environ.get("CHERCHE_TEST_MODELS")
    if not folder:
        raise SystemExit("CHERCHE_TEST_MODELS is not set: it names the folder of checkpoints")
    return Path(folder) / name


def evaluate(cherche: Cherche, index: str, data: Path, modes: str, *setup: str) -> dict[str, Any]:
    """Set an index up, feed a collection, and measure the modes on its test queries."""
    cherche("setup", index, *setup)
    fed = cherche("feed", index, str(data / "corpus.jsonl"), "--failed", os.devnull)
    judged = ["--queries", str(data / "queries.jsonl"), "--qrels", str(data / "qrels" / "test.tsv")]
    measured = cherche("eval", index, *judged, "--modes", modes)
    return {"feed": fed, **measured}


def splade() -> dict[str, Any]:
    """SciFact test with splade-tiny, maximum length 512, no pruning, on both engines."""
    options = ["--model", str(checkpoint("splade-tiny")), "--max-length", "512", "--prune", "none"]
    figures: dict[str, Any] = {}
    with engines() as by_name:
        for name, cherche in by_name.items():
            figures[name] = evaluate(cherche, "scifact-splade", collection("scifact"), MODES, *options)
            figures[name]["commands"] = cherche.commands
    return figures


def tiny() -> dict[str, Any]:
    """SciFact test and Cranfield with the shipped model at its own lengths, on both engines."""
    figures: dict[str, Any] = {}
    with engines() as by_name:
        for name, cherche in by_name.items():
            for data in ("scifact", "cranfield"):
                figures[f"{data} on {name}"] = evaluate(cherche, data, collection(data), RERANKED)
            figures[f"commands on {name}"] = cherche.commands
    return figures


def updates() -> dict[str, Any]:
    """SciFact fed, fed again, and 1,000 documents fed with another unrelated field."""
    corpus = collection("scifact") / "corpus.jsonl"
    figures: dict[str, Any] = {}
    with engines() as by_name, tempfile.TemporaryDirectory() as folder:
        changed = Path(folder) / "changed.jsonl"
        lines = corpus.read_text(encoding="utf-8").splitlines()[:1000]
        changed.write_text("".join(json.dumps({**json.loads(line), "shelf": 7}) + "\n" for line in lines))
        for name, cherche in by_name.items():
            cherche("setup", "updates")
            figures[name] = {
                "first feed": cherche("feed", "updates", str(corpus)),
                "same feed again": cherche("feed", "updates", str(corpus)),
                "1,000 with another field": cherche("feed", "updates", str(changed)),
                "doctor": cherche("doctor", "updates"),
            }
    return figures


def replay() -> dict[str, Any]:
    """The cluster's own sparse scores against sums over the packed terms, with splade-tiny on SciFact."""
    model, data = str(checkpoint("splade-tiny")), collection("scifact")
    with cluster_url() as url:
        cherche = Cherche({"CHERCHE_ENGINE": "opensearch", "CHERCHE_URL": url})
        cherche("setup", "replay", "--model", model, "--max-length", "512")
        cherche("feed", "replay", str(data / "corpus.jsonl"), "--failed", os.devnull)
        pairs, worst, tokens = asyncio.run(_replayed(url, model, data))
        cherche("remove", "replay", "--yes")
    return {
        "pairs": pairs,
        "largest_relative_difference": worst,
        "pairs_with_the_token_.": tokens["."],
        "pairs_with_the_token_##s": tokens["##s"],
        "commands": cherche.commands,
    }


async def _replayed(url: str, model: str, data: Path) -> tuple[int, float, Counter[str]]:
    """(Query, hit) pairs looked at, the largest relative difference, and how many pairs share a token."""
    from cherche_models.evaluate import read_queries
    from sidecar.config import load
    from sidecar.serve import in_process
    from sidecar.values.search import SearchRequest

    settings = load({"engine": "opensearch", "url": url, "models": {model: model}})
    pairs, worst, tokens = 0, 0.0, Counter[str]()
    async with in_process(settings) as client:
        for text in list(read_queries(data / "queries.jsonl").values())[:100]:
            request = SearchRequest("replay", text + " .", mode="sparse", size=10)
            result, explanations = await client.explain(request)
            for hit, explained in zip(result.hits, explanations, strict=True):
                total = sum(term.contribution for term in explained.terms)
                worst = max(worst, abs(hit.parts.sparse - total) / total)
                tokens.update(term.token for term in explained.terms)
                pairs += 1
    return pairs, worst, tokens


def codes() -> dict[str, Any]:
    """nDCG@10 against bytes per document for each codec, and a picture of it."""
    from tests.benchmarks import codes as codecs

    return codecs.prove(collection("scifact").parent)


def weighting() -> dict[str, Any]:
    """A rerank weight for each query against one for all."""
    from tests.benchmarks import weighting as weights

    return weights.measure(collection("scifact").parent)


SECTIONS: dict[str, Callable[[], dict[str, Any]]] = {
    "start": start.measure,
    "splade": splade,
    "tiny": tiny,
    "updates": updates,
    "replay": replay,
    "codes": codes,
    "weighting": weighting,
    "life": life.measure,
    "messy": messy.measure,
    "nodes": nodes.measure,
    "restart": restart.measure,
    "faults": faults.measure,
    "fuzz": fuzz.measure,
    "dist": dist.measure,
    "overload": overload.measure,
    "memory": memory.measure,
    "plugin": plugin.prove,
    "plugin_latency": plugin_latency.prove,
    "crowd": crowd.measure,
    "first_stage": first_stage.measure,
    "spread": spread.measure,
    "flow": flow.measure,
    "feed": feed.measure,
    "on_demand": on_demand.measure,
    "first_hit": first_hit.measure,
    "versions": versions.measure,
}


def main(names: Sequence[str]) -> None:
    """Run the named sections, or all."""
    unknown = set(names) - set(SECTIONS)
    if unknown:
        raise SystemExit(f"unknown section {sorted(unknown)[0]!r}; there are {', '.join(SECTIONS)}")
    RESULTS.mkdir(exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what a section started ends with it
    for name in names or SECTIONS:
        figures = SECTIONS[name]()
        record = {"section": name, "machine": machine(), "figures": figures}
        path = RESULTS / f"{name}.json"
        path.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        print(f"{name}: {path.relative_to(Path.cwd())}")


if __name__ == "__main__":
    main(sys.argv[1:])
