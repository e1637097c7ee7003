from __future__ import annotations

import pytest

from tests.unit.sidecar.adapters.memory import MemoryClient

pytest.importorskip("langchain_core", reason="LangChain is not installed: make interop runs these tests")

from langchain_core.documents import Document
from pydantic import ValidationError

from sidecar.adapters.langchain import ChercheRerank, ChercheRetriever


async def test_a_retriever_gives_documents(client: MemoryClient) -> None:
    retriever = ChercheRetriever(client=client, index="articles", k=3, options={"rerank": True})
    first, *rest = retriever.invoke("red car")
    assert (first.id, first.page_content) == ("0", "Cars\na red car")
    assert first.metadata == {"year": 1999, "relevance_score": 9.0}
    assert len(rest) == 2
    assert [first, *rest] == await retriever.ainvoke("red car")
    assert client.asked == [{"index": "articles", "text": "red car", "size": 3, "rerank": True}] * 2


def test_options_of_one_search_win(client: MemoryClient) -> None:
    ChercheRetriever(client=client, index="articles", options={"rerank": True}).invoke("q", rerank=False, size=1)
    assert client.asked == [{"index": "articles", "text": "q", "size": 1, "rerank": False}]


def test_an_unknown_setting_is_refused(client: MemoryClient) -> None:
    with pytest.raises(ValidationError, match="top_k"):
        ChercheRetriever(client=client, index="articles", top_k=3)
    with pytest.raises(ValidationError, match="top_k"):
        ChercheRerank(client=client, top_k=3)


async def test_a_compressor_orders_documents(client: MemoryClient) -> None:
    documents = [
        Document(page_content="", metadata={"a": 1}),
        Document(id="1", page_content="a car"),
        Document(id="2", page_content="a red car", metadata={"b": 2}),
    ]
    best, second, last = ChercheRerank(client=client).compress_documents(documents, "red car")
    assert (best.id, best.metadata) == ("2", {"b": 2, "relevance_score": 2.0})
    assert (second.id, second.metadata) == ("1", {"relevance_score": 1.0})
    assert last.metadata["a"] == 1
    assert "is empty" in last.metadata["rerank_error"]
    assert documents[2].metadata == {"b": 2}  # theirs stay as they are
    compressor = ChercheRerank(client=client, top_n=1, model="m")
    assert [one.id for one in await compressor.acompress_documents(documents, "red car")] == ["2"]
    assert client.asked[-1]["model"] == "m"
