"""What a backfill will take, from a sample that is encoded and thrown away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sidecar.errors import ChercheError, precondition
from sidecar.maintenance.projection import stored_bytes
from sidecar.pipeline import readiness, stored
from sidecar.pipeline.context import Context
from sidecar.pipeline.encode import DocumentEncoder, NeuralPart
from sidecar.pipeline.stored import EncodableDocument
from sidecar.pipeline.text import join
from sidecar.values.documents import StoredDocument
from sidecar.values.index import IndexGroup, IndexMeta
from sidecar.values.maintenance import Estimate, Room

SAMPLE = 64
FIRST, IN_TIME = 8, 5.0
"""Documents of it that are always encoded, and seconds in which the others must be too, by the pace of the first.

Beside searches and feeds a backfill has a batch of some documents every `batching.max_wait` seconds, and a client takes
a sidecar that says nothing for lost.
"""
UNMERGED = 3.3
"""Room of weights and codes while segments are merged, over their room afterwards.

Until then the recovery source holds them too, as text. Seen once on OpenSearch 3.8.0 with short documents;
``make prove SECTION=flow`` measures it on yours.
"""


@dataclass(frozen=True, slots=True)
class _Sampled:
    """Of a sample: documents encoded, bytes and seconds of each, and the share of those with another text."""

    count: int = 0
    bytes: float = 0.0
    seconds: float = 0.0
    stale: float = 0.0


async def estimate(groups: Sequence[IndexGroup], context: Context, *, everything: bool = False) -> Estimate:
    """Add up what each group of indices needs.

    Parameters
    ----------
    everything : bool
        All documents are encoded, as for a new model.
    """
    total = Estimate(0, 0, 0, 0.0, 0, 0)
    for group in groups:
        if group.meta is None:
            said = f"{', '.join(group.names)}: not set up, left out — run: cherche setup {group.names[0]}"
            total = replace(total, notes=(*total.notes, said))
            continue
        for name in group.names:
            total = _sum(total, await _of_index(name, group.meta, context, everything))
    return total


def check_room(estimate: Estimate) -> None:
    """Refuse where the disk may not suffice.

    Raises
    ------
    ChercheError
        FAILED_PRECONDITION.
    """
    if 0 <= estimate.free_bytes < estimate.peak_bytes:  # below 0: not known
        raise precondition(
            f"the cluster has {estimate.free_bytes:,} bytes up to its low disk watermark, and this may take "
            f"{estimate.peak_bytes:,} until segments are merged",
            "free disk space, prune more (cherche setup --prune), or go on with --ignore-disk",
        )


def peak_bytes(to_encode: int, documents: int, added: float, room: Room) -> int:
    """Bytes in all copies that rewriting documents may take, until their segments are merged.

    What they hold already is there once more, and a third time while a merge writes it. What is added takes `UNMERGED`
    times its room.

    >>> peak_bytes(10, 100, 500.0, Room(free=0, store=100_000, copies=2))
    53000
    """
    held = room.store / max(1, documents) / room.copies
    return round(to_encode * (2 * held + UNMERGED * added) * room.copies)


async def sample_texts(name: str, meta: IndexMeta, context: Context) -> list[str]:
    """Beginnings of some documents' texts: what probe searches look for."""
    sample = [stored.from_index(one, meta) for one in await context.engine.sample(name, SAMPLE)]
    texts = [join(one.texts) for one in sample if isinstance(one, EncodableDocument) and one.has_text]
    return [" ".join(text.split()[:6]) for text in texts]


async def _of_index(name: str, meta: IndexMeta, context: Context, everything: bool) -> Estimate:
    documents = (await context.engine.stats(name)).documents
    gaps = (await context.engine.gaps(name, meta)).total
    sampled = await _sampled(await context.engine.sample(name, SAMPLE), meta, context)
    to_encode = documents if everything else gaps + round(sampled.stale * (documents - gaps))
    room = await context.engine.room(name)
    known = room or Room(-1, 0, 1)
    return Estimate(
        documents,
        to_encode,
        sampled.count,
        to_encode * sampled.seconds,
        round(to_encode * sampled.bytes * known.copies),
        peak_bytes(to_encode, documents, sampled.bytes, known),
        known.free,
        () if room else ("free disk is not known here and was not checked",),
    )


async def _sampled(sample: Sequence[StoredDocument], meta: IndexMeta, context: Context) -> _Sampled:
    texts, settled, stale = [], 0, 0
    for held in sample:
        document = stored.from_index(held, meta)
        if isinstance(document, ChercheError):
            continue
        if document.has_text:
            texts.append(document.texts)
        if stored.is_settled(held, meta):
            settled += 1
            stale += readiness.lack(held, [meta]) == "changed"
    if not texts:
        return _Sampled()
    encoder = DocumentEncoder.of(meta, context.encoders)
    parts, pace = await _timed(texts[:FIRST], encoder, context)
    fitting = SAMPLE if pace * (len(texts) - FIRST) <= IN_TIME - pace * FIRST else int(IN_TIME / pace)
    if rest := texts[FIRST:fitting]:
        # A larger part has the better batches, and is the better sample.
        more, pace = await _timed(rest, encoder, context)
        parts += more
    sizes = [stored_bytes(part) for part in parts if isinstance(part, NeuralPart)]
    mean = sum(sizes) / len(sizes) if sizes else 0.0
    return _Sampled(len(parts), mean, pace, stale / settled if settled else 0.0)


async def _timed(
    texts: Sequence[Sequence[str]], encoder: DocumentEncoder, context: Context
) -> tuple[list[NeuralPart | ChercheError], float]:
    """Encodings of some documents, and seconds of each."""
    started = context.clock()
    parts = await encoder.encode(texts, context, lane="backfill")
    return list(parts), (context.clock() - started) / len(texts)


def _sum(one: Estimate, two: Estimate) -> Estimate:
    """Of two indices on one cluster: the disk is the same."""
    return Estimate(
        one.documents + two.documents,
        one.to_encode + two.to_encode,
        one.sampled + two.sampled,
        one.seconds + two.seconds,
        one.stored_bytes + two.stored_bytes,
        one.peak_bytes + two.peak_bytes,
        two.free_bytes,
        tuple(dict.fromkeys((*one.notes, *two.notes))),
    )
