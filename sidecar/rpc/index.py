"""IndexService."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

from sidecar import pipeline
from sidecar.errors import invalid, quoted
from sidecar.maintenance import backfill, listing, removal, setup, upgrade
from sidecar.pb.cherche.v1 import index_pb2, index_pb2_grpc
from sidecar.rpc.call import Call, bounded, unbounded
from sidecar.services import Services, index_name
from sidecar.values.documents import SourceDocument
from sidecar.wire import index as convert
from sidecar.wire import maintenance

_READ = 500


class IndexServicer(index_pb2_grpc.IndexServiceServicer):
    """The neural part of an index."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def SetupIndex(self, request: index_pb2.SetupIndexRequest, context: Call) -> index_pb2.SetupIndexResponse:
        """Add the mapping to an index."""
        ours = unbounded(self._services, context)
        options = convert.options_from_pb(request.options)
        result = await setup.setup(index_name(request.index), options, ours, dry_run=request.dry_run)
        return convert.setup_to_pb(result)

    async def GetIndex(self, request: index_pb2.GetIndexRequest, context: Call) -> index_pb2.GetIndexResponse:
        """Report how an index was set up and what it holds."""
        return convert.report_to_pb(await setup.report(index_name(request.index), bounded(self._services, context)))

    async def ListIndices(self, request: index_pb2.ListIndicesRequest, context: Call) -> index_pb2.ListIndicesResponse:
        """List the indices that were set up."""
        return convert.list_to_pb(await listing.listed(bounded(self._services, context)))

    async def IndexDocuments(
        self, request_iterator: AsyncIterator[index_pb2.IndexDocumentsRequest], context: Call
    ) -> AsyncIterator[index_pb2.IndexDocumentsResponse]:
        """Encode and write a stream of documents."""
        first = await anext(request_iterator, None)
        if first is None:
            return
        if first.WhichOneof("message") != "target":
            raise invalid("the feed does not begin with its target", "send the target first, then documents")
        ours = unbounded(self._services, context)
        target = first.target
        documents, name = _documents(request_iterator), _one(target.index)
        answers = pipeline.ingest(documents, name, ours, refresh=target.refresh)
        index = 0
        async with aclosing(self._services.jobs.feed(name, answers)) as answers:
            async for result in answers:
                self._services.count("IndexDocuments", [result.error], int(result.truncated))
                yield convert.ingested_to_pb(index, result)
                index += 1

    async def RemoveIndex(self, request: index_pb2.RemoveIndexRequest, context: Call) -> index_pb2.RemoveIndexResponse:
        """Take out what setup and feed put in."""
        ours = unbounded(self._services, context)
        name, versions = index_name(request.index), request.version_type
        done = await removal.remove(name, ours, dry_run=request.dry_run, version_type=versions)
        return convert.removal_to_pb(done)

    async def DumpIndex(
        self, request: index_pb2.DumpIndexRequest, context: Call
    ) -> AsyncIterator[index_pb2.DumpIndexResponse]:
        """Stream what is stored beside each document, or beside those that were asked for."""
        ours, index = unbounded(self._services, context), index_name(request.index)
        if request.ids and request.sample:
            raise invalid("a dump is of documents by id or of a sample", "ask for one of them")
        if request.sample:
            for document in await ours.engine.sample(index, request.sample):
                yield convert.dumped_to_pb(document)
            return
        ids = list(dict.fromkeys(request.ids))
        for start in range(0, max(1, len(ids)), _READ):
            async for document in ours.engine.scan(index, ids[start : start + _READ]):
                yield convert.dumped_to_pb(document)

    async def BackfillIndex(
        self, request: index_pb2.BackfillIndexRequest, context: Call
    ) -> AsyncIterator[index_pb2.BackfillIndexResponse]:
        """Encode what an index holds and is not encoded."""
        ours, index = unbounded(self._services, context), index_name(request.index)
        events = backfill.backfill(index, maintenance.backfill_from_pb(request), ours)
        async with aclosing(self._services.jobs.follow("backfill", index, events)) as followed:
            async for event in followed:
                yield maintenance.event_to_pb(event)

    async def UpgradeIndex(
        self, request: index_pb2.UpgradeIndexRequest, context: Call
    ) -> AsyncIterator[index_pb2.UpgradeIndexResponse]:
        """Fill an index beside the one that serves, switch to it, or back."""
        ours, index = unbounded(self._services, context), _one(request.index)
        settings = maintenance.backfill_from_pb(request)
        step = maintenance.step_of(request)
        match step:
            case "prepare":
                options = convert.options_from_pb(request.options)
                events = upgrade.prepare(index, options, request.shadow, settings, ours)
            case "switch":
                options = convert.options_from_pb(request.options)
                replace = request.replace
                events = upgrade.switch(index, request.shadow, settings, ours, options=options, replace=replace)
            case "rollback":
                events = upgrade.rollback(index, settings, ours)
        async with aclosing(self._services.jobs.follow(step, index, events)) as followed:
            async for event in followed:
                yield maintenance.upgrade_event_to_pb(event)


async def _documents(requests: AsyncIterator[index_pb2.IndexDocumentsRequest]) -> AsyncIterator[SourceDocument]:
    count = 0
    async for request in requests:
        count += 1
        if request.WhichOneof("message") != "document":
            raise invalid(f"message {count} of the feed holds no document", "send the target once, then documents")
        one = request.document
        yield SourceDocument(one.id, one.source_json, one.routing)


def _one(index: str) -> str:
    """A name that something can be written under.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT.
    """
    if "*" in index_name(index):
        raise invalid(f"{quoted(index)} is a pattern, and nothing can be written under it", "name one index or alias")
    return index
