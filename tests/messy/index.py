"""An index in use: strict mapping, custom analyzers, its owner's pipelines, and aliases with filters and routings."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote, urlencode
from urllib.request import Request, urlopen

from tests.messy.documents import Json, Key, dumps, loads, rounded

SHARDS = 3
WINDOW = 300
"""Most hits of one search, far below the engine's default."""
OWN = "cherche_"
_BULK = 500  # documents
_TEXT = {"type": "text", "analyzer": "page"}
MAPPINGS: Json = {
    "dynamic": "strict",
    "_meta": {"owner": "catalogue", "notes": {"a": [1, None]}},
    "properties": {
        "title": {**_TEXT, "fields": {"raw": {"type": "keyword", "ignore_above": 64}, "start": {**_TEXT}}},
        "text": {**_TEXT, "term_vector": "with_positions_offsets"},
        "notes": {"type": "text", "analyzer": "whitespace", "copy_to": "everything"},
        "everything": {"type": "text", "store": True},
        "sku": {"type": "keyword"},
        "script": {"type": "keyword"},
        "category": {"type": "keyword", "copy_to": "everything"},
        "kind": {"type": "alias", "path": "category"},
        "tenant": {"type": "keyword"},
        "year": {"type": "integer"},
        "price": {"type": "scaled_float", "scaling_factor": 100, "ignore_malformed": True},
        "tags": {"type": "keyword"},
        "published": {"type": "date"},
        "parts": {
            "type": "nested",
            "properties": {"kind": {"type": "keyword"}, "note": {"type": "text"}, "n": {"type": "integer"}},
        },
        "meta": {"properties": {"info": {"properties": {"body": {"type": "text"}}}}},
        "labels": {"type": "flat_object"},
        "raw": {"type": "object", "enabled": False},
        "place": {"type": "geo_point"},
        "address": {"type": "ip"},
        "flag": {"type": "boolean"},
        "cleaned": {"type": "keyword"},
        "passes": {"type": "integer"},
    },
}
ANALYSIS: Json = {
    "char_filter": {"signs": {"type": "mapping", "mappings": ["& => and"]}},
    "filter": {"few": {"type": "stop", "stopwords": ["the", "tail"]}},
    "analyzer": {
        "page": {
            "type": "custom",
            "char_filter": ["html_strip", "signs"],
            "tokenizer": "standard",
            "filter": ["lowercase", "asciifolding", "few"],
        }
    },
}


@dataclass(frozen=True, slots=True)
class Kept:
    """A document as the engine keeps it: without our fields, and what of them is beside it."""

    source: Json
    version: int
    state: str | None
    has_own: bool


class Cluster:
    """Raw requests, as another client of the cluster sends them."""

    def __init__(self, url: str) -> None:
        self.url = url

    async def send(self, method: str, path: str, body: Any = None, **params: str) -> Any:
        """Send a request; HTTPError for a refusal."""
        return await asyncio.to_thread(self._send, method, path, body, params)

    def _send(self, method: str, path: str, body: Any, params: Mapping[str, str]) -> Any:
        data = body if isinstance(body, bytes) else dumps(body).encode() if body is not None else None
        kind = "application/x-ndjson" if isinstance(body, bytes) else "application/json"
        whole = f"{self.url}{path}?{urlencode(params)}" if params else self.url + path
        try:
            with urlopen(Request(whole, data, {"content-type": kind}, method=method), timeout=120) as reply:
                return loads(reply.read())
        except HTTPError as error:
            error.add_note(error.read().decode()[:2000])
            raise

    async def bulk(self, index: str, actions: Iterable[tuple[str, Key, Json]], **params: str) -> list[Json]:
        """Write documents, as (operation, key, body); one answer each, in order."""
        given, answers = list(actions), []
        for start in range(0, len(given), _BULK):
            lines = [line for one in given[start : start + _BULK] for line in _lines(*one)]
            reply = await self.send("POST", f"/{quote(index)}/_bulk", "\n".join([*lines, ""]).encode(), **params)
            answers += [next(iter(item.values())) for item in reply["items"]]
        return answers

    async def kept(self, index: str) -> dict[Key, Kept]:
        """All documents of one index."""
        await self.send("POST", f"/{quote(index)}/_refresh")
        return {
            key_of(hit): _kept(hit) for hit in await self.hits(index, {"query": {"match_all": {}}, "version": True})
        }

    async def hits(self, index: str, body: Json) -> list[Json]:
        """All hits of a search, read shard by shard as one answer does not hold them."""
        found: list[Json] = []
        for shard in range(SHARDS):
            after: Json = {}
            while True:
                whole = {**body, "size": WINDOW, "sort": [{"_seq_no": "asc"}], "track_total_hits": False, **after}
                where = {"preference": f"_shards:{shard}", "search_pipeline": "_none"}
                hits = (await self.send("POST", f"/{quote(index)}/_search", whole, **where))["hits"]["hits"]
                found += hits
                if len(hits) < WINDOW:
                    break
                after = {"search_after": hits[-1]["sort"]}
        return found


