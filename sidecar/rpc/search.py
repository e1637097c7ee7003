"""SearchService."""

from __future__ import annotations

from sidecar import pipeline
from sidecar.pb.cherche.v1 import search_pb2, search_pb2_grpc
from sidecar.rpc.call import Call, bounded, fitting
from sidecar.services import Services, index_name
from sidecar.values.search import SearchRequest
from sidecar.wire import search as convert


class SearchServicer(search_pb2_grpc.SearchServiceServicer):
    """Hybrid search with rerank and reasons."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def Search(self, request: search_pb2.SearchRequest, context: Call) -> search_pb2.SearchResponse:
        """Find hits."""
        ours = bounded(self._services, context)
        with self._services.turns.taken(ours.remaining()):
            result = await pipeline.search(_request(request), ours)
        self._services.measure(result)
        return fitting(self._services, convert.result_to_pb(result))

    async def Explain(self, request: search_pb2.ExplainRequest, context: Call) -> search_pb2.ExplainResponse:
        """Find hits and say why each is where it is."""
        ours = bounded(self._services, context)
        with self._services.turns.taken(ours.remaining()):
            result, explanations = await pipeline.explain(_request(request.search), ours, tuple(request.ids))
        self._services.measure(result)
        return fitting(
            self._services,
            search_pb2.ExplainResponse(
                search=convert.result_to_pb(result),
                explanations=[convert.explanation_to_pb(explanation) for explanation in explanations],
            ),
        )


def _request(request: search_pb2.SearchRequest) -> SearchRequest:
    index_name(request.index)
    return convert.request_from_pb(request)
