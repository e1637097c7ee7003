"""What a page token is bound to."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sidecar.pipeline import plan
from sidecar.values.index import Fingerprint, IndexMeta, TextField
from sidecar.values.options import options
from sidecar.values.search import SearchRequest
from tests.unit.sidecar.samples import sample

REQUEST = SearchRequest("articles", "text")
META = IndexMeta(model="m", fingerprint=Fingerprint("s"), fields=(TextField("title"), TextField("text")), max_length=8)
OTHER = sample(SearchRequest)


def hashed(request: SearchRequest, meta: IndexMeta = META) -> str:
    settled = meta if not request.fields else replace(meta, fields=tuple(map(TextField, request.fields)))
    boost = settled.sparse_boost if request.sparse_boost is None else request.sparse_boost
    return plan.order_hash(request, settled, boost)


@pytest.mark.parametrize("name", list(options(SearchRequest)))
def test_a_token_is_bound_to_what_changes_the_order_and_to_nothing_else(name: str) -> None:
    row = options(SearchRequest)[name]
    assert getattr(OTHER, name) != getattr(REQUEST, name)
    is_bound = hashed(replace(REQUEST, **{name: getattr(OTHER, name)})) != hashed(REQUEST)
    assert is_bound == (not row.keeps_order)


def test_what_keeps_the_order_is_this_with_a_reason() -> None:
    keeps = {row.name for row in options(SearchRequest).values() if row.keeps_order}
    carried = {"rerank_window", "rerank_weight"}
    assert keeps == carried | {"size", "page_token", "source_fields", "include_engine_request", "paginate", "passages"}


def test_what_the_index_decides_is_in_the_hash_as_it_was_decided() -> None:
    assert hashed(REQUEST) == hashed(replace(REQUEST, sparse_boost=META.sparse_boost))
    assert hashed(REQUEST) != hashed(REQUEST, replace(META, sparse_boost=0.5))
    assert hashed(REQUEST) != hashed(REQUEST, replace(META, fields=(TextField("title", boost=2.0), TextField("text"))))
    assert hashed(REQUEST) == hashed(REQUEST, replace(META, rerank_weight=0.9, rerank_window=7))
