"""The table of query weights that a plugin looks words up in."""

from __future__ import annotations

from typing import Any

import pytest

from sidecar.errors import ChercheError, Code
from sidecar.pipeline.table import PROBES, query_table


async def test_a_word_without_a_positive_idf_makes_no_clause(world: Any) -> None:
    meta = world.set_up(sparse_boost=0.5)
    world.encoder.idfs = {5: 2.0, 6: 0.0, 7: -1.0, 9: 0.25}
    table = await query_table(meta, world.context)
    assert table.boost == 0.5
    assert len(table.weights) == len(table.features) == len(table.vocabulary) == len(world.encoder.info.vocabulary)
    assert {i: float(table.weights[i]) for i in table.weights.nonzero()[0]} == {5: 2.0, 9: 0.25}
    assert {i: name for i, name in enumerate(table.features) if name} == {5: "##s", 9: "h3"}


async def test_the_models_own_tokens_are_the_frame_and_no_words(world: Any) -> None:
    world.encoder.idfs = {5: 1.0}
    table = await query_table(world.set_up(), world.context)
    assert table.frame == {2, 3}  # [CLS] and [SEP]
    assert table.max_pieces == world.encoder.info.max_query_length - 2


async def test_probes_hold_what_the_model_reads_in_each(world: Any) -> None:
    world.encoder.idfs = {5: 1.0}
    table = await query_table(world.set_up(), world.context)
    assert [text for text, _ in table.probes] == list(PROBES)
    for text, ids in table.probes:
        [tokens] = world.encoder.model.tokenize([text], "query")
        assert ids == tuple(sorted(set(tokens.ids) - table.frame))


async def test_a_model_without_a_table_is_named(world: Any) -> None:
    with pytest.raises(ChercheError, match="model 'fake' brings no idf table") as refused:
        await query_table(world.set_up(), world.context)
    assert refused.value.code is Code.FAILED_PRECONDITION
