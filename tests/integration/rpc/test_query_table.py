"""The table of a model whose queries need no pass tells all that its queries are made of."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import grpc
import numpy as np
import pytest

from sidecar.pb.cherche.v1 import plugin_pb2 as pb
from sidecar.pb.cherche.v1 import plugin_pb2_grpc, search_pb2
from sidecar.protocols import Engine
from sidecar.testing import FakeModel, running_server
from sidecar.values.index import IndexOptions
from tests.integration.plugin.tabled import CONTRACT, Tabled

TEXTS = ["what is a neural rerank", "Müller's CAFÉ", "e-mail: a.b", "", "a " * 500, "[CLS] neural [MASK]"]


@pytest.fixture
async def asked(engine: Engine) -> AsyncIterator[tuple[Any, bytes]]:
    async with (
        running_server(engine, [Tabled()]) as server,
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
    model = Tabled()
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
