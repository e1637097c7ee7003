"""What a hit's bar shows adds up to its score."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cherche_models import fuse
from sidecar.gateway.page.search import result_json, shares
from sidecar.values.index import Fingerprint
from sidecar.values.search import Hit, RerankOutcome, ScoreParts, SearchResult, Timings

PARTS = st.floats(0, 50)
HIT = Hit("a", 1, 5.0, ScoreParts(2.0, 3.0, 5.0, 1), {"title": "A"})


def result(*hits: Hit, **changes: object) -> SearchResult:
    plain = SearchResult(hits, len(hits), False, RerankOutcome(), Fingerprint("s", "c"), Timings(engine=0.0015))
    return replace(plain, **changes)


def test_a_first_stage_is_its_own_parts() -> None:
    assert shares(HIT, 0.0, 60) == {"lexical": 2.0, "sparse": 3.0, "maxsim": 0.0}


@given(st.lists(st.tuples(PARTS, PARTS, PARTS), min_size=1, max_size=8), st.floats(0, 1))
def test_the_parts_of_a_reranked_hit_add_up_to_its_score(rows: list[tuple[float, float, float]], weight: float) -> None:
    lexical, sparse, maxsim = np.array(rows).T
    first = lexical + sparse
    scores = fuse.convex(first, maxsim, weight)
    for i, score in enumerate(scores):
        scaled = {"first_stage_scaled": fuse.min_max(first)[i], "maxsim_scaled": fuse.min_max(maxsim)[i]}
        parts = ScoreParts(lexical[i], sparse[i], first[i], 1, maxsim[i], **scaled)
        found = shares(Hit("a", 1, float(score), parts, {}), weight, 60)
        assert found is not None
        assert sum(found.values()) == pytest.approx(score, abs=1e-9)
        assert all(share >= -1e-12 for share in found.values())


def test_a_first_stage_by_ranks_is_made_of_reciprocal_ranks() -> None:
    parts = ScoreParts(2.0, 3.0, 1 / 61 + 1 / 64, 1, lexical_rank=1, sparse_rank=4)
    assert shares(Hit("a", 1, 1 / 61 + 1 / 64, parts, {}), 0.0, 60) == {
        "lexical": 1 / 61,
        "sparse": 1 / 64,
        "maxsim": 0.0,
    }


def test_a_hit_below_the_window_has_no_parts_of_its_score() -> None:
    assert shares(replace(HIT, score=fuse.below(5.0)), 0.5, 60) is None


def test_times_are_milliseconds_and_a_request_of_a_cluster_is_a_command() -> None:
    request = {"method": "POST", "path": "/a/_search", "body": {"size": 1}}
    shown = result_json(result(HIT, engine_request=request), 60)
    assert shown["timings"]["engine"] == 1.5
    assert shown["engine_request"]["curl"].startswith('curl -X POST "$OPENSEARCH_URL/a/_search"')
    assert shown["hits"][0]["shares"] == {"lexical": 2.0, "sparse": 3.0, "maxsim": 0.0}


def test_a_request_of_the_embedded_engine_is_shown_as_it_is() -> None:
    shown = result_json(result(engine_request={"method": "SQL", "path": "a", "body": {"words": ["x"]}}), 60)
    assert shown["engine_request"]["curl"] == ""
    assert shown["engine_request"]["request"]["body"] == {"words": ["x"]}
    assert "no HTTP request" in shown["engine_request"]["reason"]
