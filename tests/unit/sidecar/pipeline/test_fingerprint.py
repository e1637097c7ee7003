from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from cherche_models.codec import CODECS
from sidecar.errors import ChercheError, Code
from sidecar.pipeline.fingerprint import codes_encoder, codes_fingerprint, sparse_encoder, sparse_fingerprint
from sidecar.testing import FakeModel
from sidecar.values.chunks import Chunks

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


@pytest.mark.parametrize(
    ("codec", "chunks", "expected"),
    [
        ("int8", None, "5e472b0f4d6e1eb2b384e0dd9882d56ed086bdf7d588804a86264146405693c3"),
        ("int8", Chunks(4, 16), "8bfabc81d53e7a522efdfc55cd7c693ff45e039cf44b3b8982eed17c0dae3176"),
        ("pool2+int8", None, "f1cd27ea944213d77188965949eab813cec66c7f0746bf8fc389793c4c140a8f"),
        ("residual4", None, "c7f40a7d0f3fefaa4ac13eeef7af4e64dfcf67b08194293f49b18e99ca8495d8"),
        ("residual2", None, "3ba63604526ecce7172463391f0decace9e38ee1fc5132a2adbe62e1c26c5faf"),
        ("residual2", Chunks(4, 16), "5ae43e34754330ada5317d4465c37cec98f19ddf548e47580879f46b915fcf50"),
        ("residual1", None, "7b880761ad9b1a8c87e4693fcd121399f4abe14b52c9d971ec513c7c9e63dd7d"),
        ("pool3+residual2", None, "e3e558a04ed54aac4799404b79f19b704ddc9dd607f1fd4209f04b46267df459"),
    ],
)
def test_fingerprints_of_codes_stay_what_indices_hold(codec: str, chunks: Chunks | None, expected: str) -> None:
    info = replace(INFO, digest="d" * 64, codebook="c" * 64)
    assert codes_fingerprint(info, max_length=128, codec=codec, chunks=chunks) == expected


def test_a_codec_of_a_later_release_has_a_fingerprint_that_no_known_codec_has() -> None:
    later = codes_fingerprint(INFO, max_length=128, codec="later")
    assert later not in {codes_fingerprint(INFO, max_length=128, codec=name) for name in CODECS}


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
