"""PluginService."""

from __future__ import annotations

import json
import math

import numpy as np

from cherche_models.types import TokenEmbeddings
from sidecar.errors import ChercheError, Code, invalid, item_name
from sidecar.observe import telemetry
from sidecar.pb.cherche.v1 import plugin_pb2 as pb
from sidecar.pb.cherche.v1 import plugin_pb2_grpc
from sidecar.pipeline.encode import DocumentEncoder, name_of
from sidecar.pipeline.prepare import (
    HitText,
    PreparedQuery,
    known_document,
    passages_of_hits,
    prepare_documents,
    prepare_query,
    rerank_hits,
)
from sidecar.pipeline.stored import EncodedDocument
from sidecar.pipeline.table import query_table
from sidecar.pipeline.weights import check_plugin
from sidecar.rpc.call import Call, bounded, fitting
from sidecar.services import Services
from sidecar.values.clauses import heaviest, sparse_clause
from sidecar.values.documents import SourceDocument
from sidecar.values.first_stage import EngineHit
from sidecar.values.index import IndexMeta
from sidecar.values.options import options
from sidecar.values.passages import PassageOptions
from sidecar.values.search import RerankOutcome, SearchRequest, Timings
from sidecar.wire.columns import item_to_pb, timings_to_pb, weights_to_pb
from sidecar.wire.fields import from_message
from sidecar.wire.search import outcome_to_pb, passage_to_pb, query_from_pb, sparse_to_pb
from sidecar.wire.status import clean


class PluginServicer(plugin_pb2_grpc.PluginServiceServicer):
    """What a plugin inside the cluster asks for."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def PrepareDocuments(self, request: pb.PrepareDocumentsRequest, context: Call) -> pb.PrepareDocumentsResponse:
        """Turn documents into the fields that are stored beside them."""
        ours = bounded(self._services, context)
        self._services.check_items(len(request.documents))
        started = ours.clock()
        encoder = DocumentEncoder.of(_meta(request.meta_json), ours.encoders)
        # An id that the cluster generates does not exist yet in an ingest pipeline; errors need a name.
        documents = [SourceDocument(one.id or f"#{i}", one.source_json) for i, one in enumerate(request.documents)]
        known = [known_document(one.id, one.known_hash, one.known_terms) for one in request.documents]
        results = await prepare_documents(documents, known, encoder, ours)
        errors = [one if isinstance(one, ChercheError) else None for one in results]
        parts = [one.part if isinstance(one, EncodedDocument) else None for one in results]
        self._services.count("PrepareDocuments", errors, sum(part.truncated for part in parts if part is not None))
        weights = [None if part is None else part.weights for part in parts]
        vocabulary = encoder.sparse.info.vocabulary
        return fitting(
            self._services,
            pb.PrepareDocumentsResponse(
                documents=[_prepared(i, request.documents[i].id, one) for i, one in enumerate(results)],
                term_weights=weights_to_pb(weights, lambda i: name_of(vocabulary, i, encoder.meta.naming)),
                timings=timings_to_pb(Timings(total=ours.clock() - started)),
            ),
        )

    async def PrepareQuery(self, request: pb.PrepareQueryRequest, context: Call) -> pb.PrepareQueryResponse:
        """Turn a query text into the sparse clause, and into what MaxSim needs."""
        ours = bounded(self._services, context)
        started = ours.clock()
        query = await prepare_query(query_from_pb(request), _searched(request.meta_json), ours)
        timings = Timings(**query.encoded.timings, total=ours.clock() - started)
        self._services.metrics.stages(timings)
        return _query_to_pb(query, request.max_clauses, timings)

    async def RerankHits(self, request: pb.RerankHitsRequest, context: Call) -> pb.RerankHitsResponse:
        """Reorder the hits of a first stage."""
        ours = bounded(self._services, context)
        started = ours.clock()
        meta = _meta(request.meta_json)
        weight = request.weight if request.HasField("weight") else meta.rerank_weight
        options(SearchRequest)["rerank_weight"].check(weight, "rerank weight")
        self._services.check_items(len(request.hits))
        hits = [_hit(place, one) for place, one in enumerate(request.hits)]
        with telemetry.stage("rerank"):
            ranked = await rerank_hits(hits, _embeddings(request.query), weight, ours)
        seconds = ours.clock() - started
        timings = Timings(rerank=seconds, total=seconds)
        self._services.metrics.stages(timings)
        self._services.metrics.reranked(ranked.outcome)
        return pb.RerankHitsResponse(
            hits=[
                pb.RerankedHit(index=hit.parts.first_stage_rank - 1, score=hit.score, maxsim=hit.parts.maxsim)
                for hit in ranked.hits
            ],
            outcome=outcome_to_pb(ranked.outcome),
            timings=timings_to_pb(timings),
        )

    async def FindPassages(self, request: pb.FindPassagesRequest, context: Call) -> pb.FindPassagesResponse:
        """Find what answers a query in the texts of a page's hits."""
        ours = bounded(self._services, context)
        started = ours.clock()
        self._services.check_items(len(request.hits))
        wanted = from_message(request, PassageOptions)
        hits = [
            HitText(SourceDocument(one.id or f"#{place}", one.source_json), one.hash, one.codes or None)
            for place, one in enumerate(request.hits)
        ]
        with telemetry.stage("passages"):
            found = await passages_of_hits(hits, request.text, wanted, _meta(request.meta_json), ours)
        timings = Timings(**found.encoded.timings, total=ours.clock() - started)
        self._services.metrics.stages(timings)
        return fitting(
            self._services,
            pb.FindPassagesResponse(
                hits=[pb.HitPassages(passages=map(passage_to_pb, one)) for one in found.hits],
                warnings=[clean(warning) for warning in found.warnings],
                timings=timings_to_pb(timings),
            ),
        )

    async def GetQueryTable(self, request: pb.GetQueryTableRequest, context: Call) -> pb.GetQueryTableResponse:
        """Give the query weights of a model whose queries need no pass."""
        ours = bounded(self._services, context)
        table = await query_table(_searched(request.meta_json), ours)
        return fitting(
            self._services,
            pb.GetQueryTableResponse(
                vocabulary=[clean(token) for token in table.vocabulary],
                features=table.features,
                weights=table.weights.astype("<f4").tobytes(),
                frame=sorted(table.frame),
                max_pieces=table.max_pieces,
                sparse_boost=table.boost,
                probes=[pb.TokenizerProbe(text=text, ids=ids) for text, ids in table.probes],
            ),
        )


