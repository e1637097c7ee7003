"""What must be the same, and searches of a messy index beside the engine's own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any
from urllib.parse import quote

from sidecar.client.client import Client
from sidecar.values.search import RerankStatus, SearchRequest
from tests.messy.documents import CATEGORIES, WORDS, Json, Key, mark
from tests.messy.index import WINDOW, Cluster, Names, key_of

_SHOWN = 5
_LOOKED_UP = 50
_PAGE = 97


def same(what: str, found: Any, wanted: Any) -> None:
    """Raise an AssertionError that shows some of what differs."""
    if found == wanted:
        return
    if isinstance(found, Mapping) and isinstance(wanted, Mapping):
        keys = [key for key in {**wanted, **found} if found.get(key, ...) != wanted.get(key, ...)]
        lines = [
            f"{key!r}: {_cut(found.get(key, '(absent)'))}\n   not {_cut(wanted.get(key, '(absent)'))}"
            for key in keys[:_SHOWN]
        ]
        raise AssertionError(f"{what}: {len(keys)} of {len(wanted)} differ\n" + "\n".join(lines))  # noqa: TRY004
    raise AssertionError(f"{what}: {_cut(found)}\n   not {_cut(wanted)}")


def _cut(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 1500 else f"{text[:1500]}…"


async def searched(cluster: Cluster, client: Client, names: Names, ledger: Mapping[Key, Json], serving: str) -> Json:
    """Search by every way in; counts of what was compared."""
    return {
        "looked up": await _marks(client, names, ledger),
        "exact lookups": await _exact(client, names, ledger),
        "filtered": await _filtered(cluster, client, names, ledger),
        "walked": {alias: await _walked(cluster, client, alias) for alias in names.aliases},
        "explained": await _explained(client, names),
        "fused by ranks": await _fused(client, names),
        "dumped": await _dumped(client, names, ledger),
    }


async def _marks(client: Client, names: Names, ledger: Mapping[Key, Json]) -> int:
    """Documents by a word that they alone hold, those with odd ids first."""
    marked = {key: number for key, source in ledger.items() if (number := _number(source)) is not None}
    chosen = sorted(marked, key=lambda key: (key[0].isalnum(), key))[:: max(1, len(marked) // _LOOKED_UP)]
    holders = Counter(marked.values())
    for key in chosen:
        word = mark(marked[key])
        body = {"query": {"match": {"text": word}}}
        result = await client.search(SearchRequest(names.alias, word, body=body, match_set="lexical"))
        same(f"hits of {word}", len(result.hits), holders[marked[key]])
        found = {(hit.id, hit.extra.get("_routing", "")): hit.source for hit in result.hits}
        same(f"source of {key}", found.get(key), plain(ledger[key]))
    return len(chosen)


def _number(source: Json) -> int | None:
    text = str(source.get("text"))
    place = text.find("mark")
    return int(text[place + 4 : place + 10]) if place >= 0 else None


async def _exact(client: Client, names: Names, ledger: Mapping[Key, Json]) -> int:
    """A keyword finds the documents that have it, and weights bring in no others."""
    chosen = list(ledger)[:: max(1, len(ledger) // 20)]
    counts = Counter(source["sku"] for source in ledger.values())
    for key in chosen:
        sku = ledger[key]["sku"]
        for query in ({"term": {"sku": sku}}, {"match": {"sku": sku}}):
            result = await client.search(SearchRequest(names.alias, sku, body={"query": query}))
            same(f"hits of {sku}", {hit.source["sku"] for hit in result.hits}, {sku})
            same(f"total of {sku}", result.total, counts[sku])
    return len(chosen)


async def _filtered(cluster: Cluster, client: Client, names: Names, ledger: Mapping[Key, Json]) -> Json:
    """Filters hold for every hit; with the words' own match set counts and facets are the engine's."""
    counts: Counter[str] = Counter()
    for place, words in enumerate(WORDS.values()):
        tenant, category = f"t{place % 6}", CATEGORIES[place % len(CATEGORIES)]
        query = {
            "bool": {
                "must": [{"match": {"text": words[0]}}],
                "filter": [{"term": {"tenant": tenant}}, {"range": {"year": {"gte": 1950}}}],
                "must_not": [{"term": {"kind": category}}],
            }
        }
        aggs = {"by category": {"terms": {"field": "category"}}, "by script": {"terms": {"field": "script"}}}
        body = {"query": query, "aggs": aggs, "track_total_hits": True}
        path = f"/{quote(names.alias)}/_search"
        raw = await cluster.send("POST", path, {**body, "size": 100, "_source": False}, search_pipeline="_none")
        lexical = await client.search(SearchRequest(names.alias, words[0], body=body, match_set="lexical", size=100))
        same(f"total of {words[0]}", lexical.total, raw["hits"]["total"]["value"])
        same(f"facets of {words[0]}", lexical.aggregations, raw["aggregations"])
        wider = await client.search(SearchRequest(names.alias, words[0], body=body, rerank=True, size=100))
        for hit in (*lexical.hits, *wider.hits):
            held = ledger[hit.id, hit.extra.get("_routing", "")]
            assert (held["tenant"], held["year"] >= 1950, held["category"] != category) == (tenant, True, True), hit.id
        assert wider.total >= lexical.total
        counts["hits of words"] += lexical.total
        counts[f"hits of words or weights, {wider.match_set}"] += wider.total
        counts[f"rerank {wider.rerank.status}"] += 1
    return dict(counts)


async def _walked(cluster: Cluster, client: Client, alias: str) -> int:
    """Pages of one search, reranked, across the edge of its window: no hit twice, none missing."""
    query = {"bool": {"should": [{"match": {"text": "moonlight river"}}, {"match": {"title": "moonlight"}}]}}
    wanted = Counter(map(key_of, await cluster.hits(alias, {"query": query, "_source": False})))
    request = SearchRequest(
        alias, "moonlight river", body={"query": query}, match_set="lexical", rerank=True, paginate=True, size=_PAGE
    )
    pages = [await client.search(request)]
    while token := pages[-1].next_page_token:
        pages.append(await client.search(replace(request, page_token=token)))
    hits = [hit for page in pages for hit in page.hits]
    found = Counter((hit.id, hit.extra.get("_routing", "")) for hit in hits)
    # Pages end where the engine's window does.
    assert not found - wanted, f"hits of a walk by {alias}: {found - wanted}"
    same(f"hits of a walk by {alias}", len(hits), min(wanted.total(), WINDOW // _PAGE * _PAGE))
    same("order", [hit.score for hit in hits], sorted((hit.score for hit in hits), reverse=True))
    same("first page", pages[0].rerank.status in (RerankStatus.APPLIED, RerankStatus.PARTIAL), True)
    return len(hits)


async def _explained(client: Client, names: Names) -> int:
    """Terms of a hit add up to its sparse part, whatever its id and routing."""
    result, explanations = await client.explain(SearchRequest(names.alias, "moonlight river", size=50, rerank=True))
    for hit, one in zip(result.hits, explanations, strict=True):
        total = sum(term.contribution for term in one.terms)
        assert abs(total - hit.parts.sparse) <= 1e-3 * max(1.0, total), (hit.id, total, hit.parts.sparse)
    return len(explanations)


async def _fused(client: Client, names: Names) -> int:
    """A fusion of ranks has as many hits as the engine counts, up to its window, and none twice."""
    body = {"query": {"match": {"text": "moonlight"}}}
    request = SearchRequest(names.alias, "moonlight", body=body, match_set="lexical", size=100)
    plainly = await client.search(request)
    fused = await client.search(replace(request, fusion="rrf"))
    keys = {(hit.id, hit.extra.get("_routing", "")) for hit in fused.hits}
    same("hits of a fusion", (len(keys), len(fused.hits)), (len(plainly.hits), len(plainly.hits)))
    same("total of a fusion", fused.total, plainly.total)
    return len(keys)


async def _dumped(client: Client, names: Names, ledger: Mapping[Key, Json]) -> int:
    """A dump holds every document once."""
    keys = Counter([(one.id, one.routing) async for one in client.dump_index(names.alias)])
    same("documents of a dump", keys, Counter(list(ledger)))
    return sum(keys.values())


def plain(value: Any) -> Any:
    """Numbers as JSON readers have them."""
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    return float(value) if isinstance(value, Decimal) else value
