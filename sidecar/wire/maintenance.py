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
from sidecar.wire.status import clean, from_status, to_status

Step = Literal["prepare", "switch", "rollback"]
STEPS: dict[Step, pb.UpgradeStep.ValueType] = {
    "prepare": pb.UPGRADE_STEP_PREPARE,
    "switch": pb.UPGRADE_STEP_SWITCH,
    "rollback": pb.UPGRADE_STEP_ROLL_BACK,
}


def backfill_to_pb(index: str, options: BackfillOptions) -> pb.BackfillIndexRequest:
    """A request for the wire."""
    return pb.BackfillIndexRequest(
        index=index,
        checkpoint=options.checkpoint,
        dry_run=options.dry_run,
        search_slowdown=options.search_slowdown,
        ignore_disk=options.ignore_disk,
    )


def backfill_from_pb(request: pb.BackfillIndexRequest | pb.UpgradeIndexRequest) -> BackfillOptions:
    """Options from the wire, defaults filled in."""
    told = request.search_slowdown if request.HasField("search_slowdown") else BackfillOptions().search_slowdown
    return BackfillOptions(request.checkpoint, request.dry_run, told, request.ignore_disk)


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
        return _estimate_from_pb(response.estimate)
    if kind == "not_done":
        one = response.not_done
        return NotDone(one.id, one.index, "skipped" if one.skipped else "failed", from_status(one.status))
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
        upgraded = pb.UpgradedIndex(index=event.index, serving=event.serving, kept=event.kept)
        return pb.UpgradeIndexResponse(upgraded=upgraded)
    if isinstance(event, Estimate):
        return pb.UpgradeIndexResponse(estimate=_estimate_to_pb(event))
    if isinstance(event, NotDone):
        return pb.UpgradeIndexResponse(not_done=_not_done_to_pb(event))
    return pb.UpgradeIndexResponse(progress=progress_to_pb(event))


def upgrade_event_from_pb(response: pb.UpgradeIndexResponse) -> UpgradeEvent:
    """One message of an upgrade, read back."""
    if response.WhichOneof("event") != "upgraded":
        return event_from_pb(response)
    upgraded = response.upgraded
    return Switched(upgraded.index, tuple(upgraded.serving), tuple(upgraded.kept))


def progress_to_pb(progress: Progress) -> pb.BackfillProgress:
    """How far a backfill is, for the wire."""
    return pb.BackfillProgress(
        round=progress.round,
        read=progress.read,
        encoded=progress.encoded,
        kept=progress.kept,
        outrun=progress.conflicts,  # the field's name is part of cherche.v1
        gone=progress.gone,
        skipped=progress.skipped,
        failed=progress.failed,
        paused=clean(progress.paused),
        notes=[clean(note) for note in progress.notes],
        checkpoint=progress.checkpoint,
        finished=progress.finished,
    )


def progress_from_pb(progress: pb.BackfillProgress) -> Progress:
    """How far a backfill is, from the wire."""
    return Progress(
        progress.round,
        progress.read,
        progress.encoded,
        progress.kept,
        progress.outrun,
        progress.gone,
        progress.skipped,
        progress.failed,
        progress.paused,
        tuple(progress.notes),
        progress.checkpoint,
        progress.finished,
    )


def _not_done_to_pb(one: NotDone) -> pb.DocumentNotDone:
    skipped = one.why == "skipped"
    return pb.DocumentNotDone(id=clean(one.id), index=one.index, skipped=skipped, status=to_status(one.error))


def _estimate_to_pb(estimate: Estimate) -> pb.BackfillEstimate:
    return pb.BackfillEstimate(
        documents=estimate.documents,
        to_encode=estimate.to_encode,
        sampled=estimate.sampled,
        seconds=estimate.seconds,
        stored_bytes=estimate.stored_bytes,
        peak_bytes=estimate.peak_bytes,
        free_bytes=None if estimate.free_bytes < 0 else estimate.free_bytes,
        notes=[clean(note) for note in estimate.notes],
    )


def _estimate_from_pb(estimate: pb.BackfillEstimate) -> Estimate:
    return Estimate(
        estimate.documents,
        estimate.to_encode,
        estimate.sampled,
        estimate.seconds,
        estimate.stored_bytes,
        estimate.peak_bytes,
        estimate.free_bytes if estimate.HasField("free_bytes") else -1,
        tuple(estimate.notes),
    )
