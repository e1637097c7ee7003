"""Text that the served model cannot read: BM25 finds it, and every answer says why nothing else did."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import AsyncIterator

import grpc
import pytest

from cherche_models import hub
from sidecar import config
from sidecar.models.library import with_torch
from sidecar.models.loaded import LoadedModel
from sidecar.pb.cherche.v1 import plugin_pb2 as pb
from sidecar.pb.cherche.v1 import plugin_pb2_grpc, search_pb2
from sidecar.protocols import Engine
from sidecar.testing import RunningServer, running_server
from sidecar.values.documents import SourceDocument
from sidecar.values.encoded import Text
from sidecar.values.index import IndexOptions
from sidecar.values.search import RerankStatus, SearchRequest, SparseStatus
from tests import languages

DOCUMENTS = {
    "en": "neural search of the brain",
    "ru": "поиск по документам",
    "ja": "深層学習 検索",
    "mixed": "the heart of the document 検索",
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    folder = languages.word_pieces(tmp_path_factory.mktemp("word_pieces"))
    model = hub.load(folder, device="cpu", dtype="fp32", architecture="joint", new_head=True, dim=8)
    return with_torch("tiny", model)


@pytest.fixture
async def fed(engine: Engine, model: LoadedModel) -> AsyncIterator[RunningServer]:
    async def stream() -> AsyncIterator[SourceDocument]:
        for key, text in DOCUMENTS.items():
            yield SourceDocument(key, json.dumps({"text": text}).encode())

    async with running_server(engine, [model]) as server:
        await server.client.setup_index("texts", IndexOptions())
        results = [result async for result in server.client.index_documents("texts", stream())]
        assert {result.id: (result.outcome, result.unknown_language) for result in results} == {
            "en": ("encoded", False),
            "ru": ("encoded", True),
            "ja": ("encoded", True),
            "mixed": ("encoded", False),
        }
        assert {result.id for result in results if not result.terms} == {"ru", "ja"}
        yield server


@pytest.mark.parametrize("mode", ["hybrid", "sparse"])
async def test_a_query_of_an_unknown_language_is_answered_by_bm25(fed: RunningServer, mode: str) -> None:
    request = SearchRequest("texts", "поиск документам", mode=mode, rerank=True)
    result = await fed.client.search(request)
    assert [hit.id for hit in result.hits] == ["ru"]
    assert result.sparse.status == SparseStatus.UNKNOWN_LANGUAGE
    assert (result.sparse.terms, result.query_terms) == (0, 0)
    assert result.sparse.tokens > 2
    assert "'tiny' does not know the language" in result.sparse.reason
    assert result.rerank.status == RerankStatus.UNKNOWN_LANGUAGE
    assert any("BM25 alone" in warning for warning in result.warnings)
    assert result.hits[0].parts.sparse == 0


async def test_the_plugin_is_told_of_a_query_of_an_unknown_language(fed: RunningServer, engine: Engine) -> None:
    meta = await engine.meta("texts")
    assert meta is not None
    data = json.dumps(meta.to_json()).encode()
    async with grpc.aio.insecure_channel(fed.address) as channel:
        stub = plugin_pb2_grpc.PluginServiceStub(channel)
        unknown, known = [
            await stub.PrepareQuery(pb.PrepareQueryRequest(meta_json=data, text=text, embeddings=True))
            for text in ("поиск документам", "the heart")
        ]
    assert (unknown.clause_json, unknown.HasField("embeddings")) == (b"", False)
    assert unknown.sparse.status == search_pb2.SPARSE_STATUS_UNKNOWN_LANGUAGE
    assert unknown.unreranked == search_pb2.RERANK_STATUS_UNKNOWN_LANGUAGE
    assert "does not know the language" in unknown.embeddings_missing
    assert known.sparse.status == search_pb2.SPARSE_STATUS_APPLIED
    assert (known.HasField("embeddings"), known.unreranked) == (True, search_pb2.RERANK_STATUS_UNSPECIFIED)


async def test_a_known_query_finds_no_document_of_an_unknown_language_by_its_vector(fed: RunningServer) -> None:
    result = await fed.client.search(SearchRequest("texts", "the heart", mode="sparse", rerank=True))
    assert {hit.id for hit in result.hits} <= {"en", "mixed"}
    assert result.sparse.status == SparseStatus.APPLIED
    assert result.sparse.terms == result.query_terms > 0
    assert result.rerank.status == RerankStatus.APPLIED
    lexical = await fed.client.search(SearchRequest("texts", "the heart", mode="bm25"))
    assert lexical.sparse.status == SparseStatus.NOT_REQUESTED


async def test_a_hit_of_an_unknown_language_keeps_its_place_and_is_no_reason_to_feed_again(fed: RunningServer) -> None:
    result = await fed.client.search(SearchRequest("texts", "document поиск heart of", rerank=True))
    assert "ru" in {hit.id for hit in result.hits}
    assert result.rerank.status == RerankStatus.PARTIAL
    assert "hold no token that the model knows" in result.rerank.reason


async def test_encoding_says_which_texts_are_of_an_unknown_language(fed: RunningServer) -> None:
    encoded = await fed.client.encode_documents([Text(text) for text in DOCUMENTS.values()])
    assert [item.unknown_language for item in encoded.items] == [False, True, True, False]
    assert [bool(item.weights) for item in encoded.items] == [True, False, False, True]
    queries = await fed.client.encode_queries([Text("検索"), Text("brain")])
    assert [item.unknown_language for item in queries.items] == [True, False]


async def test_a_document_of_an_unknown_language_is_whole(fed: RunningServer) -> None:
    report = await fed.client.get_index("texts")
    assert (report.stats.documents, report.stats.encoded, report.stats.pending) == (4, 4, 0)


async def test_the_gateway_names_texts_of_an_unknown_language(engine: Engine, model: LoadedModel) -> None:
    settings = config.Settings(gateway=config.Gateway(port=0))
    async with running_server(engine, [model], settings=settings) as server:
        request = urllib.request.Request(
            f"{server.sidecar.gateway_url}/opensearch/v1/sparse",
            json.dumps({"input": ["brain", "検索"]}).encode(),
            {"content-type": "application/json"},
        )
        with await asyncio.to_thread(urllib.request.urlopen, request) as response:
            first, second = json.load(response)["response"]
            assert response.headers["x-cherche-unknown-language"] == "1"
        assert first
        assert second == {}
