from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from sidecar.errors import ChercheError, Code
from sidecar.pipeline.fingerprint import codes_encoder, codes_fingerprint, sparse_encoder, sparse_fingerprint
from sidecar.testing import FakeModel

INFO = FakeModel().info
SPARSE = {"max_length": 128, "prune": "none", "naming": "escaped"}


def test_what_runs_the_model_is_not_in_it() -> None:
    moved = replace(INFO, name="other", device="cuda", dtype="bfloat16", max_query_length=5, rerank_weight=0.9)
    assert sparse_fingerprint(moved, **SPARSE) == sparse_fingerprint(INFO, **SPARSE)
    assert codes_fingerprint(moved, max_length=1, codec="int8") == codes_fingerprint(INFO, max_length=1, codec="int8")


@pytest.mark.parametrize("change", [{"max_length": 127}, {"prune": "top_k:5"}, {"naming": "id"}])
def test_what_changes_the_weights_is_in_it(change: dict[str, Any]) -> None:
    assert sparse_fingerprint(INFO, **{**SPARSE, **change}) != sparse_fingerprint(INFO, **SPARSE)
    assert sparse_fingerprint(replace(INFO, digest="x"), **SPARSE) != sparse_fingerprint(INFO, **SPARSE)


def test_weights_and_codes_never_share_one() -> None:
    assert sparse_fingerprint(INFO, **SPARSE) != codes_fingerprint(INFO, max_length=128, codec="int8")


def test_a_model_is_found_by_its_fingerprint_under_any_name(make_world: Callable[..., Any]) -> None:
    meta = make_world(FakeModel()).set_up()
    renamed = FakeModel()
    renamed._info = replace(renamed.info, name="elsewhere")
    world = make_world(FakeModel("other"), renamed)
    assert sparse_encoder(meta, world.encoders).info.name == "elsewhere"
    assert codes_encoder(meta, world.encoders).info.name == "elsewhere"


def test_an_unknown_fingerprint_names_what_to_serve(make_world: Callable[..., Any]) -> None:
    meta = make_world(FakeModel("fake")).set_up()
    world = make_world(FakeModel("other"))
    with pytest.raises(ChercheError, match="cherche serve --model fake=PATH") as caught:
        sparse_encoder(meta, world.encoders)
    assert caught.value.code is Code.FAILED_PRECONDITION


def test_a_model_that_loads_is_waited_for(make_world: Callable[..., Any]) -> None:
    meta = make_world(FakeModel("fake")).set_up()
    world = make_world(FakeModel("other"))
    world.encoders.loading.add("fake")
    with pytest.raises(ChercheError, match="is being loaded") as caught:
        sparse_encoder(meta, world.encoders)
    assert caught.value.retryable


def test_a_model_that_reads_less_than_the_index_holds_is_another(make_world: Callable[..., Any]) -> None:
    meta = make_world(FakeModel(max_length=128)).set_up()
    world = make_world(FakeModel(max_length=64))
    with pytest.raises(ChercheError, match="is not served here"):
        sparse_encoder(meta, world.encoders)


def test_an_index_without_codes_needs_no_reranker(make_world: Callable[..., Any]) -> None:
    world = make_world(FakeModel())
    assert codes_encoder(world.set_up(codec="none"), world.encoders) is None
