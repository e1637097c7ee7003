"""Setting an index up, and what it looks like."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sidecar.engines.opensearch import answers, bookkeeping, fields, incomplete, mapping, notices, seismic, templates
from sidecar.engines.opensearch.dialect import Dialect
from sidecar.engines.opensearch.errors import NAME_ONE, may_be_made
from sidecar.engines.opensearch.http import Http, Request, index_path, is_pattern
from sidecar.engines.opensearch.templates import flat
from sidecar.engines.opensearch.values import JsonValue
from sidecar.errors import ChercheError, Code, invalid, not_found, precondition, unavailable
from sidecar.values.clauses import holds
from sidecar.values.documents import SEISMIC, TERMS
from sidecar.values.index import Gaps, IndexMeta, IndexStats, SetupPlan

_ENCODED = {"bool": {"filter": [bookkeeping.is_in("ok"), {"exists": {"field": TERMS}}]}}

_ATTEMPTS = 5
_FLAT = {"flat_settings": "true"}
_FREQUENCY_BATCH = 500
Plan = tuple[tuple[Request, ...], SetupPlan]


async def facts(http: Http, index: str) -> tuple[mapping.IndexFacts, ...]:
    """What the concrete indices behind a name look like.

    Raises
    ------
    ChercheError
        NOT_FOUND where there is none; FAILED_PRECONDITION where all are closed; UNAVAILABLE where the name is
        switched between all pairs of requests.
    """
    # No single request gives both: an alias that is switched in between answers for different indices.
    for _ in range(_ATTEMPTS):
        mappings = await _send(http, index, Request("GET", index_path(index, "_mapping")))
        settings = await _send(http, index, Request("GET", index_path(index, "_settings"), params=_FLAT))
        what = f'index "{index}"'
        if set(answers.objects(mappings, what)) == set(answers.objects(settings, what)):
            break
    else:
        raise unavailable(f"{index!r} was switched to other indices again and again", "try again")
    if not mappings:  # what a pattern gets to which nothing fits
        raise not_found(f"no index fits {index!r}", f"run: cherche setup '{index}' for those to come")
    found = mapping.facts(mappings, settings, what)
    # A closed index answers with its mapping and its settings, and with nothing else.
    if all(str(each.settings.get("index.verified_before_close", "")).lower() == "true" for each in found):
        raise precondition(f"{what}: closed", "open the index")
    return found


async def every(http: Http) -> tuple[mapping.IndexFacts, ...]:
    """All indices that a caller may see, without those that the cluster names with a dot for itself."""
    mappings = await _send(http, "_all", Request("GET", "/_mapping"))
    settings = await _send(http, "_all", Request("GET", "/_settings", params=_FLAT))
    # An index may come or go between the two requests.
    what = "the list of indices"
    found, set_as = answers.objects(mappings, what), answers.objects(settings, what)
    names = sorted(name for name in found.keys() & set_as.keys() if not name.startswith("."))
    return mapping.facts({name: found[name] for name in names}, {name: set_as[name] for name in names}, what)


async def planned(http: Http, dialect: Dialect, index: str, meta: IndexMeta) -> Plan:
    """Requests that set an index up, and the same as people read them.

    Raises
    ------
    ChercheError
        As `mapping.check`; INVALID_ARGUMENT for a name that no index can have.
    """
    found = await _facts_if_any(http, index)
    if not found and not may_be_made(index):
        raise invalid(f"no index is called {index!r}, and none can be", NAME_ONE)
    if meta.weights == SEISMIC:
        await seismic.check(http, dialect)
    template = await templates.behind(http, index, [each.name for each in found], meta)
    if not found and template is None:
        return await _planned_new(http, dialect, index, meta)
    requests: list[Request] = []
    said: tuple[str, ...] = ()
    # First, so that an index which a rollover makes meanwhile is set up as well.
    if template is not None:
        changed = template.setup(meta, recovery_source=dialect.recovery_source)
        requests += [changed] if changed else []
        said = templates.warnings(index, template)
    if not found:
        requests += [] if is_pattern(index) else [templates.stream(index)]
        return tuple(requests), _shown(requests, 0, said)
    # First, as states of other types cannot be counted.
    fields.check_types(found, sparse_vector=dialect.may_hold_vectors)
    fields.check_weights(found, meta, sparse_vector=dialect.sparse_vector)
    there = await stats(http, dialect, index)
    mapping.check(index, found, meta, there)
    said = (*said, *fields.check(index, found, meta, there.documents))
    if additions := mapping.additions(found, meta):
        notices.check_open(found)  # so that a dry run finds it out too
        requests += additions
    return tuple(requests), _shown(requests, there.documents, (*said, *notices.warnings(found), *fields.hazards(found)))


async def _facts_if_any(http: Http, index: str) -> tuple[mapping.IndexFacts, ...]:
    try:
        return await facts(http, index)
    except ChercheError as error:
        if error.code != Code.NOT_FOUND:
            raise
        return ()


async def hazards(http: Http, index: str) -> tuple[str, ...]:
    """See `Engine.hazards`."""
    found = await facts(http, index)
    return (*notices.hazards(found), *fields.hazards(found))


async def hide_bookkeeping(http: Http, indices: Iterable[str], known: set[str]) -> None:
    """Give indices that an earlier release set up the fields in which hash and state are written now.

    Unmapped they would become fields that a search matches, and whose mapping cannot be changed any more.

    Parameters
    ----------
    known : set of str
        Indices that have them, which are not asked again; grows.

    Raises
    ------
    ChercheError
        FAILED_PRECONDITION where the caller may not change a mapping.
    """
    for name in sorted(set(indices) - known):
        try:
            reply = await _send(http, name, Request("GET", index_path(name, "_mapping")))
            for request in mapping.hiding(reply, f'index "{name}"'):
                await _send(http, name, request)
        except ChercheError as error:
            if error.code is Code.NOT_FOUND:
                continue  # deleted meanwhile: each write says so
            if error.code is not Code.PERMISSION_DENIED:
                raise
            raise precondition(
                f'index "{name}" was set up by an earlier release, and you may not change its mapping: {error.reason}',
                f"let somebody who may run: cherche setup {name}",
            ) from error
        known.add(name)


async def show_writes(http: Http, index: str) -> None:
    """Refresh, so that documents written a moment ago count; an index may be missing."""
    try:
        await _send(http, index, Request("POST", index_path(index, "_refresh")))
    except ChercheError as error:
        if error.code != Code.NOT_FOUND:
            raise


async def stats(http: Http, dialect: Dialect, index: str) -> IndexStats:
    """See `Engine.stats`. A document whose weights somebody's update dropped counts as pending.

    Of indices that hold fields of ours in other types, as `_reindex` makes them, only the documents can be counted.
    """
    if any(fields.mistyped(each, sparse_vector=dialect.may_hold_vectors) for each in await facts(http, index)):
        _, documents = await count(http, dialect, index, [])
        return IndexStats(documents, 0, 0)
    filters: list[dict[str, Any]] = [_ENCODED, bookkeeping.is_known(), bookkeeping.is_in("failed", "no_text")]
    (encoded, touched, without), documents = await count(http, dialect, index, filters)
    return IndexStats(documents, encoded, touched - encoded - without)


async def gaps(http: Http, dialect: Dialect, index: str, meta: IndexMeta) -> Gaps:
    """See `Engine.gaps`."""
    wanted = incomplete.filters(meta, await facts(http, index))
    counts, _ = await count(http, dialect, index, list(wanted.values()))
    return Gaps(**dict(zip(wanted, counts, strict=True)))


async def count(http: Http, dialect: Dialect, index: str, filters: Sequence[dict[str, Any]]) -> tuple[list[int], int]:
    """Documents that match each filter, and documents in all."""
    body: dict[str, Any] = {"size": 0, "track_total_hits": True}
    if filters:
        body["aggs"] = {"counts": {"filters": {"filters": list(filters)}}}
    reply = await _send(http, index, dialect.search(index, body))
    what = f'index "{index}"'
    buckets = answers.part(reply, what, "aggregations", "counts", "buckets", of=list) if filters else []
    if len(buckets) != len(filters):
        raise answers.odd(what, f"it has {len(buckets)} counts to {len(filters)} filters")
    counts = [int(answers.part(bucket, what, "doc_count", of=int)) for bucket in buckets]
    return counts, int(answers.part(reply, what, "hits", "total", "value", of=int))


async def frequencies(
    http: Http, dialect: Dialect, index: str, kind: str, names: Sequence[str]
) -> tuple[dict[str, int], int]:
    """Documents that hold each feature, and documents in all; `kind` is the type of the field that holds them."""
    found: dict[str, int] = {}
    total = 0
    # At least one request, as the number of documents is needed even without features.
    for start in range(0, max(1, len(names)), _FREQUENCY_BATCH):
        batch = names[start : start + _FREQUENCY_BATCH]
        counts, total = await count(http, dialect, index, [holds(name, kind) for name in batch])
        found |= dict(zip(batch, counts, strict=True))
    return found, total


async def cluster_settings(http: Http) -> dict[str, Any]:
    """All cluster settings, flat; {} for a caller who may not read them."""
    params = {"include_defaults": "true", "flat_settings": "true"}
    try:
        reply = await http.send(Request("GET", "/_cluster/settings", params=params), what="cluster")
    except ChercheError as error:
        if error.code in (Code.PERMISSION_DENIED, Code.UNAUTHENTICATED):
            return {}
        raise
    # In ascending precedence.
    with answers.reading("cluster"):
        return {**reply.get("defaults", {}), **reply.get("persistent", {}), **reply.get("transient", {})}


async def _planned_new(http: Http, dialect: Dialect, index: str, meta: IndexMeta) -> Plan:
    settings = await _settings_of_new(http, index) if dialect.recovery_source else {}
    lean = mapping.lean_recovery(settings, known=dialect.recovery_source)
    requests = (mapping.creation(index, meta, lean_recovery=lean),)
    return requests, _shown(requests, 0, notices.new_index_warnings(index, meta))


async def _settings_of_new(http: Http, index: str) -> dict[str, Any]:
    """Flat settings that templates and defaults would give a new index; {} where they cannot be known."""
    request = Request("POST", f"/_index_template/_simulate_index{index_path(index)}")
    try:
        simulated = await _send(http, index, request)
    except ChercheError as error:
        if error.code in (Code.PERMISSION_DENIED, Code.NOT_FOUND, Code.INVALID_ARGUMENT):
            return {}
        raise
    # Without settings document replication is assumed, where a lean recovery source is not used and nothing is lost.
    with answers.reading(f'index "{index}"'):
        overlapping, given = simulated.get("overlapping"), flat(simulated.get("template", {}).get("settings", {}))
    if overlapping:
        return {}
    default = (await cluster_settings(http)).get("cluster.indices.replication.strategy", "DOCUMENT")
    return {"index.replication.type": default, **given}


async def _send(http: Http, index: str, request: Request, timeout: float | None = None) -> JsonValue:
    return await http.send(request, what=f'index "{index}"', timeout=timeout)


def _shown(requests: Sequence[Request], documents: int, warnings: tuple[str, ...]) -> SetupPlan:
    return SetupPlan(tuple(request.to_json() for request in requests), documents, warnings)
