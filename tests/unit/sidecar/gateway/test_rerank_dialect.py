from __future__ import annotations

from typing import Any

import pytest

from sidecar.gateway.dialects import RERANKERS
from sidecar.gateway.rerank_dialect import PATHS, candidates, dialect_of, routes

PLAIN: dict[str, Any] = {"query": "q", "documents": ["a"]}


@pytest.mark.parametrize(
    ("path", "body", "name"),
    [
        ("/rerank", PLAIN, "vllm"),
        ("/v1/rerank", PLAIN, "cohere-v1"),
        ("/v2/rerank", PLAIN, "cohere-v2"),
        ("/v1/rerank", PLAIN | {"model": "cherche-small", "top_n": 3, "return_documents": True}, "cohere-v1"),
        ("/rerank", {"query": "q", "texts": ["a"]}, "tei"),
        ("/v2/rerank", {"query": "q", "texts": ["a"], "raw_scores": True}, "tei"),
        ("/rerank", PLAIN | {"raw_scores": True}, "infinity"),
        ("/v1/rerank", PLAIN | {"top_k": 3}, "voyage"),
        ("/v1/rerank", PLAIN | {"model": "rerank-2.5-lite"}, "voyage"),
        ("/v1/rerank", PLAIN | {"model": "rerank-v3.5"}, "cohere-v1"),
        ("/v1/rerank", PLAIN | {"model": "rerank-english-v3.0"}, "cohere-v1"),
        ("/v1/rerank", PLAIN | {"model": "jina-reranker-v2-base-multilingual"}, "jina"),
        ("/rerank", PLAIN | {"model": "jinaai/jina-reranker-m0"}, "jina"),
        ("/v1/rerank", PLAIN | {"model": "Salesforce/Llama-Rank-V1"}, "together"),
        ("/v2/rerank", PLAIN | {"max_tokens_per_doc": 9}, "cohere-v2"),
        ("/rerank", PLAIN | {"max_tokens_per_doc": 9}, "vllm"),
        ("/rerank", PLAIN | {"max_chunks_per_doc": 9}, "cohere-v1"),
        ("/v1/rerank", PLAIN | {"priority": 1}, "vllm"),
        ("/v1/rerank", PLAIN | {"truncate_prompt_tokens": 9}, "vllm"),
        ("/v1/rerank", PLAIN | {"truncation": True}, "voyage"),
        ("/v1/rerank", {"query": "q"}, "cohere-v1"),
        ("/rerank", [], "vllm"),
    ],
)
def test_a_body_is_in_the_dialect_that_it_says(path: str, body: object, name: str) -> None:
    assert dialect_of(body, candidates(RERANKERS, path)).name == name


def test_each_shared_path_has_one_dialect_of_its_own() -> None:
    for path in PATHS:
        assert [one.name for one in RERANKERS if path in one.plain] == [candidates(RERANKERS, path)[0].name]


def test_marks_are_of_one_dialect() -> None:
    for one in RERANKERS:
        assert one.marks <= set(one.body.model_fields)
        for other in RERANKERS:
            if other is not one and other.required <= one.body.model_fields.keys():
                assert not one.marks & other.body.model_fields.keys(), (one.name, other.name)


def test_every_dialect_has_paths_of_its_own() -> None:
    found = {route.path for route in routes(RERANKERS)}
    assert set(PATHS) | {f"/{one.provider}{path}" for one in RERANKERS for path in one.paths} == found
