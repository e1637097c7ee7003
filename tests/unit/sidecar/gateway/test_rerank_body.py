from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import ValidationError

from sidecar.gateway.rerank_body import Documents, Ignored, Refused, RerankBody, Row, text_of


class Example(RerankBody):
    documents: Documents
    size: Annotated[Any, Ignored("sizes are fixed", unless=(3,))] = None
    side: Annotated[Literal["right"] | None, Refused("only right is read")] = None


def example(**fields: Any) -> Example:
    return Example.model_validate({"query": "q", "documents": ["a"], **fields})


def test_the_table_is_the_body() -> None:
    assert list(Example.rows()) == [
        Row("query", "accepted", "More than white space."),
        Row("documents", "accepted", ""),
        Row("size", "ignored", "sizes are fixed"),
        Row("side", "refused", "only right is read"),
    ]


@pytest.mark.parametrize(("size", "said"), [(4, ["size is ignored: sizes are fixed"]), (3, []), (None, [])])
def test_what_changes_nothing_is_said(size: object, said: list[str]) -> None:
    assert example(size=size).warnings() == said


def test_what_is_refused_says_why_and_what_is_read_passes() -> None:
    assert example(side="right").side == "right"
    assert example(side=None).side is None
    with pytest.raises(ValidationError, match="is refused: only right is read"):
        example(side="left")


def test_an_unknown_field_is_named_with_the_nearest() -> None:
    said = r"unknown field 'sise', nearest is size; .* documents, query, side, size"
    with pytest.raises(ValidationError, match=said):
        example(sise=3)


PARTS = {"content": [{"type": "text", "text": "a"}]}


@pytest.mark.parametrize("document", [{"image": "a"}, {"text": "a", "image_url": "b"}, PARTS, 3, None, ["a"]])
def test_what_is_no_text_is_no_document(document: object) -> None:
    with pytest.raises(ValidationError):
        example(documents=[document])


@pytest.mark.parametrize(
    ("document", "fields", "text"),
    [
        ("a", (), "a"),
        ({"text": "a", "title": "b"}, (), "a"),
        ({"title": "b", "year": 3, "body": "c", "note": ""}, (), "b c"),
        ({"text": "a", "title": "b"}, ("title", "text"), "b a"),
        ({"text": "a"}, ("title",), ""),
        ({"title": "b", "content": "c"}, ("title", "content"), "b c"),
        ({"n": 1}, (), ""),
    ],
)
def test_the_text_of_a_document(document: Any, fields: tuple[str, ...], text: str) -> None:
    [read] = example(documents=[document]).documents
    assert text_of(read, fields) == text
