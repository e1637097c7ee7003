"""Settings of an index: as JSON, and what another setup makes of its documents."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sidecar.errors import ChercheError, Code
from sidecar.values.chunks import Chunks
from sidecar.values.index import (
    Fingerprint,
    Gaps,
    IndexMeta,
    TextField,
)
from tests.unit.sidecar.samples import lost, sample


def test_every_field_of_the_settings_survives_json() -> None:
    sent = sample(IndexMeta, version=1)
    assert lost(IndexMeta, IndexMeta.from_json(sent.to_json()), sent) == {}
    older = {key: value for key, value in sent.to_json().items() if key not in ("chunks", "reranker")}
    assert IndexMeta.from_json(older) == replace(sent, chunks=Chunks(), reranker="")


def test_settings_of_a_later_release_are_refused_not_misread() -> None:
    later = {**META.to_json(), "version": 2}
    with pytest.raises(ChercheError, match="version 2, this one reads 1") as refused:
        IndexMeta.from_json(later)
    assert (refused.value.code, refused.value.next_step[:20]) == (Code.FAILED_PRECONDITION, "upgrade this sidecar")


def test_earlier_releases_refuse_weights_that_they_would_not_find() -> None:
    """They read version 1, leave out what they do not know, and would search by BM25 alone, without a word."""
    seismic = replace(META, weights="seismic")
    assert (META.to_json()["version"], seismic.to_json()["version"]) == (1, 2)
    assert IndexMeta.from_json(seismic.to_json()) == seismic
    assert IndexMeta.from_json({**seismic.to_json(), "version": 1}) == seismic
    with pytest.raises(ChercheError, match="version 3, this one reads 2"):
        IndexMeta.from_json({**seismic.to_json(), "version": 3})


META = IndexMeta("m", Fingerprint("s", "c"), (TextField("text"),), 64)


@pytest.mark.parametrize(
    ("old", "new", "is_void"),
    [
        (META, META, False),
        (META, replace(META, fingerprint=Fingerprint("other", "c")), True),
        (META, replace(META, fingerprint=Fingerprint("s", "other")), True),
        (META, replace(META, fingerprint=Fingerprint("s", "other"), codec="float16"), False),
        (META, replace(META, fingerprint=Fingerprint("s"), codec="float16"), True),
        (replace(META, fingerprint=Fingerprint("s")), META, False),
        (META, replace(META, model="renamed", sparse_boost=2.0), False),
    ],
    ids=["the same", "weights", "codes", "another codec", "no codes", "codes are added", "settings"],
)
def test_what_was_encoded_is_void_where_weights_or_codes_are_of_another_model(
    old: IndexMeta, new: IndexMeta, is_void: bool
) -> None:
    assert old.voided_by(new) is is_void


@pytest.mark.parametrize("change", [{"version": None}, {"fields": [{}]}, {"rerank": 3}, {"max_length": "many"}])
def test_an_object_that_holds_no_settings_is_an_error(change: dict[str, object]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        IndexMeta.from_json({**META.to_json(), **change})


def test_gaps_add_up() -> None:
    assert Gaps(untouched=1, waiting=20, lost=300, without_codes=4000).total == 4321
