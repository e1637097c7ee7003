"""The engine: an index of the user's own cluster, over its REST API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Self

from sidecar.engines.opensearch import answers, lifecycle, load, mapping, multi_index, ranks, reading, removal, writes
from sidecar.engines.opensearch.bulk import Sleep
from sidecar.engines.opensearch.dialect import DEFAULT_MAX_CLAUSES, Dialect, choose
from sidecar.engines.opensearch.errors import TooManyClauses
from sidecar.engines.opensearch.hits import page
from sidecar.engines.opensearch.http import Http, Request, connect, index_path
from sidecar.engines.opensearch.incomplete import selection
from sidecar.engines.opensearch.kept_codes import KeptCodes
from sidecar.engines.opensearch.known import Known, key_of
from sidecar.engines.opensearch.query import first_terms, lexical_reserve, search_body, sparse_parts_body
from sidecar.engines.opensearch.successors import OpenSearchSuccessors
from sidecar.engines.opensearch.values import JsonValue
from sidecar.errors import ChercheError, Code, unavailable
from sidecar.values.clauses import heaviest
from sidecar.values.documents import RANK_FEATURES, StoredDocument, WriteResult, version_of
from sidecar.values.first_stage import EnginePage, Query, SparseClause
from sidecar.values.index import EngineInfo, Gaps, Identity, IndexGroup, IndexMeta, IndexStats, SetupPlan
from sidecar.values.maintenance import Load, Removal, Room, ShardRange

_CATCH_UP_POLLS, _CATCH_UP_PAUSE = 300, 0.1


class OpenSearchEngine:
    """Implements `sidecar.protocols.Engine`.

    >>> OpenSearchEngine.connect("http://user:secret@cluster:9200")
    Traceback (most recent call last):
    sidecar.errors.ChercheError: the URL of the cluster at cluster holds credentials, \
