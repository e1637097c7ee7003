"""How an index is set up: its meta as mapping requests. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from sidecar.engines.opensearch import bookkeeping, seismic
from sidecar.engines.opensearch.answers import objects, part, reading
from sidecar.engines.opensearch.http import Request, index_path
from sidecar.errors import precondition
from sidecar.values.documents import (
    CODES,
    OLD_HASH,
    OLD_STATE,
    OWN_FIELDS,
    RANK_FEATURES,
    SEISMIC,
    TERMS,
    WEIGHTS,
    Json,
)
from sidecar.values.index import IndexGroup, IndexMeta, IndexStats

DEFAULT_MAX_WINDOW = 10_000  # of index.max_result_window
UPGRADE = "cherche_upgrade"  # in _meta: what an upgrade notes
_OWN_META = ("cherche", UPGRADE)
# Hash and state stay in `_source`: a GET, which alone sees every acknowledged write, has no doc values.
HEAVY_FIELDS = (WEIGHTS, TERMS, CODES)
PROPERTIES: Mapping[str, Json] = {
    WEIGHTS: {"type": RANK_FEATURES},
    # `binary` has no doc values by default, and out of `_source` nothing else would hold the bytes.
    TERMS: {"type": "binary", "doc_values": True},
    CODES: {"type": "binary", "doc_values": True},
    **bookkeeping.PROPERTIES,
}
# Text of an index that setup creates; whoever wants another analyzer creates the index first.
NEW_TEXT: Json = {
    "type": "text",
    "analyzer": "english",
    # As dynamic mapping adds it, so that filters and aggregations of existing applications work.
    "fields": {"keyword": {"type": "keyword", "ignore_above": 256}},
}


@dataclass(frozen=True, slots=True)
class IndexFacts:
    """What one concrete index looks like now.

    Attributes
    ----------
    name : str
        Of the concrete index, where the request named an alias.
    properties : mapping
        Field → its mapping.
    excludes, recovery_excludes : tuple of str
        Patterns of what ``_source`` and the recovery source leave out.
    meta : mapping
        The whole ``_meta``, the user's own keys included.
    replicas : int
    segment_replication : bool
    refuses_writes : bool
    settings : mapping
        Flat settings.
    requires_routing : bool
        Whether no document can be written without a routing value.
    source : mapping
        How ``_source`` is kept.
    dynamic : str
        Whether fields that are not mapped become so.
    """

    name: str
    properties: Json
    excludes: tuple[str, ...]
    recovery_excludes: tuple[str, ...]
    meta: Json
    replicas: int
    segment_replication: bool
    refuses_writes: bool = False
    settings: Json = field(default_factory=dict)
    requires_routing: bool = False
    source: Json = field(default_factory=dict)
    dynamic: str = "true"

    @property
    def max_window(self) -> int:
        """Deepest hit that a search may reach."""
        return int(self.settings.get("index.max_result_window", DEFAULT_MAX_WINDOW))

    @property
    def lost_by_updates(self) -> tuple[str, ...]:
        """Patterns of the user's own fields that no document keeps which is written anew from its ``_source``."""
        users = bookkeeping.lost(self.excludes, self.properties)
        return (*users, *(["what _source.includes does not name"] if self.source.get("includes") else ()))

    @property
    def source_is_lean(self) -> bool:
        """Whether weights, terms and codes stay out of ``_source``."""
        return _covers(self.excludes, HEAVY_FIELDS)

    @property
    def loses_copies(self) -> bool:
        """Whether a copy that recovers lacks what we store, without an error anywhere."""
        left_out = any(_covers(self.recovery_excludes, [name]) for name in HEAVY_FIELDS)
        return left_out and not self.segment_replication


def facts(mapping: Json, settings: Json, what: str = "index") -> tuple[IndexFacts, ...]:
    """Read the replies to ``GET /index/_mapping`` and ``GET /index/_settings?flat_settings=true``.

    Raises
    ------
    ChercheError
        UNAVAILABLE for replies that cannot be read; `what` names them.
    """
    return tuple(
        _facts(name, part(mapping, what, name, "mappings"), part(settings, what, name, "settings"), what)
        for name in sorted(mapping)
    )


def weights_kind(index: str, found: Sequence[IndexFacts]) -> str:
    """Type of the field that holds the weights, ``rank_features`` where there is none yet.

    Raises
    ------
    ChercheError
        FAILED_PRECONDITION where an alias spans indices of both types.
    """
    kinds = {str(each.properties.get(WEIGHTS, PROPERTIES[WEIGHTS]).get("type")) for each in found}
    if len(kinds) > 1:
        raise precondition(
            f"{index} stands for indices that hold weights as {' and '.join(sorted(kinds))}",
            "name one of them",
        )
    return next(iter(kinds), RANK_FEATURES)