def _meta(data: bytes) -> IndexMeta:
    """How the index was set up, as the plugin read it from the mapping.

    Raises
    ------
    ChercheError
        FAILED_PRECONDITION where this release cannot read it.
    """
    try:
        return IndexMeta.from_json(json.loads(data))
    except (KeyError, TypeError, ValueError) as error:
        raise ChercheError(
            Code.FAILED_PRECONDITION,
            f"the index's _meta.cherche cannot be read: {error!r}",
            "run: cherche setup INDEX, with the release of this sidecar",
        ) from None


def _searched(data: bytes) -> IndexMeta:
    """As `_meta`, of an index that the plugin searches.

    Raises
    ------
    ChercheError
        As `_meta`; FAILED_PRECONDITION where its weights lie in a field that the plugin does not search.
    """
    meta = _meta(data)
    check_plugin(meta)
    return meta


def _prepared(index: int, id: str, one: EncodedDocument | ChercheError) -> pb.PreparedDocument:
    if isinstance(one, ChercheError):
        return pb.PreparedDocument(item=item_to_pb(index, id, one))
    part, stored = one.part, one.stored
    item = item_to_pb(index, id, truncated=part.truncated, tokens=part.tokens, unknown_language=part.unknown_language)
    return pb.PreparedDocument(
        item=item, hash=stored.hash, terms=stored.terms or b"", codes=stored.codes or b"", reused=one.is_reused
    )


def _query_to_pb(query: PreparedQuery, max_clauses: int, timings: Timings) -> pb.PrepareQueryResponse:
    encoded = query.encoded
    clauses, cut = heaviest(encoded.clauses, max_clauses) if max_clauses else (encoded.clauses, 0)
    clause = json.dumps(sparse_clause(clauses, query.boost)).encode() if clauses else b""
    embeddings = None
    if encoded.embeddings is not None and query.unreranked is None:
        vectors = encoded.embeddings.vectors
        embeddings = pb.QueryEmbeddings(
            data=vectors.astype("<f4").tobytes(), tokens=vectors.shape[0], dim=vectors.shape[1]
        )
    return pb.PrepareQueryResponse(
        clause_json=clause,
        terms=len(clauses),
        terms_cut=cut,
        embeddings=embeddings,
        embeddings_missing=clean(query.unreranked.reason) if query.unreranked else "",
        warnings=[clean(warning) for warning in encoded.warnings],
        timings=timings_to_pb(timings),
        sparse=sparse_to_pb(query.sparse),
        unreranked=outcome_to_pb(query.unreranked or RerankOutcome()).status,
    )


def _hit(place: int, hit: pb.PipelineHit) -> EngineHit:
    """A hit of the first stage.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT for a score that is no number: it would be compared with those of all others.
    """
    if not math.isfinite(hit.score):
        raise invalid(f"{item_name('hit', place, hit.id)} has the score {hit.score}", "send the first stage's score")
    return EngineHit(hit.id, hit.score, codes=hit.codes or None)


def _embeddings(query: pb.QueryEmbeddings) -> TokenEmbeddings:
    """The query's embeddings.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT where the bytes are not rows of that width.
    """
    size = query.tokens * query.dim
    # A NaN stands for bytes of the wrong length, so that one check refuses both.
    vectors = np.frombuffer(query.data, "<f4") if size and len(query.data) == 4 * size else np.full(1, np.nan)
    if not bool(np.isfinite(vectors).all()):
        raise invalid(
            f"{len(query.data)} bytes are not {query.tokens} x {query.dim} finite float32",
            "send the embeddings as PrepareQuery gave them",
        )
    return TokenEmbeddings(vectors.reshape(query.tokens, query.dim).astype(np.float32))
