"""Every field of every rerank dialect is treated as its table says."""

from __future__ import annotations

from typing import Any

import pytest

from sidecar.gateway.body import Ignored
from sidecar.gateway.dialects import RERANKERS
from sidecar.gateway.rerank_dialect import PATHS, AnyRerankDialect
from tests.integration.gateway.conftest import Http, problem

VALUES: dict[str, Any] = {
    "query": "a",
    "model": "fake",
    "documents": ["a", "b"],
    "texts": ["a", "b"],
    "top_n": 1,
    "top_k": 1,
    "rank_fields": ["t"],
    "request_id": "r",
}


def whole(dialect: AnyRerankDialect) -> dict[str, Any]:
    return {name: VALUES[name] for name in dialect.required}


def path(dialect: AnyRerankDialect) -> str:
    return f"/{dialect.provider}{dialect.paths[0]}"


@pytest.mark.parametrize("dialect", RERANKERS, ids=lambda one: one.name)
async def test_every_field_is_treated_as_the_table_says(http: Http, dialect: AnyRerankDialect) -> None:
    for row in dialect.body.rows():
        value = VALUES.get(row.name, "of no kind" if row.treatment == "refused" else True)
        body = whole(dialect) | {row.name: value}
        if row.name == "rank_fields":
            body["documents"] = [{"t": "a"}, {"t": "b"}]
        got = await http(path(dialect), body)
        if row.treatment == "refused":
            assert problem(got) == (422, "INVALID_ARGUMENT")
            assert got.json["reason"].startswith(f"{row.name}: is refused: {row.note[:20]}")
            continue
        assert got.status == 200, got.body
        marks = [one for one in dialect.body.model_fields[row.name].metadata if isinstance(one, Ignored)]
        warned = row.treatment == "ignored" and value not in marks[0].unless
        assert got.headers.get("x-cherche-warnings", "").startswith(f"{row.name} is ignored: ") == warned
    unknown = await http(path(dialect), whole(dialect) | {"top_nn": 3})
    assert problem(unknown) == (422, "INVALID_ARGUMENT")
    assert "'top_nn'" in unknown.json["reason"]


async def test_every_shared_path_answers_a_body_that_is_clear(http: Http) -> None:
    refused = {"instruction", "chat_template", "chat_template_kwargs", "mm_processor_kwargs"}
    clear = [one for one in RERANKERS if one.marks]
    assert len(clear) >= 6
    for dialect in clear:
        mark = sorted(dialect.marks - refused)[0]
        for shared in PATHS:
            got = await http(shared, whole(dialect) | {mark: VALUES.get(mark)})
            assert (got.status, got.headers["x-cherche-dialect"]) == (200, dialect.name)


async def test_errors_before_a_body_is_read_have_the_shape_of_the_path(protected: Http) -> None:
    for where, key in [("/v2/rerank", "message"), ("/voyage/v1/rerank", "detail"), ("/v1/rerank", "message")]:
        got = await protected(where, {})
        assert got.status == 401
        assert got.json[key] == got.json["error"]
    assert (await protected("/rerank", {})).json["error"]["code"] == 401


async def test_a_body_that_fits_none_is_explained_in_the_paths_own(http: Http) -> None:
    got = await http("/v2/rerank", {"query": "a"})
    assert (got.status, got.json["message"]) == (422, got.json["error"])
    assert got.json["reason"].startswith("documents: ")


@pytest.mark.parametrize("path", PATHS)
async def test_objects_without_a_text_are_named(http: Http, path: str) -> None:
    body = {"query": "a", "documents": [{"year": 3}, "a", {"text": ["a"]}, {}, ""]}
    got = await http(path, body)
    assert got.status == 200
    said = "documents 0, 2 have no string in text, or any other key, and are scored below all others"
    assert got.headers["x-cherche-warnings"] == said
    got = await http(path, {"query": "a", "documents": [{"t": "a"}, *[{"u": "a"}] * 20], "rank_fields": ["t"]})
    assert (
        "documents 1, 2, 3, 4, 5, 6, 7, 8, \\u2026 20 in all have no string in their rank_fields"
        in (got.headers["x-cherche-warnings"])
    )
