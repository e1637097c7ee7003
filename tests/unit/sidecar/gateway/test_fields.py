from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from sidecar.gateway.dialects.cohere import CohereV1Rerank as CohereRerank
from sidecar.gateway.dialects.elasticsearch import ElasticSparse
from sidecar.gateway.dialects.ml_commons import OpenSearchSparse
from sidecar.gateway.fields import PurposeParameters, as_list, kind_of


@pytest.mark.parametrize("key", ["input", "texts", "text_docs"])
def test_texts_by_any_of_their_names(key: str) -> None:
    assert OpenSearchSparse.model_validate({key: ["a"]}).input == ["a"]


@pytest.mark.parametrize(
    ("purpose", "kind"),
    [("query", "query"), ("QUERY", "query"), (" Search ", "query"), ("passage", "document"), ("Ingest", "document")],
)
def test_purposes_in_any_casing(purpose: str, kind: str) -> None:
    assert kind_of(OpenSearchSparse.model_validate({"input": [], "content_type": purpose}).content_type) == kind
    assert kind_of(ElasticSparse.model_validate({"input": "a", "input_type": purpose}).input_type) == kind


def test_documents_by_default() -> None:
    assert kind_of(OpenSearchSparse.model_validate({"input": [], "content_type": None}).content_type) == "document"


@pytest.mark.parametrize(("value", "read"), [(2, 2), (2.0, 2), (None, None)])
def test_a_count_is_a_whole_number(value: Any, read: int | None) -> None:
    assert CohereRerank.model_validate({"query": "q", "documents": [], "top_n": value}).top_n == read


@pytest.mark.parametrize("value", [0, -1, 1.5, "2", True, []])
def test_what_is_no_count_is_refused(value: Any) -> None:
    with pytest.raises(ValidationError):
        CohereRerank.model_validate({"query": "q", "documents": [], "top_n": value})


@pytest.mark.parametrize("query", ["", " ", "\t\n", "\x1c", "\x85", "\u00a0"])
def test_a_query_of_blanks_is_refused(query: str) -> None:
    with pytest.raises(ValidationError):
        CohereRerank.model_validate({"query": query, "documents": []})


def test_unknown_keys_of_a_url_are_refused() -> None:
    with pytest.raises(ValidationError):
        PurposeParameters.model_validate({"nameing": "id"})


def test_one_text_is_a_list_of_one() -> None:
    assert (as_list("a"), as_list(["a", "b"])) == (["a"], ["a", "b"])
