"""Maintenance of an index: its shards, backfill, upgrade, and the load and disk of its cluster. Frozen, no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from sidecar.errors import ChercheError
from sidecar.values.documents import StoredDocument, Version


@dataclass(frozen=True, slots=True)
class ShardRange:
    """One shard of one index, up to a sequence number.

    Attributes
    ----------
    index : str
        The concrete index, whatever name it was found by.
    uuid : str
        Changes when an index of that name is created again.
    shard : int
    mark : int
        Sequence number: every write up to it is acknowledged, none of them is still on its way. -1 without any.
    deletions : int
        Documents deleted so far, as far as its primary remembers: only a difference says something.
    """

    index: str
    uuid: str
    shard: int
    mark: int
    deletions: int = 0

    @property
    def key(self) -> str:
        """Its name in a checkpoint."""
        return f"{self.uuid}/{self.shard}"


@dataclass(frozen=True, slots=True)
class Placement:
    """A whole document for a successor index, over the version that it holds, or None where it holds nothing yet."""

    document: StoredDocument
    routing: str
    over: Version | None


@dataclass(frozen=True, slots=True)
class Serving:
    """What a name stands for.

    Attributes
    ----------
    is_alias : bool
        Only then another index can take the place of these at once.
    names : tuple of str
        Concrete indices, those of a data stream the oldest first.
    is_stream : bool
        Whether it is a data stream: only its next index can be of another encoding.
    replaced : tuple of str
        Those that they replaced, kept for a rollback.
    successor : str
        The index that is being filled to take their place; "" where there is none.
    read : mapping
        Sequence numbers by `ShardRange.key` of the replaced index: how far it was copied.
    marks : mapping
        The same of the index that serves now: what was written after them was written after the switch.
    is_back : bool
        Whether it serves again since a rollback: what it replaced then is the newer one.
    """

    is_alias: bool
    names: tuple[str, ...]
    is_stream: bool = False
    replaced: tuple[str, ...] = ()
    successor: str = ""
    read: Mapping[str, int] = field(default_factory=dict)
    marks: Mapping[str, int] = field(default_factory=dict)
    is_back: bool = False


@dataclass(frozen=True, slots=True)
class Switched:
    """End of a step of an upgrade: the indices that serve the name now, and those that were kept."""

    index: str
    serving: tuple[str, ...]
    kept: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Load:
    """Load of a cluster: totals since its nodes started, and the queues now.

    Attributes
    ----------
    rejected : int
        Writes and searches refused so far.
    queued : int
        Writes and searches that wait now.
    threads : int
        Write threads of all data nodes.
    searches : int
    search_seconds : float
        Spent in them: the cluster publishes totals, so a mean between two readings and no percentile.
    """

    rejected: int
    queued: int
    threads: int
    searches: int
    search_seconds: float


@dataclass(frozen=True, slots=True)
class Room:
    """Free disk of a cluster and the size of an index, in bytes.

    `free` is counted up to the low watermark, beyond which the cluster allocates no shard. `store` is of all
    `copies`, the primary among them.
    """

    free: int
    store: int
    copies: int


EXTERNAL = "external_gte"  # a version type of the cluster: a write with the version that is there is taken


@dataclass(frozen=True, slots=True)
class BackfillOptions:
    """Options of a backfill.

    Attributes
    ----------
    checkpoint : str
        From an earlier run; spares reading what that run had read.
    dry_run : bool
        Only estimate.
    search_slowdown : float
        Share by which the p99 of the backfill's probe searches may rise before it pauses; 0 sends no probes.
    ignore_disk : bool
        Start even where the disk may not suffice.
    version_type : {"", "external_gte"}
        The latter where somebody gives documents versions of his own: they keep them.
    patience : float
        Seconds of an unbroken pause after which the run ends; its checkpoint resumes it.
    """

    checkpoint: str = ""
    dry_run: bool = False
    search_slowdown: float = 0.2
    ignore_disk: bool = False
    version_type: str = ""
    patience: float = 600.0


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a backfill will cost, from a sample.

    Attributes
    ----------
    documents : int
        All of the index.
    to_encode : int
        Those without weights or codes, and the sampled share of those with another text than was encoded.
    sampled : int
        Documents that were encoded for this.
    seconds : float
        At the speed of the sample.
    stored_bytes, peak_bytes : int
        Added in all copies: for good, and until segments are merged.
    free_bytes : int
        Up to the cluster's low watermark; -1 where it is not known.
    notes : tuple of str
    """

    documents: int
    to_encode: int
    sampled: int
    seconds: float
    stored_bytes: int
    peak_bytes: int
    free_bytes: int = -1
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NotDone:
    """A document that could not be encoded or written."""

    id: str
    index: str
    error: ChercheError


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a backfill stands.

    Attributes
    ----------
    round : int
        From 1; every round after the first reads what was written during the one before.
    read : int
        Documents read, again in every round.
    encoded : int
        Written with fresh weights.
    kept : int
        Complete and unchanged.
    conflicts : int
        Written by others while they were encoded: the newer write stays, and a later round reads it.
        Version conflicts, as the engine calls them; ``outrun`` on the wire and in the CLI's JSON.
    gone : int
        Deleted meanwhile.
    skipped : int
        Without text, which is noted as that.
    failed : int
        See `NotDone`.
    paused : str
        Why the run waits now; "" where it does not.
    notes : tuple of str
        For people.
    checkpoint : str
        Where the next run resumes; "" where there is nothing to resume.
    finished : bool
    """

    round: int = 1
    read: int = 0
    encoded: int = 0
    kept: int = 0
    conflicts: int = 0
    gone: int = 0
    skipped: int = 0
    failed: int = 0
    paused: str = ""
    notes: tuple[str, ...] = ()
    checkpoint: str = ""
    finished: bool = False

    def plus(self, counts: Mapping[str, int]) -> Progress:
        """With so many more of each count.

        >>> Progress(read=2).plus({"read": 3, "kept": 1}).read
        5
        """
        return replace(self, **{name: getattr(self, name) + count for name, count in counts.items()})


BackfillEvent = Estimate | Progress | NotDone
UpgradeEvent = BackfillEvent | Switched


@dataclass(frozen=True, slots=True)
class Removal:
    """What taking cherche out of an index did, or would do.

    Attributes
    ----------
    documents : int
        Those that had fields of ours.
    changes : tuple of str
        What is changed beside the mapping, or not as it was before setup.
    remains : tuple of str
        What stays behind, and why.
    """

    documents: int
    changes: tuple[str, ...] = ()
    remains: tuple[str, ...] = ()
