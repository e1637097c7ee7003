from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from sidecar.errors import ChercheError, Code
from sidecar.maintenance.setup import inherited, resolve
from sidecar.maintenance.weights import MOST_IDS, check_kept, held_as, naming_of
from sidecar.testing import FakeModel
from sidecar.values.index import IndexOptions


def test_weights_lie_in_rank_features_unless_asked_otherwise() -> None:
    assert [held_as(IndexOptions(weights=word)) for word in ("", "rank_features", "seismic")] == [
        "rank_features",
        "rank_features",
        "seismic",
    ]


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"weights": "sparse_vector"}, "weights is 'sparse_vector'"),
        ({"weights": "seismic", "first_terms": 8}, "first_terms is 8 with seismic"),
    ],
)
def test_what_makes_no_sense_is_refused(given: dict[str, Any], reason: str) -> None:
    with pytest.raises(ChercheError, match=reason) as refused:
        held_as(IndexOptions(**given))
    assert refused.value.code is Code.INVALID_ARGUMENT


def test_seismic_reads_ids_of_the_vocabulary(make_world: Callable[..., Any]) -> None:
    context = make_world(FakeModel()).context
    plain, seismic = resolve(IndexOptions(), context), resolve(IndexOptions(weights="seismic"), context)
    assert (plain.weights, plain.naming) == ("rank_features", "escaped")
    assert (seismic.weights, seismic.naming) == ("seismic", "id")
    assert plain.fingerprint.sparse != seismic.fingerprint.sparse


def test_a_vocabulary_whose_ids_would_be_folded_is_refused(make_world: Callable[..., Any]) -> None:
    encoder = make_world(FakeModel()).context.encoders.named("")
    words = tuple(f"w{number}" for number in range(MOST_IDS + 1))

    class Large:
        info = replace(encoder.info, vocabulary=words)

    with pytest.raises(ChercheError, match="32,769 terms, of which seismic tells 32,768 apart") as refused:
        naming_of(Large(), "seismic")  # type: ignore[arg-type]  # of an encoder its description is read
    assert refused.value.next_step.startswith("set the index up with --weights rank_features")
    assert naming_of(Large(), "rank_features") == "escaped"  # type: ignore[arg-type]


def test_an_index_is_not_set_up_for_a_field_that_it_does_not_have(make_world: Callable[..., Any]) -> None:
    context = make_world(FakeModel()).context
    ranked, seismic = (resolve(IndexOptions(weights=word), context) for word in ("", "seismic"))
    check_kept("books", seismic, replace(seismic, sparse_boost=0.1))
    with pytest.raises(ChercheError, match="'books' holds weights as rank_features, not as seismic") as refused:
        check_kept("books", ranked, seismic)
    assert refused.value.next_step == "run: cherche upgrade books --weights seismic --replace"


def test_an_index_keeps_its_kind_of_weights_and_its_first_terms_with_it(make_world: Callable[..., Any]) -> None:
    context = make_world(FakeModel()).context
    seismic = resolve(IndexOptions(weights="seismic"), context)
    assert resolve(inherited(IndexOptions(sparse_boost=0.5), seismic), context).weights == "seismic"
    assert inherited(IndexOptions(model="another"), seismic).weights == "seismic"
    ranked = resolve(IndexOptions(first_terms=12), context)
    moved = resolve(inherited(IndexOptions(weights="seismic"), ranked), context)
    assert (moved.weights, moved.first_terms) == ("seismic", 0)
    assert resolve(inherited(IndexOptions(weights="rank_features"), moved), context).naming == "escaped"
