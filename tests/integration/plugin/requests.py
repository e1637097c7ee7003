"""Bulk requests, searches and pipelines as clients of a cluster send them."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from tests.integration.plugin.cluster import Cluster

Sources = Mapping[str, Mapping[str, Any]]


async def ingest_pipeline(cluster: Cluster, **options: Any) -> str:
    """Name of a pipeline that encodes."""
    name = f"{cluster.index}-ingest"
    await cluster.send("PUT", f"/_ingest/pipeline/{name}", {"processors": [{"cherche_encode": options}]})
    return name


async def bulk(cluster: Cluster, sources: Sources, pipeline: str, index: str = "") -> dict[str, Any]:
    """Index documents; the response item of each id."""
    lines = []
    for id, source in sources.items():
        lines += [json.dumps({"index": {"_id": id}}), json.dumps(source)]
    body = ("\n".join(lines) + "\n").encode()
    reply = await cluster.send("POST", f"/{index or cluster.index}/_bulk", body, pipeline=pipeline, refresh="true")
    return {item["index"]["_id"]: item["index"] for item in reply["items"]}


def failed(items: Mapping[str, Any]) -> dict[str, Any]:
    """Errors by id."""
    return {id: item["error"] for id, item in items.items() if "error" in item}


async def search(cluster: Cluster, body: Mapping[str, Any], pipeline: str = "", **params: str) -> dict[str, Any]:
    """A search through a pipeline."""
    named = {"search_pipeline": pipeline} if pipeline else {}
    reply = await cluster.send("POST", f"/{cluster.index}/_search", dict(body), **named, **params)
    return dict(reply)


async def search_pipeline(
    cluster: Cluster, query: Mapping[str, Any] | None = None, rerank: Mapping[str, Any] | None = None, name: str = ""
) -> str:
    """Name of a pipeline for hybrid searches with rerank."""
    name = name or f"{cluster.index}-search"
    body = {
        "request_processors": [{"cherche_query": dict(query or {"rerank": True})}],
        "response_processors": [{"cherche_rerank": dict(rerank or {})}],
    }
    await cluster.send("PUT", f"/_search/pipeline/{name}", body)
    return name


def match(text: str) -> dict[str, Any]:
    """A query over both text fields."""
    return {"multi_match": {"query": text, "fields": ["title", "text"]}}


def page(text: str) -> dict[str, Any]:
    """A search for ten hits."""
    return {"query": match(text), "size": 10}


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 60.0) -> None:
    """Wait until a condition holds."""
    async with asyncio.timeout(seconds):
        for _ in itertools.count():
            if await condition():
                return
            await asyncio.sleep(0.02)


def ids(reply: Mapping[str, Any]) -> list[str]:
    """Ids of the hits."""
    return [hit["_id"] for hit in reply["hits"]["hits"]]
