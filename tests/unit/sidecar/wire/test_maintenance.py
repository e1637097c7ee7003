from __future__ import annotations

import pytest

from sidecar.pb.cherche.v1 import index_pb2
from sidecar.values.maintenance import BackfillEvent, BackfillOptions, Estimate, NotDone, Progress, Switched
from sidecar.wire import maintenance
from tests.unit.sidecar.samples import lost, sample


def test_every_field_of_the_options_survives_the_wire() -> None:
    sent = sample(BackfillOptions)
    request = maintenance.backfill_to_pb("a", sent)
    assert request.index == "a"
    stays = {"patience": "of the sidecar itself, for tests"}
    assert lost(BackfillOptions, maintenance.backfill_from_pb(request), sent, stays) == {}
    assert maintenance.backfill_from_pb(index_pb2.BackfillIndexRequest()) == BackfillOptions()
    probes_off = BackfillOptions(search_slowdown=0.0)
    assert maintenance.backfill_from_pb(maintenance.backfill_to_pb("a", probes_off)) == probes_off


@pytest.mark.parametrize("kind", [Progress, Estimate, NotDone])
def test_every_field_of_an_event_survives_the_wire(kind: type[BackfillEvent]) -> None:
    sent = sample(kind)
    packed = index_pb2.BackfillIndexResponse.FromString(maintenance.event_to_pb(sent).SerializeToString())
    back = maintenance.event_from_pb(packed)
    differ = lost(kind, back, sent)
    if isinstance(sent, NotDone):
        assert isinstance(back, NotDone)
        del differ["error"]
        assert str(back.error) == str(sent.error)
    assert differ == {}
    assert maintenance.upgrade_event_from_pb(maintenance.upgrade_event_to_pb(sent)) is not None


def test_every_field_of_a_switch_survives_the_wire() -> None:
    sent = sample(Switched)
    assert lost(Switched, maintenance.upgrade_event_from_pb(maintenance.upgrade_event_to_pb(sent)), sent) == {}


def test_room_that_is_not_known_stays_so() -> None:
    sent = Estimate(1, 1, 1, 0.5, 2, 3)
    assert maintenance.event_from_pb(maintenance.event_to_pb(sent)) == sent
    assert not maintenance.event_to_pb(sent).estimate.HasField("free_bytes")
