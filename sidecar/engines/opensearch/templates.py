"""Index templates: what the next indices of a data stream or of a pattern are made from."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import quote

from sidecar.engines.opensearch import answers, mapping
from sidecar.engines.opensearch.http import Http, Request, index_path, is_pattern
from sidecar.engines.opensearch.mapping import HEAVY_FIELDS
from sidecar.errors import ChercheError, Code, precondition
from sidecar.values.documents import OWN_FIELDS, RANK_FEATURES, SEISMIC, Json
from sidecar.values.index import IndexMeta

BACKING = ".ds-"  # how names of a data stream's indices begin
# Keys that Elasticsearch 9.2 returns with a template and rejects in a request (elastic/elasticsearch#132083).
_CLUSTERS_OWN = ("created_date", "created_date_millis", "modified_date", "modified_date_millis")
_UNKNOWN = (Code.PERMISSION_DENIED, Code.NOT_FOUND, Code.INVALID_ARGUMENT)


@dataclass(frozen=True, slots=True)
class Template:
    """An index template.

    Attributes
    ----------
    name : str
    body : mapping
        As it is put; empty for one that does not exist yet.
    composed : mapping
        Mappings and settings with those of its component templates.
    copied : str
        Name of the wider template that it is a copy of, for one that does not exist yet.
    components : mapping
        Mappings of its component templates by name, in the order in which they are composed.
    """

    name: str
    body: Json
    composed: Json
    copied: str = ""
    components: Mapping[str, Json] = field(default_factory=dict)

    @property
    def patterns(self) -> tuple[str, ...]:
        """Names of the indices that are made from it."""
        return tuple(self.body.get("index_patterns", ()))

    @property
    def makes_streams(self) -> bool:
        """Whether what is made from it are data streams."""
        return "data_stream" in self.body

    @property
    def path(self) -> str:
        """Path of its requests."""
        return f"/_index_template/{quote(self.name, safe='')}"

    def setup(self, meta: IndexMeta, *, recovery_source: bool) -> Request | None:
        """The request that puts our mapping into it; None where it is there.

        Parameters
        ----------
        recovery_source : bool
            Whether the cluster can leave fields out of the recovery source.

        Raises
        ------
        ChercheError
            FAILED_PRECONDITION for weights that no index of a template is known to hold.
        """
        if meta.weights == SEISMIC:
            raise precondition(
                f"template {self.name!r}: --weights {SEISMIC} is for indices by their own names, not for patterns and "
                "data streams",
                f"set it up with --weights {RANK_FEATURES}",
            )
        with answers.reading(f"template {self.name!r}"):
            template = self.body.get("template", {})
            mappings = template.get("mappings", {})
            # Of the composed template: ours replaces `_source` of a component template as a whole.
            source = dict(self.composed.get("mappings", {}).get("_source", {}))
            source["excludes"] = list(dict.fromkeys((*source.get("excludes", ()), *HEAVY_FIELDS)))
            if mapping.lean_recovery(flat(self.composed.get("settings", {})), known=recovery_source):
                source["recovery_source_excludes"] = list(HEAVY_FIELDS)
            ours = {
                **mappings,
                "_source": source,
                "_meta": {**mappings.get("_meta", {}), "cherche": meta.to_json()},
                "properties": mapping.completed(mappings.get("properties", {}), meta),
            }
            if ours == mappings:
                return None
            return Request("PUT", self.path, {**self.body, "template": {**template, "mappings": ours}})

    def removal(self) -> Request | None:
        """The request that takes our mapping out again; None where there is none."""
        with answers.reading(f"template {self.name!r}"):
            template = self.body.get("template", {})
            mappings = template.get("mappings", {})
            if not _has_ours(mappings):
                return None
            if self.name == own_name(self.patterns):
                return Request("DELETE", self.path)
            source, properties = _source(mappings), mappings.get("properties", {})
            # Setup repeated what the last of the component templates says of it.
            inherited = [_source(one) for one in self.components.values() if "_source" in one]
            changed = {
                "_source": {} if [source] == inherited[-1:] else source,
                "_meta": {key: value for key, value in mappings.get("_meta", {}).items() if key != "cherche"},
                "properties": {key: spec for key, spec in properties.items() if key not in OWN_FIELDS},
            }
            # What holds nothing else was not there before setup.
            left = {key: value for key, value in {**mappings, **changed}.items() if value or key not in changed}
            parts = {**template, "mappings": left}
            kept = {key: value for key, value in parts.items() if value or key != "mappings"}
            body = {**self.body, "template": kept}
            return Request("PUT", self.path, {key: value for key, value in body.items() if value or key != "template"})

    def leftovers(self) -> tuple[str, ...]:
        """What stays: our part of a component template, which other templates may be made of too."""
        with answers.reading(f"template {self.name!r}"):
            holding = [name for name, mappings in self.components.items() if _has_ours(mappings)]
        return tuple(
            f"component template {name}, of which template {self.name} is made, holds our part of the mapping: the "
            "next indices will have it — take its cherche_* fields and _meta.cherche out"
            for name in holding
        )


def _has_ours(mappings: Json) -> bool:
    return "cherche" in mappings.get("_meta", {}) or any(name in OWN_FIELDS for name in mappings.get("properties", {}))


def _source(mappings: Json) -> dict[str, Any]:
    """Its `_source` without what we exclude of it."""
    source = {**mappings.get("_source", {})}
    source["excludes"] = [name for name in source.get("excludes", ()) if name not in HEAVY_FIELDS]
    if source.get("recovery_source_excludes") == list(HEAVY_FIELDS):
        del source["recovery_source_excludes"]
    return {key: value for key, value in source.items() if value or key != "excludes"}


def own_name(patterns: Sequence[str]) -> str:
    """Name of the template that setup makes for a pattern which has none.

    >>> own_name(["Logs-*-eu"])
    'cherche-logs-eu'
    """
    words = re.findall(r"[a-z0-9]+", " ".join(patterns).lower())
    return "-".join(("cherche", *words))


async def behind(http: Http, index: str, names: Sequence[str], meta: IndexMeta | None = None) -> Template | None:
    """The template that makes the next index behind a name: of a data stream, or of a pattern.

    Parameters
    ----------
    names : sequence of str
        Indices behind the name now.
    meta : IndexMeta or None
        Of a pattern that is set up: where no template makes its indices a new one is described, and where one
        makes others too a copy of that one.

    Raises
    ------
    ChercheError
        FAILED_PRECONDITION where a legacy template makes the pattern's indices.
    """
    if is_pattern(index):
        return await _of_pattern(http, index, meta)
    if not names:
        found = await _matching(http, index)
        return found if found is not None and found.makes_streams else None
    if index not in names and any(name.startswith(BACKING) for name in names):
        return await _of_stream(http, index)
    return None


def stream(index: str) -> Request:
    """The request that makes a data stream."""
    return Request("PUT", f"/_data_stream{index_path(index)}")


def warnings(index: str, template: Template) -> tuple[str, ...]:
    """What people should know before a template is changed."""
    if template.copied:
        said = f"template {template.copied!r} makes other indices too: {template.name!r} is a copy of it for {index}"
        return (f"{said}, which you will have to change with it",)
    patterns = ", ".join(template.patterns)
    if not template.body.get("template") or template.patterns == (index,):
        return ()
    return (f"template {template.name!r} makes all indices of {patterns}: their next ones will be set up as well",)


async def _of_stream(http: Http, index: str) -> Template | None:
    try:
        reply = await http.send(Request("GET", f"/_data_stream{index_path(index)}"), what=f'index "{index}"')
    except ChercheError as error:
        if error.code in _UNKNOWN:  # an alias of a stream, or a caller who may not ask
            return None
        raise
    with answers.reading(f'index "{index}"'):
        names = [str(one["template"]) for one in reply["data_streams"] if "template" in one]
    return await _named(http, names[0]) if names else None


async def _of_pattern(http: Http, pattern: str, meta: IndexMeta | None) -> Template | None:
    found = await _matching(http, pattern)
    if found is None:
        return None if meta is None else await _new(http, pattern, meta)
    if pattern in found.patterns:
        return found
    if meta is None:
        return None
    # It must win, and two templates that overlap with equal priority are refused.
    with answers.reading(f"template {found.name!r}"):
        body = {**found.body, "index_patterns": [pattern], "priority": int(found.body.get("priority", 0)) + 1}
    return replace(found, name=own_name([pattern]), body=body, copied=found.name)


async def _new(http: Http, pattern: str, meta: IndexMeta) -> Template:
    legacy = await http.send(Request("GET", "/_template"), what="templates")
    for name, body in answers.objects(legacy, "templates").items():
        # A legacy template for "*" sets defaults of the whole cluster, which every index template hides anyway.
        if any(covers(one, pattern) for one in body.get("index_patterns", ()) if one != "*"):
            raise precondition(
                f"legacy template {name!r} makes indices of {pattern!r}, and an index template would hide it",
                "put an index template in its place and run the command again",
            )
    fields = {field.name: dict(mapping.NEW_TEXT) for field in meta.fields}
    body = {"index_patterns": [pattern], "template": {"mappings": {"properties": fields}}}
    return Template(own_name([pattern]), body, {})


async def _matching(http: Http, name: str) -> Template | None:
    """Of the templates that would make an index of a name, or of all names of a pattern, the one that wins."""
    try:
        reply = await http.send(Request("GET", "/_index_template"), what="templates")
    except ChercheError as error:
        if error.code in _UNKNOWN:
            return None
        raise
    with answers.reading("templates"):
        bodies: Mapping[str, Any] = {str(one["name"]): one["index_template"] for one in reply["index_templates"]}
        found = [key for key, body in bodies.items() if any(covers(one, name) for one in body["index_patterns"])]
        best = max(found, key=lambda key: int(bodies[key].get("priority", 0)), default=None)
    return None if best is None else await _named(http, best)


async def _named(http: Http, name: str) -> Template:
    path = quote(name, safe="")
    what = f"template {name!r}"
    reply = await http.send(Request("GET", f"/_index_template/{path}"), what=what)
    composed = await http.send(Request("POST", f"/_index_template/_simulate/{path}"), what=what)
    with answers.reading(what):
        [found] = reply["index_templates"]
        body = {key: value for key, value in found["index_template"].items() if key not in _CLUSTERS_OWN}
        if not all(isinstance(one, str) for one in body["index_patterns"]):
            raise answers.odd(what, "its patterns are no texts")
        parts = [str(one) for one in body.get("composed_of", ())]
    components = {one: await _component(http, one) for one in parts}
    return Template(name, body, answers.part(composed, what, "template"), components=components)


async def _component(http: Http, name: str) -> Json:
    """Mappings of a component template; {} of one that is not there, or that the caller must not read."""
    what = f"component template {name!r}"
    try:
        reply = await http.send(Request("GET", f"/_component_template/{quote(name, safe='')}"), what=what)
    except ChercheError as error:
        if error.code in _UNKNOWN:
            return {}
        raise
    with answers.reading(what):
        [found] = reply["component_templates"]
        mappings: Json = found["component_template"]["template"].get("mappings", {})
        return mappings


def covers(pattern: str, name: str) -> bool:
    """Whether a template's pattern holds for a name, or for every name of a pattern.

    >>> covers("logs-*", "logs-app-*"), covers("logs-app-*", "logs-*")
    (True, False)
    """
    return fnmatchcase(name, pattern)


def flat(settings: Json, prefix: str = "") -> dict[str, Any]:
    """Nested settings under dotted names.

    >>> flat({"index": {"number_of_replicas": "0"}})
    {'index.number_of_replicas': '0'}
    """
    found: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = value
    return found
