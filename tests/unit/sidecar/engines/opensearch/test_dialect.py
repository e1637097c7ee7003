"""What a cluster understands, by what it answers to GET /."""

from __future__ import annotations

from typing import Any

import pytest

from sidecar.engines.opensearch.dialect import choose
from sidecar.errors import ChercheError, Code


def elasticsearch(number: str, **more: Any) -> dict[str, Any]:
    return {"version": {"number": number, "build_flavor": "default"}, "tagline": "You Know, for Search", **more}


def opensearch(number: str, **more: Any) -> dict[str, Any]:
    return {"version": {"number": number, "distribution": "opensearch"}, **more}


@pytest.mark.parametrize(
    ("root", "title"),
    [
        (opensearch("3.8.0"), "OpenSearch"),
        (elasticsearch("7.17.29"), "Elasticsearch"),
        ({"version": {"number": "8.11.0", "build_flavor": "serverless"}}, "Elasticsearch"),
        ({"version": {"number": "8.11.0"}, "tagline": "You Know, for Search"}, "Elasticsearch"),
        (elasticsearch("9.1.0-SNAPSHOT"), "Elasticsearch"),
    ],
)
def test_a_product_is_known_by_what_only_it_says(root: Any, title: str) -> None:
    assert choose(root).title == title


@pytest.mark.parametrize(
    ("root", "says", "step"),
    [
        (elasticsearch("7.10.2"), "Elasticsearch 7.10.2", "Elasticsearch 7.12"),
        (opensearch("1.3.2"), "OpenSearch 1.3.2", "OpenSearch 2.4"),
        (
            {"version": {"number": "7.10.2"}, "tagline": "The OpenSearch Project: https://opensearch.org/"},
            "hides its version",
            "compatibility.override_main_response_version",
        ),
        ({"version": {"number": "0.0.1", "distribution": "astra"}}, "astra 0.0.1", "OpenSearch 2.4"),
        ({}, "an unknown product unknown", "OpenSearch 2.4"),
    ],
)
def test_a_unsupported_product_is_refused(root: Any, says: str, step: str) -> None:
    with pytest.raises(ChercheError, match=says) as refused:
        choose(root)
    assert refused.value.code == Code.FAILED_PRECONDITION
    assert step in refused.value.next_step


@pytest.mark.parametrize(
    ("number", "named", "stated", "vector"),
    [
        ("7.12.0", False, True, False),
        ("7.17.29", False, True, False),
        ("8.0.0", False, False, False),
        ("8.7.1", False, False, False),
        ("8.8.0", True, False, False),
        ("8.14.3", True, False, False),
        ("8.15.0", True, False, True),
        ("9.0.0", True, False, True),
        ("10.0.0", True, False, True),
    ],
)
def test_versions_of_elasticsearch_differ(number: str, named: bool, stated: bool, vector: bool) -> None:
    dialect = choose(elasticsearch(number))
    assert (dialect.named_scores, dialect.states_max_clauses, dialect.sparse_vector) == (named, stated, vector)
    assert (dialect.recovery_source, dialect.segment_replication, dialect.read_preference) == (False, False, "")