def read_meta(index: str, found: Sequence[IndexFacts]) -> IndexMeta | None:
    """How an index was set up, None where it was not.

    Raises
    ------
    ChercheError
        FAILED_PRECONDITION where the mapping holds something else under ``_meta.cherche``,
        or an alias spans indices that were set up differently.
    """
    stored = [each.meta.get("cherche") for each in found]
    if any(one != stored[0] for one in stored):
        raise precondition(
            f"{index} stands for indices that were set up differently: {', '.join(f.name for f in found)}",
            "name one of them",
        )
    return _meta(index, stored[0]) if stored else None


def groups(found: Sequence[IndexFacts]) -> tuple[IndexGroup, ...]:
    """Indices that were set up alike together, in order of their first names.

    Raises
    ------
    ChercheError
        FAILED_PRECONDITION where a mapping holds something else under ``_meta.cherche``.
    """
    together: dict[IndexMeta | None, list[IndexFacts]] = {}
    for each in found:
        together.setdefault(_meta(each.name, each.meta.get("cherche")), []).append(each)
    return tuple(
        IndexGroup(
            tuple(one.name for one in alike),
            meta,
            min(one.max_window for one in alike),
            tuple(dict.fromkeys(pattern for one in alike for pattern in one.lost_by_updates)),
            tuple(dict.fromkeys(name for one in alike for name in bookkeeping.hidden(one.source))),
        )
        for meta, alike in together.items()
    )


def _meta(index: str, stored: Json | None) -> IndexMeta | None:
    if stored is None:
        return None
    try:
        return IndexMeta.from_json(stored)
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise precondition(
            f'index "{index}" has a _meta.cherche that this release cannot read: {error!r}',
            f"run: cherche remove {index}, then: cherche setup {index}",
        ) from error


def properties_of(meta: IndexMeta) -> dict[str, Json]:
    """The fields of ours in an index."""
    return {**PROPERTIES, **({WEIGHTS: seismic.FIELD} if meta.weights == SEISMIC else {})}


def creation(index: str, meta: IndexMeta, *, lean_recovery: bool) -> Request:
    """Request that creates an index; `lean_recovery` leaves the recovery source out as well."""
    source = {"excludes": list(HEAVY_FIELDS)}
    if lean_recovery:
        source["recovery_source_excludes"] = list(HEAVY_FIELDS)
    properties = {**{field.name: dict(NEW_TEXT) for field in meta.fields}, **properties_of(meta)}
    mappings = {"_source": source, "_meta": {"cherche": meta.to_json()}, "properties": properties}
    settings = {"settings": {"index": {"sparse": True}}} if meta.weights == SEISMIC else {}
    return Request("PUT", index_path(index), {**settings, "mappings": mappings})


def additions(found: Iterable[IndexFacts], meta: IndexMeta) -> tuple[Request, ...]:
    """Requests that add to existing indices what they lack; none where nothing is missing."""
    requests = []
    for each in found:
        body: dict[str, Any] = {}
        if missing := {name: dict(spec) for name, spec in properties_of(meta).items() if name not in each.properties}:
            body["properties"] = missing
        if each.meta.get("cherche") != meta.to_json():
            body["_meta"] = {**each.meta, "cherche": meta.to_json()}
        if body:
            requests.append(Request("PUT", index_path(each.name, "_mapping"), body))
    return tuple(requests)


def completed(properties: Json, meta: IndexMeta) -> dict[str, Any]:
    """The mapping of an index to come: its fields and ours, without those of earlier releases."""
    kept = {name: spec for name, spec in properties.items() if name not in (OLD_HASH, OLD_STATE)}
    own = properties_of(meta)
    if seismic.kind(kept.get(WEIGHTS, {})) == meta.weights:
        own[WEIGHTS] = kept[WEIGHTS]  # perhaps with parameters of the user's
    return {**kept, **own}


def hiding(mappings: Json, what: str = "index") -> tuple[Request, ...]:
    """Requests for indices that an earlier release set up: fields for hash and state that no search matches.

    Parameters
    ----------
    mappings : mapping
        The reply to ``GET /index/_mapping``.
    """
    requests = []
    for name, entry in sorted(objects(mappings, what).items()):
        with reading(what):
            held = entry.get("mappings", {})
            there = held.get("properties", {})
            missing = {key: spec for key, spec in bookkeeping.PROPERTIES.items() if key not in there}
            if missing and "cherche" in (held.get("_meta") or {}):
                requests.append(Request("PUT", index_path(name, "_mapping"), {"properties": missing}))
    return tuple(requests)


