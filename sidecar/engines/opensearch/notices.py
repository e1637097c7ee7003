"""What people should know of indices as they are, before anything is written to them. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from sidecar.engines.opensearch import seismic
from sidecar.engines.opensearch.mapping import UPGRADE, IndexFacts
from sidecar.errors import precondition
from sidecar.values.documents import SEISMIC
from sidecar.values.index import IndexMeta

# What leaves our fields out of hits, without any other change; opensearch/pipelines/hide.json is the same.
HIDING = '{"request_processors": [{"cherche_query": {"mode": "off"}}]}'
_CLOSED = ("index.blocks.read_only", "index.blocks.read_only_allow_delete", "index.blocks.metadata")


def warnings(found: Sequence[IndexFacts]) -> tuple[str, ...]:
    """What people should know before these indices are set up."""
    said = [
        f'index "{each.name}" exists and its _source.excludes cannot be changed: weights, terms '
        "and codes will be in _source too, which about doubles their size and shows cherche_* fields "
        "to whoever reads whole documents. Hits are free of them by _source_excludes=cherche_*, or with the plugin by "
        f"index.search.default_pipeline: NAME and PUT /_search/pipeline/NAME {HIDING}; an index without them is made "
        f"by: cherche backfill {each.name} --shadow"
        for each in found
        if not each.source_is_lean
    ]
    lost = [
        f'index "{each.name}" leaves {", ".join(each.lost_by_updates)} out of _source: an update of a document loses '
        "them, a backfill's too — feed whole documents instead"
        for each in found
        if each.lost_by_updates
    ]
    return (*said, *lost, *hazards(found))


def check_open(found: Sequence[IndexFacts]) -> None:
    """Refuse indices whose mapping cannot be changed now.

    Raises
    ------
    ChercheError
        FAILED_PRECONDITION naming the index, the setting and the next step.
    """
    for each in found:
        block = next((one for one in _CLOSED if str(each.settings.get(one)).lower() == "true"), "")
        if block:
            freed = "free disk space, then " if block.endswith("allow_delete") else ""
            raise precondition(
                f'index "{each.name}": {block} refuses changes of its mapping', f"{freed}set {block} to null"
            )


def hazards(found: Sequence[IndexFacts]) -> tuple[str, ...]:
    """What loses data as these indices are, each with its next step."""
    losing = tuple(
        f'index "{each.name}" leaves weights or codes out of the recovery source under document replication: a copy '
        "that recovers, or a shard that moves, loses them without an error — set up a new index, feed it and search "
        "it instead; until then add no replicas and move no shards"
        for each in found
        if each.loses_copies
    )
    cut_off = tuple(
        f'index "{each.name}" refuses writes since an upgrade that was to replace it was cut off — run: '
        f"cherche upgrade {each.name} --replace, or set index.blocks.write to null"
        for each in found
        if each.refuses_writes and UPGRADE in each.meta
    )
    blocked = tuple(
        f'index "{each.name}" refuses writes (index.blocks.write): so does it of a backfill, and the index that an '
        "upgrade makes takes them — set index.blocks.write to null, and to true again afterwards"
        for each in found
        if each.refuses_writes and UPGRADE not in each.meta
    )
    return (*losing, *cut_off, *blocked)


def new_index_warnings(index: str, meta: IndexMeta) -> tuple[str, ...]:
    """What people should know of an index that setup creates."""
    fields = ", ".join(field.name for field in meta.fields)
    return (
        f'index "{index}" is new: BM25 reads {fields} as English; for another language create the index with '
        "your own analyzer first",
        *((seismic.NOTE,) if meta.weights == SEISMIC else ()),
    )
