from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from sidecar.gateway.rerank_body import Documents, RerankBody, text_of


class Example(RerankBody):
    documents: Documents


PARTS = {"content": [{"type": "text", "text": "a"}]}


@pytest.mark.parametrize("document", [{"image": "a"}, {"text": "a", "image_url": "b"}, PARTS, 3, None, ["a"]])
def test_what_is_no_text_is_no_document(document: object) -> None:
    with pytest.raises(ValidationError):
        Example.model_validate({"query": "q", "documents": [document]})


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
    [read] = Example.model_validate({"query": "q", "documents": [document]}).documents
    assert text_of(read, fields) == text