which would end up in logs — send them as an identity, or configure a service account
    """

    def __init__(
        self,
        http: Http,
        *,
        service_identity: Identity | None = None,
        sleep: Sleep = asyncio.sleep,
        known: Known | None = None,
        codes: KeptCodes | None = None,
    ) -> None:
        self._http = http
        self._service_identity = service_identity
        self._sleep = sleep
        self._known = known or Known()
        self._codes = codes or KeptCodes()

    @classmethod
    def connect(
        cls,
        url: str,
        *,
        service_identity: Identity | None = None,
        ca_certs: str | None = None,
        verify: bool = True,
        timeout: float = 30.0,
        codes: KeptCodes | None = None,
    ) -> OpenSearchEngine:
        """Connect to a cluster; nothing is sent before the first call.

        Parameters
        ----------
        url : str
            Without credentials.
        service_identity : Identity or None
            Used where a caller has none.
        ca_certs : str or None
            File or folder of CA certificates.
        timeout : float
            Seconds, where a call states none.
        codes : KeptCodes or None
            Keeps the codes of hits; None keeps none.

        Raises
        ------
        ChercheError
            INVALID_ARGUMENT for a URL that is none.
        """
        identity = service_identity or Identity()
        http = connect(url, identity=identity, ca_certs=ca_certs, verify=verify, timeout=timeout)
        return cls(http, service_identity=service_identity, codes=codes)

    def as_caller(self, identity: Identity) -> Self:
        """Return the same pool, acting with a caller's credentials."""
        acting = identity if identity.authorization else self._service_identity or identity
        return type(self)(
            self._http.acting_as(acting),
            service_identity=self._service_identity,
            sleep=self._sleep,
            known=self._known,
            codes=self._codes,
        )

    async def info(self) -> EngineInfo:
        """Product, version and clause limit."""
        dialect = await self._dialect()
        return EngineInfo(dialect.title, dialect.version, await self._max_clauses())

    async def meta(self, index: str) -> IndexMeta | None:
        """See `Engine.meta`."""
        found = await lifecycle.facts(self._http, index)
        # Renewed with each reading of the settings: the index may have been created again with the other type.
        self._known.weights[index] = mapping.weights_kind(index, found)
        # Of indices with several encodings that one counts which new documents go to.
        if len(mapping.groups(found)) > 1 and (written := await multi_index.target(self._http, index, found)):
            found = (written,)
        return mapping.read_meta(index, found)

    async def plan(self, index: str, meta: IndexMeta) -> SetupPlan:
        """See `Engine.plan`."""
        _, plan = await lifecycle.planned(self._http, await self._dialect(), index, meta)
        return plan

    async def setup(self, index: str, meta: IndexMeta) -> SetupPlan:
        """See `Engine.setup`.

        Raises
        ------
        ChercheError
            FAILED_PRECONDITION where documents were encoded for another model, or own fields
            have other types.
        """
        # Documents that are not refreshed do not count, and the index would seem free to change its model.
        await lifecycle.show_writes(self._http, index)
        requests, plan = await lifecycle.planned(self._http, await self._dialect(), index, meta)
        for request in requests:
            await self._send(index, request)
        self._known.forget()
        return plan

    async def remove(self, index: str, *, dry_run: bool = False, keeps_versions: bool = False) -> Removal:
        """See `Engine.remove`."""
        found = await lifecycle.facts(self._http, index)
        # The query that finds documents to strip sees only what is refreshed.
        await self.refresh(index)
        dialect = await self._dialect()
        plan = await removal.planned(self._http, dialect, index, found, keeps_versions=keeps_versions)
        if dry_run:
            return plan.report
        for request in plan.requests:
            await self._send(index, request)
        changed = await removal.strip(self._http, dialect, plan, sleep=self._sleep)
        for request in plan.deletions:
            await self._send(index, request)
        self._known.forget()
        return replace(plan.report, documents=changed)

    async def read(
        self, index: str, ids: Sequence[str], routings: Mapping[str, str] | None = None
    ) -> dict[str, StoredDocument]:
        """See `Engine.read`."""
        return await reading.read(self._http, await self._dialect(), index, ids, routings)

    async def requires_routing(self, index: str) -> bool:
        """See `Engine.requires_routing`."""
        return any(each.requires_routing for each in await lifecycle.facts(self._http, index))

    async def write(self, index: str, documents: Sequence[StoredDocument]) -> list[WriteResult]:
        """See `Engine.write`."""
        try:
            group = await multi_index.resolve(self._http, index)
            await lifecycle.hide_bookkeeping(self._http, group.names, self._known.hidden)
            return await multi_index.write(self._http, group, documents, sleep=self._sleep)
        except ChercheError as error:
            return [WriteResult(document.id, error) for document in documents]

    async def identities(self, index: str) -> frozenset[str]:
        """See `Engine.identities`."""
        return frozenset((await multi_index.identities(self._http, index)).values())

    async def refresh(self, index: str) -> None:
        """See `Engine.refresh`. Under segment replication it waits for the replicas, which copy afterwards.

        Raises
        ------
        ChercheError
            UNAVAILABLE where replicas are still behind after half a minute.
        """
        await self._send(index, Request("POST", index_path(index, "_refresh")))
        for _ in range(_CATCH_UP_POLLS):
            behind = await reading.behind(self._http, await self._dialect(), index)
            if not behind:
                return
            await self._sleep(_CATCH_UP_PAUSE)
        raise unavailable(
            f'index "{index}": {behind} replicas are behind {_CATCH_UP_POLLS * _CATCH_UP_PAUSE:g} s after a '
            "refresh; every acknowledged document is stored",
            "searches see all of them once the replicas have caught up",
        )

    async def search(self, index: str, query: Query) -> EnginePage:
        """See `Engine.search`."""
        if query.pit or not query.keep_pit:
            return await self._fitted(index, query)
        dialect = await self._dialect()
        pit = dialect.pit_id(await self._send(index, dialect.open_pit(index), query.timeout), f'index "{index}"')
        try:
            return await self._fitted(index, replace(query, pit=pit))
        except ChercheError:
            # Nobody else knows its id: it would stay open for the whole of its keep-alive.
            await self.close_pit(pit)
            raise

    async def close_pit(self, pit: str) -> None:
        """See `Engine.close_pit`; one that is gone already is closed."""
        request = (await self._dialect()).close_pit(pit)
        try:
            await self._http.send(request, what="point in time")
        except ChercheError as error:
            if error.code not in (Code.NOT_FOUND, Code.FAILED_PRECONDITION):
                raise

    async def document_frequencies(
        self, index: str, features: Sequence[tuple[int, str]], *, max_age: float = 0.0
    ) -> tuple[list[int], int]:
        """See `Engine.document_frequencies`."""
        known = self._known.frequencies(key_of(self._http.identity, index))
        kind, dialect = await self._weights(index), await self._dialect()
        count = partial(lifecycle.frequencies, self._http, dialect, index, kind)
        return await known.counted([name for _, name in features], count, self._known.clock(), max_age)

    async def stats(self, index: str) -> IndexStats:
        """See `Engine.stats`. A document whose weights somebody's update dropped counts as pending."""
        return await lifecycle.stats(self._http, await self._dialect(), index)

    async def hazards(self, index: str) -> tuple[str, ...]:
        """See `Engine.hazards`."""
        return await lifecycle.hazards(self._http, index)

    async def gaps(self, index: str, meta: IndexMeta) -> Gaps:
        """See `Engine.gaps`."""
        return await lifecycle.gaps(self._http, await self._dialect(), index, meta)

    async def sample(self, index: str, size: int) -> list[StoredDocument]:
        """See `Engine.sample`."""
        return await reading.sample(self._http, await self._dialect(), index, size)

    async def scan(self, index: str, ids: Sequence[str] = ()) -> AsyncIterator[StoredDocument]:
        """See `Engine.scan`."""
        async for document in reading.scan(self._http, await self._dialect(), index, ids):
            yield document

    async def list_indices(self) -> tuple[IndexGroup, ...]:
        """See `Engine.list_indices`; without the cluster's own."""
        return mapping.groups(await lifecycle.every(self._http))

    async def groups(self, index: str, *, max_age: float = 0.0) -> tuple[IndexGroup, ...]:
        """See `Engine.groups`."""
        known = self._known.groups(key_of(self._http.identity, index), max_age)
        if known is not None:
            return known
        asked = self._known.clock()
        return self._known.see(key_of(self._http.identity, index), await lifecycle.facts(self._http, index), asked)

    async def shards(self, index: str) -> tuple[ShardRange, ...]:
        """See `Engine.shards`."""
        return await writes.shards(self._http, index)

    async def pages(
        self, shard: ShardRange, after: int, meta: IndexMeta, *, incomplete: bool = False, whole_source: bool = False
    ) -> AsyncIterator[list[StoredDocument]]:
        """See `Engine.pages`."""
        found = await lifecycle.facts(self._http, shard.index)
        pages = writes.pages(
            self._http,
            await self._dialect(),
            shard,
            after,
            () if whole_source else tuple(field.name for field in meta.fields),
            with_codes=meta.stores_codes,
            lean=all(each.source_is_lean for each in found),
            only=selection(meta, found) if incomplete else None,
            most=min((each.max_window for each in found), default=writes.PAGE),
        )
        async for found_page in pages:
            yield found_page

    async def versions(self, index: str, places: Sequence[tuple[str, str]], meta: IndexMeta) -> list[StoredDocument]:
        """See `Engine.versions`."""
        return await reading.versions(self._http, await self._dialect(), index, places, meta)

    async def update(self, documents: Sequence[StoredDocument], *, keeps_versions: bool = False) -> list[WriteResult]:
        """See `Engine.update`."""
        await lifecycle.hide_bookkeeping(self._http, (version_of(one).index for one in documents), self._known.hidden)
        return await writes.update(self._http, documents, sleep=self._sleep, keeps_versions=keeps_versions)

    async def foreign_versions(self, index: str, size: int) -> int:
        """See `Engine.foreign_versions`."""
        return await reading.foreign_versions(self._http, await self._dialect(), index, size)

    async def successors(self) -> OpenSearchSuccessors:
        """See `Engine.successors`."""
        return OpenSearchSuccessors(self._http, await self._dialect(), self._sleep)

    async def load(self) -> Load | None:
        """See `Engine.load`."""
        return await load.load(self._http)

    async def room(self, index: str) -> Room | None:
        """See `Engine.room`."""
        found = await lifecycle.facts(self._http, index)
        settings = await lifecycle.cluster_settings(self._http)
        return await load.room(self._http, index, settings, max((each.replicas for each in found), default=0))

    async def aclose(self) -> None:
        """Close the pool, for all callers."""
        await self._http.transport.close()

    async def _fitted(self, index: str, query: Query) -> EnginePage:
        """Search with as many clauses as the cluster takes."""
        limit = max(1, await self._max_clauses() - lexical_reserve(query)) if query.clauses else 0
        while True:
            clauses, cut = heaviest(query.clauses, limit)
            try:
                run = partial(self._search, index, clauses=clauses, cut=cut)
                return await (ranks.search(query, run) if query.by_ranks else run(query))
            except TooManyClauses:
                if limit <= 1:
                    raise
                # The reserve is an estimate: analyzers run in the cluster, and Lucene counts clauses after rewriting.
                limit = min(limit, len(clauses)) // 2

    async def _search(self, index: str, query: Query, clauses: Sequence[SparseClause], cut: int) -> EnginePage:
        dialect = await self._dialect()
        query = replace(query, first_terms=first_terms(query, clauses))
        kind = await self._weights(index) if clauses else RANK_FEATURES
        pit = dialect.in_pit(query.pit) if query.pit else {}
        # A point in time names its indices itself: a name in the path is refused.
        path = "/_search" if query.pit else index_path(index, "_search")
        two_parts = query.mode == "hybrid" and bool(clauses)
        # A sorted reply has no score, so the named clauses are the only place where it can be read.
        named = dialect.named_scores and (two_parts or "sort" in query.body) and query.match_set != "none"
        params = {"include_named_queries_score": "true"} if named else {}
        lean = self._known.is_lean(key_of(self._http.identity, index))
        body = {**search_body(query, clauses, kind, lean=lean), **pit}
        request = Request("POST", path, body, params) if pit else dialect.search(index, body, params)
        what = f'index "{index}"'
        if query.with_codes:
            answered = await self._codes.answer(self._http, request, what, query.timeout)
        else:
            answered = answers.found(await self._http.send(request, what=what, timeout=query.timeout), what)
        parts = None
        if two_parts and not named:
            ids = [raw["_id"] for raw in answered.hits]
            body = {**sparse_parts_body(query, clauses, ids), **pit}
            request_parts = Request("POST", path, body) if pit else dialect.search(index, body)
            parts = _scores(await self._send(index, request_parts, query.timeout), index) if ids else {}
        warnings = dialect.cut_warnings(cut, len(clauses))
        found = page(answered, query, request=request.to_json(), warnings=warnings, sparse_parts=parts)
        return replace(found, pit=found.pit or query.pit, clauses=len(clauses))

    async def _dialect(self) -> Dialect:
        if self._known.dialect is None:
            self._known.dialect = choose(await self._http.send(Request("GET", "/"), what="cluster"))
            self._http.described["db.system.name"] = self._known.dialect.product
        return self._known.dialect

    async def _weights(self, index: str) -> str:
        """Type of the field of the weights; only newer Elasticsearch leaves a choice."""
        if not (await self._dialect()).sparse_vector:
            return RANK_FEATURES
        if index not in self._known.weights:
            self._known.weights[index] = mapping.weights_kind(index, await lifecycle.facts(self._http, index))
        return self._known.weights[index]

    async def _max_clauses(self) -> int:
        if self._known.max_clauses is None:
            is_stated = (await self._dialect()).states_max_clauses
            settings = await lifecycle.cluster_settings(self._http) if is_stated else {}
            stated = settings.get("indices.query.bool.max_clause_count", DEFAULT_MAX_CLAUSES)
            with answers.reading("cluster"):
                self._known.max_clauses = int(stated)
        return self._known.max_clauses

    async def _send(self, index: str, request: Request, timeout: float | None = None) -> JsonValue:
        return await self._http.send(request, what=f'index "{index}"', timeout=timeout)


def _scores(reply: JsonValue, index: str) -> dict[str, float]:
    return {raw["_id"]: float(raw.get("_score") or 0.0) for raw in answers.sound_hits(reply, f'index "{index}"')[0]}
