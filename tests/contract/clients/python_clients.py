"""Calls of the real Python clients; `tests.contract.interop_clients` runs this file in their own environment.

A case returns the positions of the documents in the order of the answer, and the message of the error that an unknown
model gives where it returns none. A client that is not installed here is left out.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Iterable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

URL, TOKEN, QUERY, DOCUMENTS = sys.argv[1], sys.argv[2], sys.argv[3], json.loads(sys.argv[4])
COHERE, JINA, VOYAGE, TOGETHER = (
    "rerank-v3.5",
    "jina-reranker-v2-base-multilingual",
    "rerank-2.5",
    "Salesforce/Llama-Rank-V1",
)
CASES: list[tuple[str, str, str, str, Callable[[], Any]]] = []


def case(package: str, call: str, major: str = "") -> Callable[[Callable[[], Any]], Callable[[], Any]]:
    def add(function: Callable[[], Any]) -> Callable[[], Any]:
        CASES.append((package, package, call, major, function))
        return function

    return add


def places(results: Iterable[Any]) -> list[int]:
    return [one["index"] if isinstance(one, dict) else one.index for one in results]


def texts(found: Iterable[str]) -> list[int]:
    return [DOCUMENTS.index(text) for text in found]


@case("cohere", "Client.rerank", "4")
def cohere4() -> list[int]:
    import cohere

    client = cohere.Client(TOKEN, api_url=URL, check_api_key=False)
    return places(client.rerank(model=COHERE, query=QUERY, documents=DOCUMENTS))


@case("cohere", "AsyncClient.rerank", "4")
async def cohere4_async() -> list[int]:
    import cohere

    async with cohere.AsyncClient(TOKEN, api_url=URL, check_api_key=False) as client:
        return places(await client.rerank(model=COHERE, query=QUERY, documents=DOCUMENTS))


@case("cohere", "Client.rerank", "5+")
def cohere_v1() -> list[int]:
    import cohere

    client = cohere.Client(api_key=TOKEN, base_url=URL)
    answer = client.rerank(model=COHERE, query=QUERY, documents=DOCUMENTS, return_documents=True)
    assert [one.document.text for one in answer.results] == [DOCUMENTS[one.index] for one in answer.results]
    assert answer.meta.api_version.version == "1"
    return places(answer.results)


@case("cohere", "Client.rerank, objects and rank_fields", "5+")
def cohere_objects() -> list[int]:
    import cohere

    client = cohere.Client(api_key=TOKEN, base_url=URL)
    objects = [{"title": text, "text": "nothing"} for text in DOCUMENTS]
    return places(client.rerank(model=COHERE, query=QUERY, documents=objects, rank_fields=["title"]).results)


@case("cohere", "ClientV2.rerank", "5+")
def cohere_v2() -> list[int]:
    import cohere

    answer = cohere.ClientV2(api_key=TOKEN, base_url=URL).rerank(model=COHERE, query=QUERY, documents=DOCUMENTS)
    assert answer.meta.api_version.version == "2"
    assert answer.meta.billed_units.search_units == 1
    return places(answer.results)


@case("cohere", "AsyncClientV2.rerank", "5+")
async def cohere_v2_async() -> list[int]:
    import cohere

    client = cohere.AsyncClientV2(api_key=TOKEN, base_url=URL)
    return places((await client.rerank(model=COHERE, query=QUERY, documents=DOCUMENTS, max_tokens_per_doc=99)).results)


@case("cohere", "ClientV2.rerank, a model that is not served", "5+")
def cohere_error() -> str:
    import cohere

    try:
        cohere.ClientV2(api_key=TOKEN, base_url=URL).rerank(model="unknown", query=QUERY, documents=DOCUMENTS)
    except cohere.NotFoundError as error:
        return str(error.body["message"])
    return ""


def litellm_case(name: str, model: str, base: str = URL, **options: Any) -> None:
    @case("litellm", f"rerank, {name}")
    def call() -> list[int]:
        import litellm

        answer = litellm.rerank(
            model=model, query=QUERY, documents=DOCUMENTS, api_base=base, api_key=TOKEN, top_n=len(DOCUMENTS), **options
        )
        return places(answer.results)


litellm_case("cohere", f"cohere/{COHERE}")
litellm_case("jina_ai", f"jina_ai/{JINA}")
litellm_case("hosted_vllm", f"hosted_vllm/{COHERE}")
litellm_case("infinity, api_base …/infinity", f"infinity/{COHERE}", f"{URL}/infinity")
litellm_case("voyage", f"voyage/{VOYAGE}")
litellm_case("huggingface (TEI)", "huggingface/tei")
litellm_case("together_ai, api_base …/v1", f"together_ai/{TOGETHER}", f"{URL}/v1")


@case("litellm", "arerank, cohere")
async def litellm_async() -> list[int]:
    import litellm

    options = {"api_base": URL, "api_key": TOKEN}
    return places((await litellm.arerank(f"cohere/{COHERE}", query=QUERY, documents=DOCUMENTS, **options)).results)


@case("langchain-cohere", "CohereRerank.rerank")
def langchain() -> list[int]:
    from langchain_cohere import CohereRerank

    reranker = CohereRerank(model=COHERE, cohere_api_key=TOKEN, base_url=URL, top_n=None)
    return places(reranker.rerank(DOCUMENTS, QUERY))


@case("langchain-cohere", "CohereRerank.compress_documents")
def langchain_documents() -> list[int]:
    from langchain_cohere import CohereRerank
    from langchain_core.documents import Document

    reranker = CohereRerank(model=COHERE, cohere_api_key=TOKEN, base_url=URL, top_n=len(DOCUMENTS))
    found = reranker.compress_documents([Document(page_content=text) for text in DOCUMENTS], QUERY)
    return texts(one.page_content for one in found)


@case("llama-index-postprocessor-cohere-rerank", "CohereRerank")
def llama_cohere() -> list[int]:
    from llama_index.postprocessor.cohere_rerank import CohereRerank

    reranker = CohereRerank(model=COHERE, api_key=TOKEN, base_url=URL, top_n=len(DOCUMENTS))
    return texts(one.node.get_content() for one in reranker.postprocess_nodes(nodes(), query_str=QUERY))


@case("llama-index-postprocessor-tei-rerank", "TextEmbeddingInference")
def llama_tei() -> list[int]:
    from llama_index.postprocessor.tei_rerank import TextEmbeddingInference

    reranker = TextEmbeddingInference(base_url=URL, auth_token=f"Bearer {TOKEN}", top_n=len(DOCUMENTS))
    return texts(one.node.get_content() for one in reranker.postprocess_nodes(nodes(), query_str=QUERY))


def nodes() -> list[Any]:
    from llama_index.core.schema import NodeWithScore, TextNode

    return [NodeWithScore(node=TextNode(text=text), score=0.0) for text in DOCUMENTS]


@case("cohere-haystack", "CohereRanker")
def haystack_cohere() -> list[int]:
    from haystack import Document
    from haystack.utils import Secret
    from haystack_integrations.components.rankers.cohere import CohereRanker

    ranker = CohereRanker(model=COHERE, api_key=Secret.from_token(TOKEN), api_base_url=URL, top_k=len(DOCUMENTS))
    found = ranker.run(query=QUERY, documents=[Document(content=text) for text in DOCUMENTS])
    return texts(one.content for one in found["documents"])


@case("huggingface-api-haystack", "HuggingFaceTEIRanker")
def haystack_tei() -> list[int]:
    from haystack import Document
    from haystack.utils import Secret
    from haystack_integrations.components.rankers.huggingface_api import HuggingFaceTEIRanker

    ranker = HuggingFaceTEIRanker(url=URL, token=Secret.from_token(TOKEN), top_k=len(DOCUMENTS))
    found = ranker.run(query=QUERY, documents=[Document(content=text) for text in DOCUMENTS])
    return texts(one.content for one in found["documents"])


def main() -> None:
    rows = []
    for package, client, call, major, function in CASES:
        try:
            release = version(package)
        except PackageNotFoundError:
            continue
        if major and (release.split(".")[0] == "4") != (major == "4"):
            continue
        try:
            made = function()
            answer = asyncio.run(made) if asyncio.iscoroutine(made) else made
        except Exception as error:  # whatever a client raises is a line of the table
            answer = f"{type(error).__name__}: {error}"
        rows.append({"client": client, "version": release, "call": call, "answer": answer})
    print("ROWS" + json.dumps(rows))


main()
