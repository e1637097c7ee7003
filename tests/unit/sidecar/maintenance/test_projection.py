"""Bytes of an index, from a sample."""

from __future__ import annotations

from typing import Any

from sidecar.maintenance.projection import POSTING_BYTES, projected, stored_bytes
from sidecar.pipeline.encode import NeuralPart
from sidecar.pipeline.stored import NO_WEIGHTS
from sidecar.values.documents import StoredDocument


async def test_codes_on_demand_are_not_counted(world: Any) -> None:
    sample = [StoredDocument(str(number), {"text": f"words of a text {number}"}) for number in range(4)]
    stored, notes = await projected(world.set_up(), world.context, sample)
    bare, _ = await projected(world.set_up(codes="on-demand"), world.context, sample)
    none, _ = await projected(world.set_up(codec="none"), world.context, sample)
    assert (bare, notes) == (none, ())
    assert stored > bare > 5 * POSTING_BYTES


def test_a_document_without_weights_takes_what_packs_them() -> None:
    assert stored_bytes(NeuralPart(NO_WEIGHTS, b"codes", 0, truncated=False)) == 5 + stored_bytes(
        NeuralPart(NO_WEIGHTS, None, 0, truncated=False)
    )
