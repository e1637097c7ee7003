"""Index templates: which one makes an index, what setup puts into it and takes out again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sidecar.engines.opensearch.mapping import HEAVY_FIELDS, PROPERTIES
from sidecar.engines.opensearch.templates import Template, behind, warnings
from sidecar.errors import ChercheError, Code
from sidecar.values.index import Fingerprint, IndexMeta, TextField
from tests.unit.sidecar.engines.opensearch.fakes import FakeTransport, Sent, http, refusal

META = IndexMeta("m", Fingerprint("s", "c"), (TextField("title"),), 64)
USERS = {
    "index_patterns": ["logs-*"],
    "priority": 7,
    "template": {
        "settings": {"index": {"number_of_replicas": "0"}},
        "mappings": {
            "_meta": {"mine": 1},
            "_source": {"excludes": ["secret"]},
            "properties": {"title": {"type": "text"}},
        },
    },
}


def put(template: Template, **options: Any) -> dict[str, Any]:
    """Body of the request that sets it up."""
    request = template.setup(META, **{"recovery_source": False, **options})
    assert request is not None
    assert (request.method, request.path) == ("PUT", "/_index_template/logs")
    assert isinstance(request.body, dict)
    return request.body


def test_setup_adds_our_fields_and_keeps_the_users() -> None:
    body = put(Template("logs", USERS, USERS["template"]))  # type: ignore[arg-type]  # a template
    assert {key: body[key] for key in ("index_patterns", "priority")} == {"index_patterns": ["logs-*"], "priority": 7}
    mappings = body["template"]["mappings"]
    assert mappings["properties"] == {"title": {"type": "text"}, **PROPERTIES}
    assert mappings["_meta"] == {"mine": 1, "cherche": META.to_json()}
    assert mappings["_source"] == {"excludes": ["secret", *HEAVY_FIELDS]}


@pytest.mark.parametrize(("kind", "is_lean"), [("SEGMENT", True), ("DOCUMENT", False)])
def test_the_recovery_source_is_lean_under_segment_replication_alone(kind: str, is_lean: bool) -> None:
    composed = {"settings": {"index": {"replication": {"type": kind}}}}
    mappings = put(Template("logs", USERS, composed), recovery_source=True)["template"]["mappings"]
    assert ("recovery_source_excludes" in mappings["_source"]) is is_lean


def test_what_is_set_up_is_not_changed_and_comes_out_again() -> None:
    there = Template("logs", put(Template("logs", USERS, USERS["template"])), USERS["template"])  # type: ignore[arg-type]
    assert there.setup(META, recovery_source=False) is None
    removed = there.removal()
    assert removed is not None
    assert removed.body == USERS
    assert Template("logs", USERS, {}).removal() is None


@pytest.mark.parametrize(
    "users",
    [
        {"index_patterns": ["logs-*"], "data_stream": {}},
        {"index_patterns": ["logs-*"], "template": {"settings": {"index": {"number_of_replicas": "0"}}}},
        {"index_patterns": ["logs-*"], "template": {"mappings": {"properties": {"title": {"type": "text"}}}}},
        {"index_patterns": ["logs-*"], "template": {"mappings": {"dynamic": False, "_source": {"includes": ["a"]}}}},
    ],
)
def test_a_template_is_as_it_was_also_where_it_said_nothing(users: dict[str, Any]) -> None:
    lean = {"settings": {"index": {"replication": {"type": "SEGMENT"}}}}
    for composed in ({}, lean):
        whole = {**composed, **users.get("template", {})}
        removed = Template("logs", put(Template("logs", users, whole), recovery_source=True), whole).removal()
        assert removed is not None
        assert removed.body == users


@pytest.mark.parametrize("said", [{"_source": {"excludes": ["secret"]}}, {"_source": {"includes": ["a"]}}, {}])
@pytest.mark.parametrize("own", [{}, {"template": {"mappings": {"properties": {"title": {"type": "text"}}}}}])
async def test_a_template_made_of_others_is_as_it_was_and_they_are_left_alone(
    said: dict[str, Any], own: dict[str, Any]
) -> None:
    """Of the last component that has a `_source`, setup repeats it, since ours takes its place."""
    cluster = Templates(logs={"index_patterns": ["logs-*"], "composed_of": ["first", "last", "gone"], **own})
    cluster.components = {"first": {"_source": {"excludes": ["other"]}} if said else {}, "last": said}
    template = await found("logs-*", cluster)
    assert template is not None
    there = replace(template, body=put(template))
    assert there.body["template"]["mappings"]["_source"]["excludes"] == [
        *said.get("_source", {}).get("excludes", ()),
        *HEAVY_FIELDS,
    ]
    removed = there.removal()
    assert removed is not None
    assert removed.body == template.body
    assert there.leftovers() == ()


@pytest.mark.parametrize("ours", [{"_meta": {"cherche": {}}}, {"properties": {"cherche_codes": {"type": "binary"}}}])
async def test_our_part_of_a_component_template_is_named(ours: dict[str, Any]) -> None:
    cluster = Templates(logs={"index_patterns": ["logs-*"], "composed_of": ["mine", "both"]})
    cluster.components = {"mine": {"properties": {"n": {"type": "short"}}}, "both": ours}
    template = await found("logs-*", cluster)
    assert template is not None
    [line] = template.leftovers()
    assert line.startswith("component template both, of which template logs is made, holds our part of the mapping")


def test_the_template_that_setup_made_is_deleted() -> None:
    ours = Template("cherche-logs", put(Template("logs", USERS, {})), {})
    removed = ours.removal()
    assert removed is not None
    assert (removed.method, removed.path, removed.body) == ("DELETE", "/_index_template/cherche-logs", None)


class Templates:
    """A cluster with these index templates, and legacy ones."""

    def __init__(self, legacy: dict[str, Any] | None = None, **bodies: Any) -> None:
        self.legacy, self.bodies = legacy or {}, bodies
        self.components: dict[str, Any] = {}

    def __call__(self, request: Sent) -> Any:
        if request.path == "/_template":
            return self.legacy
        if request.path == "/_index_template":
            return self.listed(self.bodies)
        name = request.path.rpartition("/")[2]
        if "_component_template" in request.path:
            if name not in self.components:
                return refusal(404, "resource_not_found_exception", f"no component template {name}")
            body = {"template": {"mappings": self.components[name]}}
            return {"component_templates": [{"name": name, "component_template": body}]}
        if "_simulate" in request.path:
            said = [one["_source"] for one in self.components.values() if "_source" in one]
            template = self.bodies[name].get("template", {})
            mappings = {**({"_source": said[-1]} if said else {}), **template.get("mappings", {})}
            return {"template": {**template, "mappings": mappings}}
        return self.listed({name: {**self.bodies[name], "created_date": 1}})

    @staticmethod
    def listed(bodies: dict[str, Any]) -> dict[str, Any]:
        return {"index_templates": [{"name": name, "index_template": body} for name, body in bodies.items()]}


async def found(index: str, templates: Any, meta: IndexMeta | None = META) -> Template | None:
    return await behind(http(FakeTransport(templates)), index, [], meta)


async def test_of_the_templates_that_fit_the_first_in_priority_wins() -> None:
    low = {"index_patterns": ["*"], "data_stream": {}}
    high = {"index_patterns": ["logs-*"], "priority": 9, "data_stream": {}}
    template = await found("logs-app", Templates(low=low, high=high))
    assert template is not None
    assert (template.name, template.body) == ("high", high)  # without the date, which no cluster takes back
    assert await found("logs-app", Templates(high={**high, "data_stream": None, "index_patterns": ["x"]})) is None
    assert await found("logs-app", Templates(plain={"index_patterns": ["logs-*"]})) is None


async def test_a_pattern_within_a_wider_one_gets_a_copy_that_wins() -> None:
    template = await found("logs-app-*", Templates(logs=USERS))
    assert template is not None
    assert (template.name, template.copied, template.patterns) == ("cherche-logs-app", "logs", ("logs-app-*",))
    assert template.body["priority"] == 8
    [said] = warnings("logs-app-*", template)
    assert "'cherche-logs-app' is a copy of it" in said
    assert await found("logs-app-*", Templates(logs=USERS), None) is None


async def test_a_pattern_without_a_template_gets_one_for_its_fields() -> None:
    template = await found("logs-*", Templates(legacy={"all": {"index_patterns": ["*"]}}))
    assert template is not None
    assert (template.name, template.patterns) == ("cherche-logs", ("logs-*",))
    assert list(template.body["template"]["mappings"]["properties"]) == ["title"]


async def test_a_legacy_template_is_not_hidden() -> None:
    with pytest.raises(ChercheError, match="legacy template 'old' makes indices of 'logs-app-\\*'") as refused:
        await found("logs-app-*", Templates(legacy={"old": {"index_patterns": ["logs-*"]}}))
    assert refused.value.code is Code.FAILED_PRECONDITION


async def test_a_caller_who_may_not_read_templates_has_none() -> None:
    assert await found("logs", lambda _: refusal(403, "security_exception", "no")) is None


def test_a_change_to_other_indices_is_warned_of() -> None:
    template = Template("logs", USERS, {})
    [said] = warnings("logs-app", template)
    assert "makes all indices of logs-*" in said
    assert warnings("logs-*", template) == ()
    assert warnings("logs-app", replace(template, body={"index_patterns": ["logs-*"]})) == ()
