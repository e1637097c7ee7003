"""Every call of the contract, over a real server and a real client."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import grpc
import numpy as np
import pytest
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from cherche_models import codec
from sidecar.errors import ChercheError, Code
from sidecar.pb.cherche.v1 import encoder_pb2, encoder_pb2_grpc, index_pb2, index_pb2_grpc
from sidecar.pipeline.fingerprint import sparse_fingerprint
from sidecar.services import SERVICES
from sidecar.testing import FakeModel, RunningServer
from sidecar.values.documents import SourceDocument
from sidecar.values.encoded import Text
from sidecar.values.index import IndexOptions
from sidecar.values.search import RerankStatus, SearchRequest
from tests.integration.rpc.conftest import stream

BAD = [
    Text("good", "a"),
    Text("", "b"),
    Text("poison"),
    Text("notanumber", "d"),
    Text("\ud800", "e"),
    Text("fine", "f"),
]


async def test_documents_are_encoded_and_bad_ones_fail_alone(server: RunningServer, model: FakeModel) -> None:
    result = await server.client.encode_documents(BAD)
    assert [item.index for item in result.items] == list(range(6))
    assert [item.id for item in result.items] == ["a", "b", "", "d", "e", "f"]
    assert [item.error.code if item.error else None for item in result.items] == [
        None,
        Code.INVALID_ARGUMENT,
        Code.INTERNAL,
        Code.INTERNAL,
        Code.INVALID_ARGUMENT,
        None,
    ]
    names = ["document 'b'", "document 2", "document 'd'", "document 'e'"]
    for item, name in zip([i for i in result.items if i.error], names, strict=True):
        assert item.error is not None
        assert name in item.error.reason
        assert item.error.next_step
        assert item.weights is item.codes is None
    good = result.items[0]
    assert good.weights == {f"h{model.token_id('good') - 6}": pytest.approx(np.log(2), rel=0.002)}
    assert good.codes is not None
    assert codec.codes_header(good.codes).tokens == 1
    assert (good.tokens, good.truncated, result.model) == (3, False, "fake")
    expected = sparse_fingerprint(model.info, max_length=128, prune="none", naming="escaped")
    assert result.fingerprint is not None
    assert result.fingerprint.sparse == expected


async def test_outputs_pruning_and_length_are_as_asked(server: RunningServer) -> None:
    text = [Text("a b c d e f g h")]
    [item] = (await server.client.encode_documents(text, outputs=["term_weights"], prune="top_k:2")).items
    assert item.weights is not None
    assert len(item.weights) == 2
    assert item.codes is None
    [item] = (await server.client.encode_documents(text, outputs=["token_codes"], max_length=5)).items
    assert (item.weights, item.tokens, item.truncated) == (None, 5, True)
    for wrong in ({"prune": "most"}, {"max_length": 129}, {"model": "other"}):
        with pytest.raises(ChercheError) as caught:
            await server.client.encode_documents(text, **wrong)  # type: ignore[arg-type]  # wrong on purpose
        assert caught.value.code in (Code.INVALID_ARGUMENT, Code.NOT_FOUND)


async def test_queries_are_not_rounded(server: RunningServer) -> None:
    result = await server.client.encode_queries([Text("car"), Text(" ")])
    assert result.items[0].weights is not None
    assert max(result.items[0].weights.values()) == pytest.approx(1.5 * np.log(2), rel=1e-6)
    assert result.items[1].error is not None
    assert result.fingerprint is None
    assert result.timings.total > 0


async def test_large_batches_go_in_parts(server: RunningServer) -> None:
    texts = [Text(f"w{i}", str(i)) for i in range(600)]
    result = await server.client.encode_documents(texts)
    assert [item.id for item in result.items] == [text.id for text in texts]
    assert all(item.error is None for item in result.items)


async def test_a_stream_answers_each_document(server: RunningServer) -> None:
    async def texts() -> AsyncIterator[Text]:
        for text in [*BAD, *(Text(f"w{i}", f"s{i}") for i in range(300))]:
            yield text

    items = [item async for item in server.client.stream_documents(texts())]
    assert sorted(item.index for item in items) == list(range(306))
    assert {item.index for item in items if item.error} == {1, 2, 3, 4}
    by_index = {item.index: item for item in items}
    assert by_index[100].id == "s94"
    assert by_index[100].weights


async def test_a_stream_must_begin_with_its_options(server: RunningServer) -> None:
    async def requests() -> AsyncIterator[encoder_pb2.StreamDocumentsRequest]:
        yield encoder_pb2.StreamDocumentsRequest(item={"text": "a"})

    async with grpc.aio.insecure_channel(server.address) as channel:
        call = encoder_pb2_grpc.EncoderServiceStub(channel).StreamDocuments(requests())
        with pytest.raises(grpc.aio.AioRpcError, match="begin with its options"):
            [response async for response in call]


async def test_what_a_stream_is_fed_from_may_fail(server: RunningServer) -> None:
    async def texts() -> AsyncIterator[Text]:
        yield Text("a")
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        [item async for item in server.client.stream_documents(texts())]


async def test_texts_are_reranked(server: RunningServer) -> None:
    texts = [Text("a tree", "t"), Text("", "e"), Text("a red car", "c"), Text("poison", "p")]
    result = await server.client.rerank("car", texts)
    assert [(score.index, score.id) for score in result.scores] == [(2, "c"), (0, "t")]
    assert result.scores[0].score == pytest.approx(1.0, abs=0.01)
    assert [failure.index for failure in result.failures] == [1, 3]


async def test_stored_codes_score_like_their_texts(server: RunningServer) -> None:
    texts = [Text("a tree", "t"), Text("a red car", "c")]
    encoded = await server.client.encode_documents(texts, outputs=["token_codes"])
    codes = [item.codes or b"" for item in encoded.items]
    by_codes = await server.client.rerank_codes("car", codes, ids=["t", "c"])
    assert by_codes.scores == (await server.client.rerank("car", texts)).scores
    broken = await server.client.rerank_codes("car", [codes[0], codes[1][:-1], b"none"])
    assert [score.index for score in broken.scores] == [0]
    assert [failure.index for failure in broken.failures] == [1, 2]
    with pytest.raises(ChercheError, match="ids came with"):
        await server.client.rerank_codes("car", codes, ids=["only one"])
    with pytest.raises(ChercheError, match="query is empty"):
        await server.client.rerank("", texts)


async def test_a_dry_run_writes_nothing(server: RunningServer) -> None:
    planned = await server.client.setup_index("a", IndexOptions(), dry_run=True)
    assert planned.plan.requests
    assert not planned.applied
    with pytest.raises(ChercheError) as caught:
        await server.client.get_index("a")
    assert caught.value.code is Code.NOT_FOUND


async def test_an_index_from_setup_to_removal(fed: RunningServer) -> None:
    client = fed.client
    report = await client.get_index("cars")
    assert (report.stats.documents, report.stats.encoded, report.served) == (4, 4, True)
    assert report.meta is not None
    assert report.meta.model == "fake"
    dumped = [document async for document in client.dump_index("cars")]
    assert [document.id for document in dumped] == ["0", "1", "2", "3"]
    assert json.loads(dumped[0].source_json) == {"title": "t0", "text": "red car"}
    assert all(document.terms_digest and document.codes_digest for document in dumped)
    documents, remains = await client.remove_index("cars")
    assert documents == 4
    assert remains


async def test_a_feed_tells_of_each_document(fed: RunningServer) -> None:
    documents = stream(
        ("0", b'{"title": "t0", "text": "red car"}'),
        ("1", b'{"title": "t1", "text": "blue automobile", "year": 1999}'),
        ("5", b'{"text": "poison"}'),
        ("6", b"[]"),
        ("7", b'{"text": "\xff"}'),
        ("8", b'{"text": "' + b"x" * (1 << 20) + b'"}'),
        ("", b'{"text": "no id"}'),
        ("\ud800", b'{"text": "a"}'),
        ("0", b'{"text": "twice"}'),
        ("9", b'{"text": "the last"}'),
    )
    results = [result async for result in fed.client.index_documents("cars", documents)]
    outcomes = {result.id: result.outcome for result in results if result.id != "0"}
    assert [result.outcome for result in results if result.id == "0"] == ["unchanged", "failed"]
    assert outcomes.pop("1") == "reused"
    assert outcomes.pop("9") == "encoded"
    assert set(outcomes.values()) == {"failed"}
    assert len(results) == 10
    for result in results:
        assert (result.error is None) == (result.outcome != "failed")


async def test_a_feed_to_nowhere_says_what_to_do(server: RunningServer) -> None:
    with pytest.raises(ChercheError) as caught:
        [result async for result in server.client.index_documents("nowhere", stream(("1", b"{}")))]
    assert caught.value.code is Code.NOT_FOUND


async def test_a_feed_must_begin_with_its_target(server: RunningServer) -> None:
    async def requests() -> AsyncIterator[index_pb2.IndexDocumentsRequest]:
        yield index_pb2.IndexDocumentsRequest(document={"id": "1"})

    async with grpc.aio.insecure_channel(server.address) as channel:
        call = index_pb2_grpc.IndexServiceStub(channel).IndexDocuments(requests())
        with pytest.raises(grpc.aio.AioRpcError, match="begin with its target"):
            [response async for response in call]


async def test_each_document_can_be_awaited_before_the_next_is_sent(fed: RunningServer) -> None:
    """A bidirectional stream must not hold answers back until more arrives."""
    answered = 0

    async def documents() -> AsyncIterator[SourceDocument]:
        for i in range(5):
            assert answered == i
            yield SourceDocument(f"n{i}", b'{"text": "one by one"}')
            while answered == i:  # the answer comes to the loop below
                await sleep()

    async for _ in fed.client.index_documents("cars", documents()):
        answered += 1
    assert answered == 5


async def sleep() -> None:
    import asyncio

    await asyncio.sleep(0.001)


@pytest.mark.parametrize("mode", ["bm25", "sparse", "hybrid"])
async def test_searches_find_and_their_parts_add_up(fed: RunningServer, mode: str) -> None:
    request = SearchRequest("cars", "car", mode=mode)  # type: ignore[arg-type]  # a parametrized literal
    result = await fed.client.search(request)
    assert result.hits[0].id in ("0", "3")
    assert ("1" in [hit.id for hit in result.hits]) == (mode != "bm25")
    for hit in result.hits:
        assert hit.score == pytest.approx(hit.parts.lexical + hit.parts.sparse)
    assert result.rerank.status == RerankStatus.NOT_REQUESTED
    assert result.timings.engine > 0


async def test_a_rerank_is_explained(fed: RunningServer) -> None:
    result, explanations = await fed.client.explain(SearchRequest("cars", "car", rerank=True))
    assert result.rerank.status == RerankStatus.APPLIED
    assert [explanation.id for explanation in explanations] == [hit.id for hit in result.hits]
    for hit, explanation in zip(result.hits, explanations, strict=True):
        assert sum(term.contribution for term in explanation.terms) == pytest.approx(hit.parts.sparse, rel=1e-5)
        assert sum(match.similarity for match in explanation.matches) == pytest.approx(hit.parts.maxsim, rel=1e-5)
    _, chosen = await fed.client.explain(SearchRequest("cars", "car"), ids=[result.hits[0].id])
    assert [explanation.id for explanation in chosen] == [result.hits[0].id]


async def test_pages_continue(fed: RunningServer) -> None:
    first = await fed.client.search(SearchRequest("cars", "car", size=2, paginate=True))
    assert first.next_page_token
    again = SearchRequest("cars", "car", size=2, page_token=first.next_page_token)
    second = await fed.client.search(again)
    assert not {hit.id for hit in first.hits} & {hit.id for hit in second.hits}
    assert [hit.rank for hit in (*first.hits, *second.hits)] == [1, 2, 3]


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (SearchRequest("nowhere", "car"), Code.NOT_FOUND),
        (SearchRequest("", "car"), Code.INVALID_ARGUMENT),
        (SearchRequest("cars", " "), Code.INVALID_ARGUMENT),
        (SearchRequest("cars", "\ud800"), Code.INVALID_ARGUMENT),
        (SearchRequest("cars", "car", rerank_weight=2.0), Code.INVALID_ARGUMENT),
        (SearchRequest("cars", "car", page_token="forged"), Code.INVALID_ARGUMENT),
        (SearchRequest("cars", "x" * 10_000), Code.INVALID_ARGUMENT),
    ],
)
async def test_searches_that_make_no_sense_say_why(fed: RunningServer, request_: SearchRequest, code: Code) -> None:
    with pytest.raises(ChercheError) as caught:
        await fed.client.search(request_)
    assert caught.value.code is code
    assert caught.value.reason
    assert caught.value.next_step


async def test_models_are_listed_loaded_and_freed(server: RunningServer) -> None:
    client = server.client
    [served] = await client.list_models()
    assert (served.name, served.state, served.is_default) == ("fake", "READY", True)
    assert served.description is not None
    assert served.description.sparse
    assert await client.get_model("fake") == served
    loaded = await client.load_model("second", "fake")
    assert (loaded.name, loaded.state, loaded.is_default) == ("second", "READY", False)
    assert [model.name for model in await client.list_models()] == ["fake", "second"]
    await client.unload_model("second")
    for call, code in (
        (client.get_model("second"), Code.NOT_FOUND),
        (client.unload_model("fake"), Code.FAILED_PRECONDITION),
        (client.load_model("fake", "fake"), Code.ALREADY_EXISTS),
        (client.load_model("third", "nothing"), Code.FAILED_PRECONDITION),
    ):
        with pytest.raises(ChercheError) as caught:
            await call
        assert caught.value.code is code


async def test_reflection_names_the_services(server: RunningServer) -> None:
    async def requests() -> AsyncIterator[reflection_pb2.ServerReflectionRequest]:
        yield reflection_pb2.ServerReflectionRequest(list_services="")

    async with grpc.aio.insecure_channel(server.address) as channel:
        call = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(requests())
        [response] = [response async for response in call]
    named = {service.name for service in response.list_services_response.service}
    assert named == {*SERVICES, "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}
