"""``python -m sidecar.demo.example PIPELINES``: an example index on a cluster with the plugin, for docker compose.

Sets the index up, makes the pipelines of a folder its defaults, and sends the documentation of Python's standard
library by ``_bulk``, as a client does that knows nothing of this package. Run again, it encodes nothing a second time.
Sidecar and cluster are those of the settings.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from sidecar import config
from sidecar.client import Client, IndexOptions
from sidecar.demo.corpus import Entry, standard_library
from sidecar.errors import ChercheError, Code, unavailable

INDEX = "python"
PIPELINE = "cherche"
BATCH = 250
SECONDS = 600.0  # of one call: a machine may be slow, and the model is loaded first


def main(pipelines: Path) -> None:
    """Make the example; the second time, everything is there already."""
    url = config.load().url
    with Client.from_environment() as client:
        client.setup(INDEX, IndexOptions())
        for method, path, body in requests(pipelines):
            send(url, method, path, body)
        entries = standard_library()
        for done, failed in feed(url, entries):
            print(f"{done:,} of {len(entries):,} documents, {failed} failed", flush=True)
        stats = client.index(INDEX).stats
    print(f"{INDEX}: {stats.encoded:,} of {stats.documents:,} documents are encoded")
    if stats.encoded < stats.documents:
        raise ChercheError(Code.UNAVAILABLE, "some documents wait", f"run: cherche backfill {INDEX}")


def requests(folder: Path) -> Iterator[tuple[str, str, bytes]]:
    """Method, path and body of what makes the pipelines of a folder the defaults of the index."""
    yield "PUT", f"/_ingest/pipeline/{PIPELINE}", (folder / "ingest.json").read_bytes()
    yield "PUT", f"/_search/pipeline/{PIPELINE}", (folder / "search.json").read_bytes()
    defaults = {"index.default_pipeline": PIPELINE, "index.search.default_pipeline": PIPELINE}
    yield "PUT", f"/{INDEX}/_settings", json.dumps(defaults).encode()


def feed(url: str, entries: Sequence[Entry]) -> Iterator[tuple[int, int]]:
    """Send entries in batches; how many were sent, and how many of them failed.

    Raises
    ------
    ChercheError
        UNAVAILABLE with the first reason, where all of a batch fail.
    """
    done = failed = 0
    for start in range(0, len(entries), BATCH):
        some = entries[start : start + BATCH]
        lines = b"".join(
            json.dumps({"index": {"_id": one.id}}).encode() + b"\n" + one.to_bytes() + b"\n" for one in some
        )
        items = [item["index"] for item in send(url, "POST", f"/{INDEX}/_bulk?refresh=true", lines)["items"]]
        errors = [item["error"] for item in items if "error" in item]
        if len(errors) == len(items):
            raise unavailable(
                f"no document is taken: {errors[0].get('reason', errors[0])}", "look at the sidecar's log"
            )
        done, failed = done + len(items), failed + len(errors)
        yield done, failed


def send(url: str, method: str, path: str, body: bytes) -> Any:  # noqa: ANN401  # the cluster's answer
    """A request to the cluster.

    Raises
    ------
    ChercheError
        UNAVAILABLE with the cluster's own answer.
    """
    kind = "application/x-ndjson" if "_bulk" in path else "application/json"
    request = Request(f"{url.rstrip('/')}{path}", body, {"content-type": kind}, method=method)
    try:
        with urlopen(request, timeout=SECONDS) as answer:
            return json.load(answer)
    except HTTPError as error:
        said = error.read().decode("utf-8", "replace")[:500]
        raise unavailable(f"{method} {path}: {error.code} {said}", "look at the cluster's log") from error
    except URLError as error:
        raise unavailable(f"{url} cannot be reached: {error.reason}", "start the cluster") from error


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except ChercheError as error:
        raise SystemExit(str(error)) from error
