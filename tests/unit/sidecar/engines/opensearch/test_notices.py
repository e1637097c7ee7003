"""What is said of indices before anything is written to them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sidecar.engines.opensearch import notices
from sidecar.engines.opensearch.mapping import UPGRADE
from sidecar.errors import ChercheError
from tests.unit.sidecar.engines.opensearch.test_mapping import ROOT, facts


def test_warnings_are_for_indices_that_need_them() -> None:
    lean = {"_source": {"excludes": ["cherche_*"]}}
    assert notices.warnings([facts(lean)]) == ()
    assert "_source.excludes" in notices.warnings([facts({"_source": {"excludes": ["cherche_codes"]}})])[0]
    bare = {"_source": {"excludes": ["cherche_*"], "recovery_source_excludes": ["*"]}}
    assert "recovery source" in notices.warnings([facts(bare)])[0]
    assert notices.warnings([facts(bare, **{"index.replication.type": "SEGMENT"})]) == ()


def test_setup_prints_the_pipeline_that_hides_our_fields() -> None:
    shipped = json.loads((ROOT / "opensearch" / "pipelines" / "hide.json").read_text())
    assert json.loads(notices.HIDING) == {key: value for key, value in shipped.items() if key != "description"}
    assert notices.HIDING in notices.warnings([facts({})])[0]


def test_an_upgrade_that_was_cut_off_is_named_and_a_block_of_somebody_elses_as_that() -> None:
    blocked = {"index.blocks.write": "true"}
    [said] = notices.hazards([facts({"_meta": {UPGRADE: {"successor": "b"}}}, **blocked)])
    assert "cherche upgrade books-1 --replace" in said
    [said] = notices.hazards([facts({}, **blocked)])
    assert "the index that an upgrade makes takes them" in said
    assert notices.hazards([facts({"_meta": {UPGRADE: {}}})]) == ()


@pytest.mark.parametrize("block", ["read_only", "read_only_allow_delete", "metadata"])
def test_a_mapping_that_cannot_be_changed_is_refused_with_what_to_set(block: str) -> None:
    notices.check_open([facts({}, **{f"index.blocks.{block}": "false", "index.blocks.write": "true"})])
    with pytest.raises(ChercheError, match=f'"books-1": index.blocks.{block} refuses') as refused:
        notices.check_open([facts(), facts({}, **{f"index.blocks.{block}": "true"})])
    assert refused.value.next_step.endswith(f"set index.blocks.{block} to null")


@pytest.mark.parametrize(
    ("source", "loses"),
    [
        ({}, False),
        ({"excludes": ["*"]}, False),
        ({"recovery_source_excludes": ["title"]}, False),
        ({"recovery_source_excludes": ["cherche_codes"]}, True),
        ({"recovery_source_excludes": ["cherche_*"]}, True),
        ({"recovery_source_enabled": False}, True),
        ({"recovery_source_enabled": "false"}, True),
        ({"recovery_source_includes": ["title"]}, True),
        ({"recovery_source_includes": ["title", "cherche_*"]}, False),
    ],
)
def test_an_index_whose_copies_lose_what_we_store_is_named(source: Any, loses: bool) -> None:
    said = notices.hazards([facts({"_source": source})])
    assert bool(said) is loses
    assert all("move no shards" in one.rpartition(" — ")[2] for one in said)
    assert notices.hazards([facts({"_source": source}, **{"index.replication.type": "SEGMENT"})]) == ()
