"""Backfills and upgrades on the wire."""

from __future__ import annotations

from typing import Literal

from sidecar.errors import invalid
from sidecar.pb.cherche.v1 import index_pb2 as pb
from sidecar.values.maintenance import (
    BackfillEvent,
    BackfillOptions,
    Estimate,
    NotDone,
    Progress,
    Switched,
    UpgradeEvent,
)
from sidecar.wire.fields import from_message, to_message, to_request
from sidecar.wire.status import clean, from_status, to_status

Step = Literal["prepare", "switch", "rollback"]
STEPS: dict[Step, pb.UpgradeStep.ValueType] = {
    "prepare": pb.UPGRADE_STEP_PREPARE,
    "switch": pb.UPGRADE_STEP_SWITCH,
    "rollback": pb.UPGRADE_STEP_ROLL_BACK,
}


def backfill_to_pb(index: str, options: BackfillOptions) -> pb.BackfillIndexRequest:
    """A request for the wire."""
    return to_request(options, pb.BackfillIndexRequest, index=index)


def backfill_from_pb(request: pb.BackfillIndexRequest | pb.UpgradeIndexRequest) -> BackfillOptions:
    """Options from the wire, defaults filled in."""
    return from_message(request, BackfillOptions)


def event_to_pb(event: BackfillEvent) -> pb.BackfillIndexResponse:
    """One message of a backfill."""
    if isinstance(event, Estimate):
        return pb.BackfillIndexResponse(estimate=_estimate_to_pb(event))
    if isinstance(event, NotDone):
        return pb.BackfillIndexResponse(not_done=_not_done_to_pb(event))
    return pb.BackfillIndexResponse(progress=progress_to_pb(event))


def event_from_pb(response: pb.BackfillIndexResponse | pb.UpgradeIndexResponse) -> BackfillEvent:
    """One message of a backfill, read back."""
    kind = response.WhichOneof("event")
    if kind == "estimate":
        return from_message(response.estimate, Estimate)
    if kind == "not_done":
        one = response.not_done
        return NotDone(one.id, one.index, from_status(one.status))
    return progress_from_pb(response.progress)


def step_of(request: pb.UpgradeIndexRequest) -> Step:
    """Which step is asked for.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT where none is.
    """
    found = next((step for step, number in STEPS.items() if number == request.step), None)
    if found is None:
        raise invalid("no step of the upgrade is named", f"name one of {', '.join(STEPS)}")
    return found


def upgrade_event_to_pb(event: UpgradeEvent) -> pb.UpgradeIndexResponse:
    """One message of an upgrade."""
    if isinstance(event, Switched):
        return pb.UpgradeIndexResponse(upgraded=to_message(event, pb.UpgradedIndex))
    if isinstance(event, Estimate):
        return pb.UpgradeIndexResponse(estimate=_estimate_to_pb(event))
    if isinstance(event, NotDone):
        return pb.UpgradeIndexResponse(not_done=_not_done_to_pb(event))
    return pb.UpgradeIndexResponse(progress=progress_to_pb(event))


def upgrade_event_from_pb(response: pb.UpgradeIndexResponse) -> UpgradeEvent:
    """One message of an upgrade, read back."""
    if response.WhichOneof("event") != "upgraded":
        return event_from_pb(response)
    return from_message(response.upgraded, Switched)


def progress_to_pb(progress: Progress) -> pb.BackfillProgress:
    """How far a backfill is, for the wire."""
    return to_message(progress, pb.BackfillProgress, outrun=progress.conflicts)  # the name is part of cherche.v1


def progress_from_pb(progress: pb.BackfillProgress) -> Progress:
    """How far a backfill is, from the wire."""
    return from_message(progress, Progress, conflicts=progress.outrun)


def _not_done_to_pb(one: NotDone) -> pb.DocumentNotDone:
    return pb.DocumentNotDone(id=clean(one.id), index=one.index, status=to_status(one.error))


def _estimate_to_pb(estimate: Estimate) -> pb.BackfillEstimate:
    free = None if estimate.free_bytes < 0 else estimate.free_bytes
    return to_message(estimate, pb.BackfillEstimate, free_bytes=free)
