"""Every key of every dialect of term weights and embeddings is treated as its table says."""

from __future__ import annotations

from typing import Any

import pytest

from sidecar.errors import shortened
from sidecar.gateway.body import Ignored, RequestBody
from sidecar.gateway.dialects import DIALECTS, RERANKERS, AnyDialect
from sidecar.gateway.rerank_dialect import routes
from tests.integration.gateway.conftest import Http, problem

ENCODERS = [one for one in DIALECTS if one.table]
VALUES: dict[str, Any] = {
    "input": ["a"],
    "inputs": ["a"],
    "texts": ["a"],
    "text_docs": ["a"],
    "model": "fake",
    "content_type": "query",
    "input_type": "query",
    "prompt_name": "query",
    "sparse_embedding_format": "word",
}


def table(dialect: AnyDialect) -> type[RequestBody]:
    assert dialect.table is not None
    return dialect.table


def whole(dialect: AnyDialect) -> dict[str, Any]:
    return {name: VALUES[name] for name, field in table(dialect).model_fields.items() if field.is_required()}


def test_a_dialect_has_a_table_or_several() -> None:
    assert {one.path for one in DIALECTS if not one.table} == {one.path for one in routes(RERANKERS)}
    assert len(ENCODERS) >= 5


@pytest.mark.parametrize("dialect", ENCODERS, ids=lambda one: one.name)
async def test_every_key_is_treated_as_the_table_says(http: Http, dialect: AnyDialect) -> None:
    for row in table(dialect).rows():
        for name in (row.name, *row.others):
            value = VALUES.get(name, "of no kind" if row.treatment == "refused" else True)
            body = {key: one for key, one in whole(dialect).items() if key != row.name} | {name: value}
            got = await http(dialect.path, body)
            if row.treatment == "refused":
                assert problem(got) == (422, "INVALID_ARGUMENT")
                assert got.json["reason"].startswith(f"{row.name}: is refused: {row.note[:20]}")
                continue
            assert got.status == 200, got.body
            marks = [one for one in table(dialect).model_fields[row.name].metadata if isinstance(one, Ignored)]
            warned = row.treatment == "ignored" and value not in marks[0].unless
            assert got.headers.get("x-cherche-warnings", "").startswith(f"{row.name} is ignored: ") == warned


@pytest.mark.parametrize("dialect", ENCODERS, ids=lambda one: one.name)
async def test_an_unknown_key_is_refused_by_name(http: Http, dialect: AnyDialect) -> None:
    for key in ("imput_type", "options", "parameters", "dimension", "", "ключ", "a" * 500):
        got = await http(dialect.path, whole(dialect) | {key: {"nested": [1]}})
        assert problem(got) == (422, "INVALID_ARGUMENT")
        assert f"unknown field '{shortened(key)}'" in got.json["reason"]
        assert all(name in got.json["reason"] for name in table(dialect).names())


async def test_the_purpose_of_a_text_is_never_guessed_from_a_wrong_key(http: Http) -> None:
    """A query that is encoded as a document finds the wrong hits without a word."""
    for path, text, key in [
        ("/opensearch/v1/sparse", "input", "content_type"),
        ("/opensearch/v1/sparse", "input", "input_type"),
        ("/es/v1/sparse", "input", "input_type"),
        ("/embed_sparse", "inputs", "prompt_name"),
    ]:
        as_query = (await http(path, {text: ["a b"], key: "query"})).json
        assert as_query == (await http(path, {text: ["a b"], key: "QUERY"})).json
        assert as_query != (await http(path, {text: ["a b"]})).json
        refused = await http(path, {text: ["a b"], key: "querry"})
        assert problem(refused)[0] == 422
        assert "'querry'" in refused.json["reason"]


@pytest.mark.parametrize("path", ["/opensearch/v1/sparse", "/es/v1/sparse", "/v1/multivector", "/rerank"])
async def test_a_url_and_a_body_that_contradict_each_other_are_refused(http: Http, path: str) -> None:
    body = {"query": "a", "documents": ["a"]} if path == "/rerank" else {"input": ["a"]}
    for model in ("fake", ""):
        assert (await http(f"{path}?model={model}", body | {"model": "fake"})).status == 200
    refused = await http(f"{path}?model=other", body | {"model": "fake"})
    assert problem(refused)[0] == 422
    assert refused.json["reason"] == "model is 'fake' in the body and 'other' in the URL"


async def test_purposes_in_url_and_body_agree(http: Http) -> None:
    path, body = "/opensearch/v1/sparse?input_type=query", {"input": ["a"]}
    assert (await http(path, body | {"content_type": "search"})).status == 200
    refused = await http(path, body | {"content_type": "passage"})
    assert problem(refused)[0] == 422
    assert refused.json["reason"] == "content_type is 'document' in the body and 'query' in the URL"


async def test_what_is_given_twice_is_refused(http: Http) -> None:
    twice = await http("/opensearch/v1/sparse?naming=raw&naming=id", {"input": ["a"]})
    assert (twice.status, twice.json["reason"]) == (422, "the URL has naming twice")
    twice = await http("/opensearch/v1/sparse", b'{"input": ["a"], "input": ["b"]}')
    assert (twice.status, twice.json["reason"]) == (400, "the body is not JSON: the key 'input' is there twice")


async def test_a_path_with_a_slash_too_many_is_named(http: Http) -> None:
    """A redirect of a POST is followed by few clients, and was empty."""
    got = await http("/opensearch/v1/sparse/", {"input": ["a"]})
    assert problem(got) == (404, "NOT_FOUND")
    assert got.json["next_step"].startswith("the nearest path is /opensearch/v1/sparse;")
