"""``cherche try`` in the page: another cluster's BM25 beside a rerank, with credentials that are kept nowhere.

A sidecar that called any address would be a way into its network for whoever reaches the page. It contacts what its
operator named, and any address only for a page that `cherche ui` opened for the person at this machine.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, Field

from sidecar import pipeline
from sidecar.config import Gateway, is_loopback
from sidecar.errors import ChercheError, Code, invalid, masked_address
from sidecar.gateway.page.search import result_json
from sidecar.gateway.page.why import why_json
from sidecar.pipeline import Context
from sidecar.pipeline.reading import read_hit
from sidecar.services import Services, index_name
from sidecar.values.index import Identity
from sidecar.values.trying import Comparison, try_request

ANY = "*"
_PORTS = {"http": 80, "https": 443}


class ClusterBody(BaseModel):
    """A cluster, by its address."""

    url: str = Field(max_length=2048)


class TryBody(ClusterBody):
    """One query on an index of it."""

    index: str
    text: str
    fields: tuple[str, ...] = ()


class TryWhyBody(TryBody):
    """The same, and the hit that is asked about."""

    id: str


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who asks: the clusters that the sidecar may contact, and the credentials for the one that is asked."""

    services: Services
    clusters: Collection[str]
    identity: Identity
    deadline: float

    @asynccontextmanager
    async def at(self, url: str) -> AsyncGenerator[Context, None]:
        """The pipeline on another cluster, for one question: no connection and no credential outlives it.

        Raises
        ------
        ChercheError
            PERMISSION_DENIED for a cluster that nobody named; INVALID_ARGUMENT for a URL that is none.
        """
        check_permitted(url, self.clusters)
        assert self.services.open_cluster is not None
        engine = self.services.open_cluster(url)
        try:
            # Documents of one cluster are no reason to write those of another that have their ids.
            context = replace(self.services.base, engine=engine, wanted=None)
            yield context.for_caller(self.identity, self.deadline)
        finally:
            await engine.aclose()


def check_permitted(url: str, clusters: Collection[str]) -> None:
    """Refuse to contact what nobody named.

    Raises
    ------
    ChercheError
        PERMISSION_DENIED.
    """
    if ANY in clusters or origin(url) in {origin(one) for one in clusters}:
        return
    raise ChercheError(
        Code.PERMISSION_DENIED,
        f"this sidecar may not contact {masked_address(url)}",
        "run cherche ui on your own machine, or name the cluster in CHERCHE_GATEWAY__CLUSTERS on the server",
    )


def origin(url: str) -> tuple[str, str, int | None]:
    """Scheme, host and port.

    >>> origin("https://Search.example/path"), origin("http://[::1]:9200")
    (('https', 'search.example', 443), ('http', '::1', 9200))
    """
    try:
        parts = urlsplit(url)
        return parts.scheme, (parts.hostname or "").removesuffix("."), parts.port or _PORTS.get(parts.scheme)
    except ValueError as error:
        raise invalid(f"{masked_address(url)!r} is no URL: {error}", "give it as https://host:9200") from None


def check_clusters(gateway: Gateway, token: str) -> None:
    """Refuse a page that lets others have this machine call any address.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT.
    """
    if ANY in gateway.clusters and not (token and is_loopback(gateway.host)):
        raise invalid(
            f"with gateway.clusters {ANY} whoever reaches the page has this sidecar call any address of its network",
            "name the clusters, as https://host:9200; or listen on 127.0.0.1 with a token, as cherche ui does",
        )


async def visited(body: ClusterBody, visitor: Visitor) -> dict[str, Any]:
    """What kind of cluster answers, and its indices.

    Raises
    ------
    ChercheError
        As `Visitor.at`; of the cluster.
    """
    async with visitor.at(body.url) as context:
        engine = await context.engine.info()
        names = sorted({name for group in await context.engine.list_indices() for name in group.names})
    return {"engine": {"product": engine.product, "version": engine.version}, "indices": names}


async def tried(body: TryBody, visitor: Visitor) -> dict[str, Any]:
    """Both orders of one query, as ``cherche try`` has them; nothing is written.

    Raises
    ------
    ChercheError
        As `Visitor.at` and `pipeline.search`.
    """
    started = time.monotonic()
    request = try_request(index_name(body.index), body.text, fields=body.fields)
    async with visitor.at(body.url) as context:
        with visitor.services.turns.taken(context.remaining()):
            result = await pipeline.search(replace(request, include_engine_request=True), context)
    visitor.services.measure(result)
    found = Comparison(body.text, result)
    shown = result_json(result, request.rank_constant)
    hits = {hit["id"]: hit for hit in shown.pop("hits")}
    before = [
        {
            **hits[hit.id],
            "rank": hit.parts.first_stage_rank,
            "score": hit.parts.first_stage,
            "shares": {"lexical": hit.parts.first_stage, "sparse": 0.0, "maxsim": 0.0},
        }
        for hit in found.lexical
    ]
    after = [hits[hit.id] for hit in found.reranked]
    return {
        **shown,
        "overlap": found.overlap,
        "risen": len(found.risen),
        "first_changed": bool(after) and after[0]["id"] != before[0]["id"],
        "before": before,
        "after": after,
        "seconds": round(time.monotonic() - started, 2),
    }


async def tried_why(body: TryWhyBody, visitor: Visitor) -> dict[str, Any]:
    """Read one hit of it token by token.

    Raises
    ------
    ChercheError
        As `Visitor.at` and `read_hit`.
    """
    request = try_request(index_name(body.index), body.text, fields=body.fields)
    async with visitor.at(body.url) as context:
        result, reading = await read_hit(request, context, body.id)
    visitor.services.measure(result)
    return why_json(result, reading, request.rank_constant)