@dataclass(frozen=True, slots=True)
class Names:
    """Names of everything that one index is made of; that of its main alias is not in lower case, and not ASCII."""

    prefix: str

    @property
    def index(self) -> str:
        """The concrete index."""
        return f"{self.prefix}-v1"

    @property
    def alias(self) -> str:
        """The main alias."""
        return f"{self.prefix}-Каталог"

    @property
    def aliases(self) -> Json:
        """All aliases with their options."""
        return {
            self.alias: {"is_write_index": True},
            f"{self.prefix}-t3": {
                "filter": {"term": {"tenant": "t3"}},
                "index_routing": "t3",
                "search_routing": "t3",
            },
            f"{self.prefix}-recent": {"filter": {"bool": {"filter": [{"range": {"year": {"gte": 2015}}}]}}},
        }

    @property
    def pipelines(self) -> Json:
        """Its owner's: by the setting that names them. Each pass of a document leaves a trace."""
        count = "ctx.passes = (ctx.passes == null ? 0 : ctx.passes) + 1"
        return {
            "default_pipeline": {"processors": [{"set": {"field": "cleaned", "value": "yes"}}]},
            "final_pipeline": {"processors": [{"script": {"source": count}}]},
        }

    def pipeline(self, setting: str) -> str:
        """Name of a pipeline."""
        return f"{self.prefix}-{setting.removesuffix('_pipeline')}"


def through_pipelines(source: Json) -> Json:
    """A document after the owner's pipelines."""
    return {**rounded(source), "cleaned": "yes", "passes": int(source.get("passes", 0)) + 1}


async def create(cluster: Cluster, names: Names) -> None:
    """Make the index with its aliases; its pipelines come later, with `begin_pipelines`."""
    settings = {"number_of_shards": SHARDS, "number_of_replicas": 0, "analysis": ANALYSIS, "refresh_interval": "5s"}
    settings["max_result_window"] = WINDOW
    body = {"settings": {"index": settings}, "mappings": MAPPINGS, "aliases": names.aliases}
    await cluster.send("PUT", f"/{names.index}", body)


async def begin_pipelines(cluster: Cluster, names: Names) -> None:
    """From now on the owner's pipelines run on what is written."""
    for setting, body in names.pipelines.items():
        await cluster.send("PUT", f"/_ingest/pipeline/{names.pipeline(setting)}", body)
        await cluster.send("PUT", f"/{names.index}/_settings", {f"index.{setting}": names.pipeline(setting)})


async def delete(cluster: Cluster, names: Names) -> None:
    """Everything of that name."""
    await cluster.send("DELETE", f"/{quote(names.prefix)}*")
    for setting in names.pipelines:
        await cluster.send("DELETE", f"/_ingest/pipeline/{names.pipeline(setting)}")


async def described(cluster: Cluster, index: str) -> Json:
    """Aliases, mapping and settings of an index as its owner wrote them, without the engine's own and our fields."""
    [body] = (await cluster.send("GET", f"/{quote(index)}")).values()
    mappings, settings = body["mappings"], body["settings"]["index"]
    mappings["properties"] = {name: spec for name, spec in mappings["properties"].items() if not name.startswith(OWN)}
    for own in ("uuid", "creation_date", "provided_name", "version"):
        settings.pop(own, None)
    return {"aliases": body["aliases"], "mappings": mappings, "settings": settings}


async def leftovers(cluster: Cluster, names: Names) -> Json:
    """What cherche made in the cluster and for this index, by kind."""
    indices = [name for name in await cluster.send("GET", f"/{quote(names.prefix)}*") if name != names.index]
    templates = await cluster.send("GET", "/_index_template")
    stats = await cluster.send("GET", "/_nodes/stats/indices/search")
    open_ = [one["indices"]["search"]["point_in_time_current"] for one in stats["nodes"].values()]
    return {
        "indices left": indices,
        "templates left": [one["name"] for one in templates["index_templates"] if names.prefix in str(one)],
        "points in time left": sum(open_),
    }


def key_of(hit: Json) -> Key:
    """What names a hit."""
    return hit["_id"], hit.get("_routing", "")


def _lines(operation: str, key: Key, body: Json) -> list[str]:
    id, routing = key
    action: Json = {"_id": id, **({"routing": routing} if routing else {})}
    lines = [dumps({operation: action})]
    return lines if operation == "delete" else [*lines, dumps({"doc": body} if operation == "update" else body)]


def _kept(hit: Json) -> Kept:
    source = hit["_source"]
    users = {name: value for name, value in source.items() if not name.startswith(OWN)}
    states = source.get(f"{OWN}status") or [{}]
    return Kept(users, hit["_version"], next(iter(states[0]), None), len(users) < len(source))
