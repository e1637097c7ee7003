"""PluginService answers what a feed would store and what a search would rank."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import grpc
import numpy as np
import pytest

from cherche_models import codec
from sidecar.pb.cherche.v1 import plugin_pb2 as pb
from sidecar.pb.cherche.v1 import plugin_pb2_grpc, search_pb2
from sidecar.protocols import Engine
from sidecar.testing import FakeModel, RunningServer, running_server
from sidecar.values.documents import SourceDocument
from sidecar.values.index import IndexOptions
from sidecar.wire.columns import weights_from_pb
from tests.integration.plugin.inference_free import CONTRACT, InferenceFreeModel

SOURCES = {
    "a": {"title": "red car", "text": "a car, red."},
    "b": {"text": ["film", "of a car"]},
    "c": {"title": "boat", "text": None, "n": 1},
}


@pytest.fixture
async def plugin(server: RunningServer) -> AsyncIterator[plugin_pb2_grpc.PluginServiceAsyncStub]:
    async with grpc.aio.insecure_channel(server.address) as channel:
        yield plugin_pb2_grpc.PluginServiceStub(channel)


@pytest.fixture
async def meta(server: RunningServer) -> bytes:
    await server.client.setup_index("cars", IndexOptions())

    async def documents() -> AsyncIterator[SourceDocument]:
        for id, source in SOURCES.items():
            yield SourceDocument(id, json.dumps(source).encode())

    assert [one.error async for one in server.client.index_documents("cars", documents())] == [None] * 3
    report = await server.client.get_index("cars")
    assert report.meta is not None
    return json.dumps(report.meta.to_json()).encode()


def request(meta: bytes, **known: pb.PipelineDocument) -> pb.PrepareDocumentsRequest:
    documents = [
        known.get(id) or pb.PipelineDocument(id=id, source_json=json.dumps(source).encode())
        for id, source in SOURCES.items()
    ]
    return pb.PrepareDocumentsRequest(meta_json=meta, documents=documents)


async def test_documents_are_what_a_feed_stores(server: RunningServer, plugin: Any, meta: bytes) -> None:
    answer = await plugin.PrepareDocuments(request(meta))
    stored = {one.id: one async for one in server.client.dump_index("cars")}
    weights = weights_from_pb(answer.term_weights)
    for one, features in zip(answer.documents, weights, strict=True):
        assert one.hash == stored[one.item.id].hash
        assert len(features) == len(codec.unpack_terms(one.terms))
        assert codec.codes_header(one.codes).tokens > 0
    assert weights[0].keys() >= {"%2E"}


async def test_a_known_text_needs_no_model(server: RunningServer, plugin: Any, meta: bytes, model: Any) -> None:
    first = await plugin.PrepareDocuments(request(meta))
    passes = len(model.batches)
    known = {
        one.item.id: pb.PipelineDocument(
            id=one.item.id,
            source_json=json.dumps(SOURCES[one.item.id]).encode(),
            known_hash=one.hash,
            known_terms=one.terms,
        )
        for one in first.documents
    }
    again = await plugin.PrepareDocuments(request(meta, **known))
    assert len(model.batches) == passes
    assert [(one.reused, one.codes) for one in again.documents] == [(True, b"")] * 3
    assert weights_from_pb(again.term_weights) == weights_from_pb(first.term_weights)
    known["a"].known_terms = b"damaged"
    assert [one.reused for one in (await plugin.PrepareDocuments(request(meta, **known))).documents] == [
        False,
        True,
        True,
    ]


async def test_a_failed_document_fails_alone(plugin: Any, meta: bytes) -> None:
    poison = pb.PipelineDocument(id="b", source_json=b'{"text": "poison"}')
    empty = pb.PipelineDocument(id="c", source_json=b"{}")
    answer = await plugin.PrepareDocuments(request(meta, b=poison, c=empty))
    assert [one.item.HasField("status") for one in answer.documents] == [False, True, False]
    assert (answer.documents[2].terms, len(answer.documents[2].hash)) == (b"", 64), "it has no text"


def _boosts(answer: pb.PrepareQueryResponse) -> dict[str, float]:
    """Boost of each field of a sparse clause, which is nothing but a disjunction."""
    clause = json.loads(answer.clause_json)
    assert set(clause["bool"]) == {"should", "_name"}
    features = [one["rank_feature"] for one in clause["bool"]["should"]]
    return {feature["field"]: feature["boost"] for feature in features}


async def test_a_query_is_the_clause_of_a_search(plugin: Any, meta: bytes) -> None:
    asked = pb.PrepareQueryRequest(meta_json=meta, text="red car", embeddings=True)
    plain = _boosts(await plugin.PrepareQuery(asked))
    asked.sparse_boost = 2.0
    answer = await plugin.PrepareQuery(asked)
    assert (len(plain), answer.terms) == (3, 3)
    assert _boosts(answer) == {field: 2.0 * boost for field, boost in plain.items()}
    assert len(answer.embeddings.data) == 4 * answer.embeddings.tokens * answer.embeddings.dim
    asked.max_clauses = 1
    cut = await plugin.PrepareQuery(asked)
    assert (cut.terms, cut.terms_cut) == (1, 2)


async def test_hits_are_reordered_by_their_codes(plugin: Any, meta: bytes) -> None:
    prepared = (await plugin.PrepareDocuments(request(meta))).documents
    query = await plugin.PrepareQuery(pb.PrepareQueryRequest(meta_json=meta, text="boat", embeddings=True))
    hits = [pb.PipelineHit(id="same", score=3 - n, codes=one.codes) for n, one in enumerate(prepared)]
    asked = pb.RerankHitsRequest(meta_json=meta, query=query.embeddings, hits=[*hits, pb.PipelineHit(id="x")], weight=1)
    answer = await plugin.RerankHits(asked)
    assert answer.hits[0].index == 2
    assert sorted(hit.index for hit in answer.hits) == [0, 1, 2, 3]
    assert answer.outcome.status == search_pb2.RERANK_STATUS_PARTIAL
    assert (answer.outcome.reranked, answer.outcome.codes_missing) == (3, 1)
    assert [hit.HasField("maxsim") for hit in sorted(answer.hits, key=lambda hit: hit.index)] == [True] * 3 + [False]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"meta_json": b"{}"}, grpc.StatusCode.FAILED_PRECONDITION),
        ({"query": pb.QueryEmbeddings(data=b"1234", tokens=2, dim=2)}, grpc.StatusCode.INVALID_ARGUMENT),
        ({"query": pb.QueryEmbeddings()}, grpc.StatusCode.INVALID_ARGUMENT),
        ({"weight": 1.5}, grpc.StatusCode.INVALID_ARGUMENT),
        ({"weight": float("nan")}, grpc.StatusCode.INVALID_ARGUMENT),
        ({"hits": [pb.PipelineHit(id="a", score=float("nan"))]}, grpc.StatusCode.INVALID_ARGUMENT),
        ({"hits": [pb.PipelineHit(id="a", score=float("inf"))]}, grpc.StatusCode.INVALID_ARGUMENT),
    ],
)
async def test_what_is_no_rerank_is_refused(plugin: Any, meta: bytes, change: Any, code: grpc.StatusCode) -> None:
    query = await plugin.PrepareQuery(pb.PrepareQueryRequest(meta_json=meta, text="boat", embeddings=True))
    given = {"meta_json": meta, "query": query.embeddings, "hits": [pb.PipelineHit(id="a")], **change}
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await plugin.RerankHits(pb.RerankHitsRequest(**given))
    assert refused.value.code() == code


async def test_doc_only_without_a_table_says_what_to_do(plugin: Any, meta: bytes) -> None:
    asked = pb.PrepareQueryRequest(meta_json=meta, text="boat", query_mode=search_pb2.QUERY_MODE_DOC_ONLY)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await plugin.PrepareQuery(asked)
    assert refused.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert "full or pruned" in str(refused.value.details())


TEXTS = ["what is a neural rerank", "Müller's CAFÉ", "e-mail: a.b", "", "a " * 500, "[CLS] neural [MASK]"]


@pytest.fixture
async def asked(engine: Engine) -> AsyncIterator[tuple[Any, bytes]]:
    async with (
        running_server(engine, [InferenceFreeModel()]) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        await server.client.setup_index("articles", IndexOptions())
        report = await server.client.get_index("articles")
        assert report.meta is not None
        stub: Any = plugin_pb2_grpc.PluginServiceStub(channel)
        yield stub, json.dumps(report.meta.to_json()).encode()


async def test_a_query_made_of_the_table_is_the_sidecars(asked: tuple[Any, bytes]) -> None:
    stub, meta = asked
    table = await stub.GetQueryTable(pb.GetQueryTableRequest(meta_json=meta))
    weights = np.frombuffer(table.weights, "<f4")
    assert list(table.vocabulary) == CONTRACT["vocabulary"]
    assert [bool(name) for name in table.features] == [weight > 0 for weight in weights]
    assert (list(table.frame), table.max_pieces) == ([2, 3], 126)
    model = InferenceFreeModel()
    for text in TEXTS:
        mode = search_pb2.QUERY_MODE_DOC_ONLY
        request = pb.PrepareQueryRequest(meta_json=meta, text=text or "x", query_mode=mode)
        clause = (await stub.PrepareQuery(request)).clause_json
        wanted = json.loads(clause)["bool"]["should"] if clause else []
        [tokens] = model.tokenize([text or "x"], "query")
        ids = sorted(set(tokens.ids[1 : 1 + table.max_pieces]) - set(table.frame), key=lambda i: (-weights[i], i))
        ours = [(f"cherche_weights.{table.features[i]}", float(weights[i])) for i in ids if weights[i] > 0]
        assert [(one["rank_feature"]["field"], one["rank_feature"]["boost"]) for one in wanted] == ours


async def test_the_probes_are_what_the_tokenizer_does(asked: tuple[Any, bytes]) -> None:
    stub, meta = asked
    table = await stub.GetQueryTable(pb.GetQueryTableRequest(meta_json=meta))
    [uncased] = [one for one in CONTRACT["vectors"] if one["lowercase"] and one["strip_accents"]]
    known = {one["text"]: sorted(set(one["ids"]) - {2, 3}) for one in uncased["texts"]}
    assert len(table.probes) > 10
    for probe in table.probes:
        assert list(probe.ids) == known[probe.text]


async def test_a_model_without_a_table_has_none(engine: Engine) -> None:
    async with running_server(engine, [FakeModel()]) as server, grpc.aio.insecure_channel(server.address) as channel:
        await server.client.setup_index("articles", IndexOptions())
        report = await server.client.get_index("articles")
        assert report.meta is not None
        stub: Any = plugin_pb2_grpc.PluginServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.GetQueryTable(pb.GetQueryTableRequest(meta_json=json.dumps(report.meta.to_json()).encode()))
        assert refused.value.code() == grpc.StatusCode.FAILED_PRECONDITION


TEXT = "w " * 60 + "👩🏽‍🚀 a red ca\u0301r, 🙂 שלום " + "v " * 60


async def test_passages_are_slices_of_what_was_sent(plugin: Any, meta: bytes) -> None:
    source = {"title": [None, "a car"], "text": TEXT}
    document = pb.PipelineDocument(id="a", source_json=json.dumps(source).encode())
    [stored] = (
        await plugin.PrepareDocuments(pb.PrepareDocumentsRequest(meta_json=meta, documents=[document]))
    ).documents
    hit = pb.PassageHit(id="a", source_json=document.source_json, hash=stored.hash, codes=stored.codes)
    none = pb.PassageHit(id="b", source_json=b"{}")
    asked = pb.FindPassagesRequest(meta_json=meta, text="red car", count=10, size=12, hits=[none, hit])
    answer = await plugin.FindPassages(asked)
    assert [bool(one.passages) for one in answer.hits] == [False, True]
    passages = answer.hits[1].passages
    assert "red ca\u0301r" in passages[0].text
    for one in passages:
        value = source[one.field]
        value = value[one.element] if isinstance(value, list) else value
        assert value[one.start : one.end] == one.text
        assert not one.encoded_now
    assert ("title", 1, "a car") in [(one.field, one.element, one.text) for one in passages]
    assert list(answer.warnings) == [
        "no passages of 1 of 2 hits: they have no text in the fields that are encoded",
    ]
    assert answer.timings.total_ms > 0


@pytest.mark.parametrize(
    "change", [{"count": 11}, {"size": 513}, {"fields": ["body"]}, {"text": ""}, {"meta_json": b"[]"}]
)
async def test_what_asks_for_no_passages_is_refused(plugin: Any, meta: bytes, change: dict[str, Any]) -> None:
    given = {"meta_json": meta, "text": "car", "hits": [pb.PassageHit(id="a", source_json=b"{}")], **change}
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await plugin.FindPassages(pb.FindPassagesRequest(**given))
    wanted = grpc.StatusCode.FAILED_PRECONDITION if "meta_json" in change else grpc.StatusCode.INVALID_ARGUMENT
    assert refused.value.code() == wanted
