"""Whether fields can be encoded, read and searched in indices as they are, the users' and ours. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sidecar.engines.opensearch import bookkeeping, seismic
from sidecar.engines.opensearch.mapping import PROPERTIES, IndexFacts, path_to
from sidecar.errors import ChercheError, precondition
from sidecar.values.documents import RANK_FEATURES, SEISMIC, SPARSE_VECTOR, WEIGHTS, Json
from sidecar.values.index import ANOTHER_INDEX, IndexMeta

# Of other types a full-text query finds nothing, or refuses to search them for words.
_SEARCHED = (
    "text",
    "match_only_text",
    "search_as_you_type",
    "annotated_text",
    "keyword",
    "constant_keyword",
    "wildcard",
)


def check(index: str, found: Sequence[IndexFacts], meta: IndexMeta, documents: int) -> tuple[str, ...]:
    """What people should know of the fields; refuses those that could never be encoded or searched.

    Raises
    ------
    ChercheError
        FAILED_PRECONDITION naming the field, the reason and the next step.
    """
    missing: list[str] = []
    unsearched: list[str] = []
    check_readable(found)
    for name in (field.name for field in meta.fields):
        specs = [(each, *_lookup(name, each.properties)) for each in found]
        for each, spec, reason in specs:
            _check_source(name, each)
            if reason:
                raise precondition(f'field {name!r} of index "{each.name}" {reason}', "name another one with --fields")
            if spec is not None:
                _check_type(name, each, spec)
            unsearched += _nested(name, each)
            unsearched += _copied(name, each)
        if all(spec is None for _, spec, _ in specs):
            missing.append(name)
    if missing:
        unsearched += _missing(index, missing, found, documents, all_are=len(missing) == len(meta.fields))
    return tuple(unsearched)


def check_readable(found: Sequence[IndexFacts]) -> None:
    """Refuse indices whose documents cannot be read back as they were written.

    Raises
    ------
    ChercheError
        FAILED_PRECONDITION naming the index, the reason and the next step.
    """
    for each in found:
        if (error := _unreadable(each)) is not None:
            raise error


def hazards(found: Sequence[IndexFacts]) -> tuple[str, ...]:
    """Indices whose documents cannot be told from those that are not encoded, each with its next step."""
    return tuple(
        f'index "{each.name}" leaves {" and ".join(hidden)} out of _source: nothing that reads a document sees whether '
        f"it is encoded, so a backfill is refused and a feed encodes everything again — {ANOTHER_INDEX}"
        for each in found
        if (hidden := bookkeeping.hidden(each.source))
    )


def mistyped(each: IndexFacts, *, sparse_vector: bool = False) -> str:
    """A field of ours that has another type in an index, "" where there is none.

    Parameters
    ----------
    sparse_vector : bool
        Whether the cluster has queries for such fields, which weights may lie in then.
    """
    for name, spec in PROPERTIES.items():
        kind = _kind(each.properties.get(name, spec))
        if kind != spec["type"] and not (name == WEIGHTS and kind == SPARSE_VECTOR and sparse_vector):
            return name
    return ""


def check_types(found: Sequence[IndexFacts], *, sparse_vector: bool = False) -> None:
    """Refuse indices in which fields of ours have other types; `sparse_vector` as in `mistyped`.

    Raises
    ------
    ChercheError
        FAILED_PRECONDITION.
    """
    for each in found:
        if name := mistyped(each, sparse_vector=sparse_vector):
            kind, wanted = _kind(each.properties[name]), PROPERTIES[name]["type"]
            raise precondition(
                f'field {name} of index "{each.name}" has type {kind}, not {wanted}: documents with it came before the '
                "index was set up, as by _reindex from an encoded index",
                "run: cherche setup NEW, then _reindex into NEW with "
                f'"source": {{"index": "{each.name}", "_source": {{"excludes": ["cherche_*"]}}}}, then: '
                "cherche backfill NEW",
            )


def check_weights(found: Sequence[IndexFacts], meta: IndexMeta, *, sparse_vector: bool) -> None:
    """Refuse indices whose weights cannot lie as an index is to be set up: no field changes its type.

    Parameters
    ----------
    sparse_vector : bool
        Whether Elasticsearch queries its own field of that type, which takes the place of rank_features then.

    Raises
    ------
    ChercheError
        FAILED_PRECONDITION naming the index, the reason and the next step.
    """
    for each in found:
        step = f"run: cherche upgrade {each.name} --weights {meta.weights} --replace"
        kind = seismic.kind(each.properties.get(WEIGHTS, {"type": meta.weights}))
        if kind != meta.weights and not (kind == SPARSE_VECTOR and sparse_vector and meta.weights == RANK_FEATURES):
            raise precondition(
                f'index "{each.name}" holds weights as {kind}, not as {meta.weights}: no field changes its type', step
            )
        if meta.weights == SEISMIC and not seismic.is_sparse(each.settings):
            raise precondition(
                f'index "{each.name}" was created without {seismic.SETTING}, which no index gets later', step
            )


def _kind(spec: Json) -> str:
    return str(spec.get("type", "object"))  # which the mapping of an object does not state


def _unreadable(each: IndexFacts) -> ChercheError | None:
    """Why documents cannot be read back as they were written."""
    mode = each.settings.get("index.mapping.source.mode", each.source.get("mode", "stored"))
    reason = ""
    if str(each.source.get("enabled", True)).lower() == "false":
        reason = "keeps no _source"
    elif str(each.settings.get("index.derived_source.enabled", "false")).lower() == "true":
        reason = "derives its _source from other fields, which weights and codes are not among"
    elif mode != "stored":
        reason = f"has a {mode} _source"
    if not reason:
        return None
    return precondition(
        f'index "{each.name}" {reason}: its documents cannot be encoded where they are',
        "make an index that stores _source, set that up and feed it",
    )


def _lookup(name: str, properties: Json) -> tuple[Json | None, str]:
    """Mapping of a field, None where there is none; and why it cannot be encoded."""
    found: list[tuple[str, Json]] = [("", {}), *path_to(name, properties)]
    if any(each.get("enabled") is False for _, each in found):
        return None, "lies in an object with enabled: false, which is not searched"
    path, spec = found[-1]
    if path == name:
        return spec, ""
    is_sub_field = path and name[len(path) + 1 :] in spec.get("fields", {})
    return None, "is a sub-field, which documents do not hold" if is_sub_field else ""


def _nested(name: str, each: IndexFacts) -> list[str]:
    """What to say of a field whose words lie in documents of their own, which only nested queries search."""
    within = [(path, spec) for path, spec in path_to(name, each.properties) if spec.get("type") == "nested"]
    if not within or any(spec.get("include_in_root") or spec.get("include_in_parent") for _, spec in within):
        return []
    path = within[0][0]
    return [
        f'field {name!r} of index "{each.name}" lies in {path!r}, which is nested: it is encoded, but of a plain query '
        f"BM25 finds none of its words — map {path} with include_in_root, or search with a nested query"
    ]


def _copied(name: str, each: IndexFacts) -> list[str]:
    """What to say of a field that copies fill: ``_source``, which is what is encoded, has none of them."""
    sources = sorted(path for path, spec in _all(each.properties) if name in _listed(spec.get("copy_to", ())))
    if not sources:
        return []
    return [
        f'field {name!r} of index "{each.name}" is filled by copy_to from {", ".join(sources)}: what is copied is '
        "searched and not encoded — name these with --fields"
    ]


def _all(properties: Json, prefix: str = "") -> Iterator[tuple[str, Json]]:
    for name, spec in properties.items():
        yield f"{prefix}{name}", spec
        yield from _all(spec.get("properties", {}), f"{prefix}{name}.")


def _listed(names: str | Sequence[str]) -> Sequence[str]:
    return [names] if isinstance(names, str) else names


def _check_source(name: str, each: IndexFacts) -> None:
    if bookkeeping.leaves_out(each.source, name):
        raise precondition(
            f'field {name!r} of index "{each.name}" is left out of _source: its text cannot be read',
            "name another one with --fields",
        )


def _check_type(name: str, each: IndexFacts, spec: Json) -> None:
    kind = _kind(spec)
    if kind == "alias":
        raise precondition(f'field {name!r} of index "{each.name}" is an alias', f"name {spec.get('path')} instead")
    if kind not in _SEARCHED:
        raise precondition(
            f'field {name!r} of index "{each.name}" is of type {kind}, which no full-text query searches',
            "name a text field with --fields",
        )
    if spec.get("index", True) is False:
        raise precondition(
            f'field {name!r} of index "{each.name}" has index: false, so nothing searches it', "name another --fields"
        )


def _missing(
    index: str, names: Sequence[str], found: Sequence[IndexFacts], documents: int, *, all_are: bool
) -> list[str]:
    """What to say of fields that no index has; refused where no document can ever hold them, or none holds any."""
    closed = [each.name for each in found if each.dynamic in ("strict", "false")]
    texts = sorted({one for each in found for one, spec in each.properties.items() if spec.get("type") == "text"})
    held = f"name those that hold text with --fields, such as {', '.join(texts[:5])}" if texts else "name others"
    listed = ", ".join(map(repr, names))
    if closed or (documents and all_are):
        reason = "its mapping takes no others" if closed else f"none of its {documents:,} documents has one"
        raise precondition(f"{listed}: no such field in {index!r}, and {reason}", held)
    if documents:
        return [f"{listed}: no document of {index!r} has such a field — {held}"]
    return [f"{listed}: not mapped in {index!r}, so the first document that has it decides its type"]
