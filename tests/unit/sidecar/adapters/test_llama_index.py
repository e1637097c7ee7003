from __future__ import annotations

import pytest

from tests.unit.sidecar.adapters.memory import MemoryClient

pytest.importorskip("llama_index.core", reason="LlamaIndex is not installed: make interop runs these tests")

from llama_index.core.schema import MetadataMode, NodeWithScore, TextNode

from sidecar.adapters.llama_index import ChercheRerank, ChercheRetriever


async def test_a_retriever_gives_nodes(client: MemoryClient) -> None:
    retriever = ChercheRetriever(client, "articles", similarity_top_k=3, options={"rerank": True})
    first, *rest = retriever.retrieve("red car")
    assert (first.node_id, first.text, first.score) == ("0", "Cars\na red car", 9.0)
    assert first.metadata == {"year": 1999}
    assert len(rest) == 2
    assert [one.node_id for one in await retriever.aretrieve("red car")] == ["0", "1", "2"]
    assert client.asked == [{"index": "articles", "text": "red car", "size": 3, "rerank": True}] * 2


async def test_a_postprocessor_orders_nodes(client: MemoryClient) -> None:
    texts = ("", "a car", "a red car")
    nodes = [NodeWithScore(node=TextNode(id_=str(i), text=text), score=0.5) for i, text in enumerate(texts)]
    best, second, last = ChercheRerank(client).postprocess_nodes(nodes, query_str="red car")
    assert [(one.node_id, one.score) for one in (best, second)] == [("2", 2.0), ("1", 1.0)]
    assert last.score is None
    assert "is empty" in last.metadata["rerank_error"]
    assert (nodes[0].score, nodes[0].metadata) == (0.5, {})  # theirs stay as they are
    top = ChercheRerank(client, top_n=1, model="m")
    assert [one.node_id for one in await top.apostprocess_nodes(nodes, query_str="red car")] == ["2"]
    assert client.asked[-1]["model"] == "m"


def test_metadata_is_read_where_that_is_wished(client: MemoryClient) -> None:
    node = NodeWithScore(node=TextNode(text="a car", metadata={"colour": "red"}))
    ChercheRerank(client, metadata_mode=MetadataMode.EMBED).postprocess_nodes([node], query_str="red car")
    assert client.asked[-1]["texts"] == ["colour: red\n\na car"]


def test_no_query_is_refused(client: MemoryClient) -> None:
    with pytest.raises(ValueError, match="no query"):
        ChercheRerank(client).postprocess_nodes([])