def removals(found: Iterable[IndexFacts]) -> tuple[Request, ...]:
    """Requests that take our parts of ``_meta`` out again, the user's own ``_meta`` kept."""
    return tuple(
        Request(
            "PUT",
            index_path(each.name, "_mapping"),
            {"_meta": {key: value for key, value in each.meta.items() if key not in _OWN_META}},
        )
        for each in found
        if any(key in each.meta for key in _OWN_META)
    )


def leftovers(found: Iterable[IndexFacts]) -> tuple[str, ...]:
    """What no request can take out of a mapping."""
    left = [
        f"{each.name}: unused mapping of {name}" for each in found for name in OWN_FIELDS if name in each.properties
    ]
    return (*left, *(f"{each.name}: _source.excludes" for each in found if each.source_is_lean))


def lean_recovery(settings: Json, *, known: bool) -> bool:
    """Whether a new index may leave its fields out of the recovery source.

    Under document replication a copy that recovers by replayed operations loses them without an
    error: a replica that rejoins, one that is added, and the only copy of an index without
    replicas when its shard moves. Under segment replication copies take segments, and keep them.
    """
    return known and _segment_replication(settings)


def check(index: str, found: Sequence[IndexFacts], meta: IndexMeta, stats: IndexStats) -> None:
    """Refuse a setup that would break what is stored.

    Raises
    ------
    ChercheError
        FAILED_PRECONDITION for documents encoded for another model.
    """
    before = read_meta(index, [each for each in found if "cherche" in each.meta])
    if before is not None and before.voided_by(meta) and stats.encoded:
        raise precondition(
            f'index "{index}" holds {stats.encoded} documents encoded for the model {before.model} '
            f"({before.fingerprint.sparse[:12]}), not for {meta.model} ({meta.fingerprint.sparse[:12]})",
            f"run: cherche remove {index}, then set it up and feed it again",
        )


def path_to(name: str, properties: Json) -> Iterator[tuple[str, Json]]:
    """Path and mapping of each object that a field lies in, outermost first, and of the field, as far as there are any.

    >>> [path for path, _ in path_to("parts.body", {"parts": {"properties": {"body": {"type": "text"}}}})]
    ['parts', 'parts.body']
    """
    path, rest, inner = "", name, properties
    while rest:
        # A name in a mapping has dots itself where an object is not to have objects in it (`subobjects: false`).
        step = max((key for key in inner if f"{rest}.".startswith(f"{key}.")), key=len, default="")
        if not step:
            return
        path, rest = f"{path}.{step}" if path else step, rest[len(step) + 1 :]
        yield path, inner[step]
        inner = inner[step].get("properties", {})


def _facts(name: str, mapping: Json, settings: Json, what: str) -> IndexFacts:
    with reading(what):
        source = mapping.get("_source", {})
        found = IndexFacts(
            name=name,
            properties=_properties(mapping, what),
            excludes=tuple(source.get("excludes", ())),
            recovery_excludes=_left_out_of_recovery(source),
            meta=mapping.get("_meta") or {},
            replicas=_replicas(settings),
            segment_replication=_segment_replication(settings),
            refuses_writes=str(settings.get("index.blocks.write", "false")).lower() == "true",
            settings=settings,
            requires_routing=bool(mapping.get("_routing", {}).get("required", False)),
            source=source,
            dynamic=str(mapping.get("dynamic", "true")).lower(),
        )
        # Read here once, so that nothing which is read later from these can be odd.
        _ = (found.max_window, found.lost_by_updates, found.source_is_lean, bookkeeping.hidden(source))
        _ = found.meta.get(UPGRADE, {}).get("replaces")
        return found


def _properties(mapping: Json, what: str) -> Json:
    """Fields of a mapping or of an object within it, each an object in turn."""
    found = objects(mapping.get("properties", {}), what)
    for each in found.values():
        _properties(each, what)
    return found


def _left_out_of_recovery(source: Json) -> tuple[str, ...]:
    """Patterns of what the recovery source lacks, however the mapping says it."""
    if str(source.get("recovery_source_enabled", True)).lower() == "false":
        return ("*",)
    excludes = tuple(source.get("recovery_source_excludes", ()))
    includes = source.get("recovery_source_includes", ())
    return (*excludes, *(name for name in HEAVY_FIELDS if includes and not _covers(includes, [name])))


def _replicas(settings: Json) -> int:
    """Replicas in flat settings; the server's default where they are silent."""
    expands = str(settings.get("index.auto_expand_replicas", "false")) != "false"
    return 1 if expands else int(settings.get("index.number_of_replicas", 1))


def _segment_replication(settings: Json) -> bool:
    """Whether flat settings ask for segment replication; the server's default where they are silent."""
    return bool(settings.get("index.replication.type", "DOCUMENT") == "SEGMENT")


def _covers(patterns: Sequence[str], names: Iterable[str]) -> bool:
    return all(any(fnmatchcase(name, pattern) for pattern in patterns) for name in names)
