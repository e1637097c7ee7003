"""Taking the neural part out: what is planned, in which order it is done, and that it ends."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from sidecar.engines.opensearch import templates
from sidecar.engines.opensearch.mapping import UPGRADE
from sidecar.engines.opensearch.removal import MAX_ROUNDS
from sidecar.engines.opensearch.templates import Template
from sidecar.errors import ChercheError, Code
from tests.unit.sidecar.engines.opensearch.fakes import UNSCRIPTED, FakeTransport, Naps, Sent, engine

OURS = {"cherche_hash": "h", "cherche_state": "ok"}


@dataclass
class Cluster:
    """One index of one shard; a document is (sequence number, source)."""

    documents: dict[str, tuple[int, dict[str, Any]]]
    unscripted: str = ""
    settings: dict[str, str] = field(default_factory=dict)
    meta: dict[str, Any] = field(default_factory=dict)
    excludes: list[str] = field(default_factory=list)
    pipelines: dict[str, Any] = field(default_factory=dict)
    indices: dict[str, Any] = field(default_factory=dict)
    others: dict[str, Any] = field(default_factory=dict)
    templates: dict[str, Any] = field(default_factory=dict)
    restless: bool = False
    done: list[str] = field(default_factory=list)

    def __call__(self, request: Sent) -> Any:
        name = request.path.rpartition("/")[2]
        if request.path == "/books/_mapping" and request.method == "GET":
            properties = {"title": {"type": "text"}, "secret": {"type": "keyword"}}
            mappings = {"_meta": self.meta, "_source": {"excludes": self.excludes}, "properties": properties}
            return {"books": {"mappings": mappings}}
        if request.path == "/books/_settings/index.final_pipeline" or request.path == "/books/_settings":
            if request.method == "GET":
                return {"books": {"settings": self.settings}}
        elif request.path in ("/_index_template", "/_component_template", "/_template"):
            kind = request.path[2:]
            if kind == "template":
                return self.templates.get(kind, {})
            named = self.templates.get(kind, {}).items()
            return {f"{kind}s": [{"name": name, kind: {"template": template}} for name, template in named]}
        elif request.path == "/_all/_settings":
            return {"books": {"settings": self.settings}, **self.others}
        elif request.path == "/books/_stats/docs,indexing":
            mark = max(number for number, _ in self.documents.values())
            primary = {"routing": {"primary": True}, "indexing": {"delete_total": 0}}
            copy = {**primary, "seq_no": {"global_checkpoint": mark}}
            return {"_shards": {}, "indices": {"books": {"uuid": "u", "shards": {"0": [copy]}}}}
        elif request.path == "/books/_search":
            return self.search(request.body)
        elif request.path == "/_mget":
            return {"docs": [self.raw(doc["_id"]) | {"found": True} for doc in request.body["docs"]]}
        elif request.path == "/_bulk":
            lines = [json.loads(line) for line in request.body.splitlines()]
            return {"items": [self.bulk(*pair) for pair in zip(lines[::2], lines[1::2], strict=True)]}
        elif request.path.startswith(("/_ingest", "/_search/pipeline")) and request.method == "GET":
            return self.pipelines
        elif name in self.indices and request.method == "GET":
            return {name: self.indices[name]}
        if request.method in ("PUT", "DELETE"):
            self.done.append(f"{request.method} {request.path}")
        return [] if request.path.startswith("/_cat") else {}

    def search(self, body: Any) -> Any:
        touched = [id for id, (_, source) in self.documents.items() if set(source) & set(OURS)]
        if body["size"] == 0:
            buckets = [{"doc_count": len(touched)}]
            return {"hits": {"total": {"value": 9}}, "aggregations": {"counts": {"buckets": buckets}}}
        if self.restless:
            number, source = self.documents["a"]
            self.documents["a"] = (number + 1, {**source, **OURS})
        seen = body["query"]["bool"]["filter"][0]["range"]["_seq_no"]
        hits = [self.raw(id) for id in touched if seen["gt"] < self.documents[id][0] <= seen["lte"]]
        return {"_shards": {}, "hits": {"hits": hits}}

    def raw(self, id: str) -> dict[str, Any]:
        number, source = self.documents[id]
        users = {key: value for key, value in source.items() if key not in OURS}
        version = {"_seq_no": number, "_primary_term": 1, "_version": 7, "_routing": "r"}
        return {"_index": "books", "_id": id, **version, "_source": users}

    def bulk(self, action: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
        [(verb, line)] = action.items()
        number, source = self.documents[line["_id"]]
        assert line["routing"] == "r"
        if verb == "update" and self.unscripted:
            cause = {"type": "illegal_argument_exception", "reason": self.unscripted}
            error = {"type": "illegal_argument_exception", "reason": "failed to execute script", "caused_by": cause}
            return {verb: {"_id": line["_id"], "status": 400, "error": error}}
        if line.get("version_type"):
            assert (verb, line["version"], line["version_type"]) == ("index", 7, "external_gte")
        elif line["if_seq_no"] != number:
            error = {"type": "version_conflict_engine_exception", "reason": "newer"}
            return {verb: {"_id": line["_id"], "status": 409, "error": error}}
        assert verb == "update" or line["pipeline"] == "_none"
        left = {key: value for key, value in source.items() if key not in OURS} if verb == "update" else body
        self.documents[line["_id"]] = (number + 100, left)
        self.done.append(f"{verb} {line['_id']}")
        return {verb: {"_id": line["_id"], "status": 200}}


@pytest.mark.parametrize("reason", ["", *UNSCRIPTED])
async def test_only_documents_with_fields_of_ours_are_written_and_past_every_pipeline(reason: str) -> None:
    cluster = Cluster({"a": (1, {"title": "x", **OURS}), "b": (2, {"title": "y"})}, reason)
    removed = await engine(FakeTransport(cluster)).remove("books")
    assert (removed.documents, removed.remains) == (1, ())
    assert cluster.documents == {"a": (101, {"title": "x"}), "b": (2, {"title": "y"})}
    assert cluster.done == ["index a" if reason else "update a"]


async def test_documents_keep_the_versions_of_their_owner_where_that_is_asked_for() -> None:
    cluster = Cluster({"a": (1, {"title": "x", **OURS}), "b": (2, {"title": "y"})})
    removed = await engine(FakeTransport(cluster)).remove("books", keeps_versions=True)
    assert removed.changes == (
        "1 documents are written without our fields, so their _seq_no rises, and their _version stays",
    )
    assert cluster.documents == {"a": (101, {"title": "x"}), "b": (2, {"title": "y"})}
    assert cluster.done == ["index a"]


async def test_without_scripts_a_final_pipeline_would_change_documents_so_none_is_written() -> None:
    cluster = Cluster({"a": (1, {"title": "x", **OURS})}, UNSCRIPTED[0], {"index.final_pipeline": "stamp"})
    cluster.pipelines["stamp"] = {"processors": [{"set": {}}]}
    with pytest.raises(ChercheError, match='final pipeline "stamp"') as refused:
        await engine(FakeTransport(cluster)).remove("books")
    assert "script.allowed_types" in str(refused.value)
    assert cluster.done == []


async def test_a_removal_that_others_outrun_for_ever_ends_after_a_bound() -> None:
    cluster = Cluster({"a": (1, {"title": "x", **OURS})}, restless=True)
    transport = FakeTransport(cluster)
    with pytest.raises(ChercheError, match="keep writing") as refused:
        await engine(transport, sleep=Naps()).remove("books")
    assert refused.value.code == Code.FAILED_PRECONDITION
    searches = [sent for sent in transport.sent if sent.path == "/books/_search" and sent.body["size"]]
    assert len(searches) <= MAX_ROUNDS


async def test_a_field_that_source_lacks_is_not_lost_to_a_removal() -> None:
    cluster = Cluster({"a": (1, {"title": "x", **OURS})}, excludes=["secret", "cherche_*"])
    removed = await engine(FakeTransport(cluster)).remove("books")
    assert removed.documents == 0
    assert any("lacks secret" in line for line in removed.remains)
    assert "cherche_hash" in cluster.documents["a"][1]


@pytest.mark.parametrize("block", ["write", "read_only", "read_only_allow_delete"])
@pytest.mark.parametrize("dry_run", [True, False])
async def test_an_index_that_refuses_writes_is_found_out_before_anything_is_changed(block: str, dry_run: bool) -> None:
    settings = {f"index.blocks.{block}": "true", "index.default_pipeline": "cherche"}
    cluster = Cluster({"a": (1, {"title": "x", **OURS})}, settings=settings)
    with pytest.raises(ChercheError, match=f"set index.blocks.{block} to null .* nothing was changed") as caught:
        await engine(FakeTransport(cluster)).remove("books", dry_run=dry_run)
    assert (caught.value.code, cluster.done) == (Code.FAILED_PRECONDITION, [])


async def test_a_dry_run_names_everything_and_writes_nothing() -> None:
    cluster = Cluster(
        {"a": (1, {"title": "x", **OURS})},
        settings={"index.default_pipeline": "cherche", "index.final_pipeline": "mixed"},
        meta={"owner": "us", UPGRADE: {"successor": "next"}},
        pipelines={
            "cherche": {"processors": [{"cherche_encode": {}}]},
            "mixed": {"processors": [{"cherche_encode": {}}, {"set": {}}]},
        },
        indices={"next": {"mappings": {"_meta": {UPGRADE: {"replaces": ["books"]}}}, "aliases": {}}},
    )
    ours = engine(FakeTransport(cluster))
    line = await ours.remove("books", dry_run=True)
    assert line.changes == (
        "1 documents are written without our fields, so their _version and _seq_no rise",
        "books: index.default_pipeline was cherche, and is unset",
        "pipeline cherche is deleted",
        "index next, which an upgrade prepared, is deleted",
    )
    assert line.remains == ("books: index.final_pipeline mixed has processors of ours beside others — take them out",)
    assert cluster.done == []
    assert await ours.remove("books") == line
    assert cluster.done == [
        "PUT /books/_settings",
        "PUT /books/_mapping",
        "update a",
        "DELETE /_ingest/pipeline/cherche",
        "DELETE /next",
    ]


@pytest.mark.parametrize(
    ("steps", "where"),
    [
        ({"processors": [{"pipeline": {"name": "enc"}}]}, "in pipeline enc"),
        ({"processors": [{"pipeline": {"name": "deep"}}]}, "in pipeline enc"),
        ({"processors": [{"foreach": {"field": "parts", "processor": {"cherche_encode": {}}}}]}, "in foreach"),
        ({"processors": [{"set": {"field": "a", "on_failure": [{"cherche_encode": {}}]}}]}, "in on_failure"),
        ({"processors": [{"set": {}}], "on_failure": [{"cherche_encode": {}}]}, "in on_failure"),
        ({"processors": [{"set": {}}, {"cherche_encode": {}}]}, "beside others"),
        ({"processors": [{"set": {}}, {"pipeline": {"name": "users"}}]}, ""),
        ({"processors": [{"pipeline": {"name": "users"}}, {"pipeline": {"name": "gone"}}]}, ""),
    ],
)
async def test_processors_of_ours_are_listed_wherever_a_pipeline_runs_them(steps: Any, where: str) -> None:
    cluster = Cluster({"a": (1, {"title": "x"})}, settings={"index.default_pipeline": "mine"})
    cluster.pipelines = {
        "mine": steps,
        "deep": {"processors": [{"pipeline": {"name": "mine"}}, {"pipeline": {"name": "enc"}}]},
        "enc": {"processors": [{"cherche_encode": {}}]},
        "users": {"processors": [{"set": {}}]},
    }
    removed = await engine(FakeTransport(cluster)).remove("books")
    said = f"books: index.default_pipeline mine has processors of ours {where} — take them out"
    assert removed.remains == ((said,) if where else ())
    assert cluster.done == []


async def test_a_pipeline_that_another_one_runs_is_not_deleted() -> None:
    cluster = Cluster({"a": (1, {"title": "x"})}, settings={"index.default_pipeline": "enc"})
    outer = {"processors": [{"foreach": {"processor": {"pipeline": {"name": "enc"}}}}]}
    cluster.pipelines = {"enc": {"processors": [{"cherche_encode": {}}]}, "outer": outer}
    removed = await engine(FakeTransport(cluster)).remove("books")
    assert removed.remains == ("pipeline enc: pipeline outer uses it too",)
    assert cluster.done == ["PUT /books/_settings"]


@pytest.mark.parametrize("kind", ["index_template", "component_template", "template"])
@pytest.mark.parametrize("setting", ["default_pipeline", "search.default_pipeline"])
async def test_a_pipeline_that_indices_to_come_will_have_is_not_deleted(kind: str, setting: str) -> None:
    processors = {"processors": [{"cherche_encode": {}}], "request_processors": [{"cherche_query": {}}]}
    cluster = Cluster({"a": (1, {"title": "x"})}, settings={f"index.{setting}": "enc"}, pipelines={"enc": processors})
    nested: Any = "enc"
    for key in reversed(setting.split(".")):
        nested = {key: nested}
    cluster.templates = {
        kind: {"logs": {"settings": {"index": nested}}, "other": {"settings": {"index": {"a": "enc"}}}}
    }
    removed = await engine(FakeTransport(cluster)).remove("books")
    said = f"{kind.replace('_', ' ')} logs" if kind != "template" else "legacy template logs"
    assert removed.remains == (f"pipeline enc: {said} uses it too",)
    assert cluster.done == ["PUT /books/_settings"]


@pytest.mark.parametrize(("name", "verb"), [("books", "is without our part of"), ("cherche-books", "is deleted")])
async def test_a_template_that_is_changed_is_named(monkeypatch: pytest.MonkeyPatch, name: str, verb: str) -> None:
    mappings = {"_meta": {"cherche": {}}, "properties": {"cherche_codes": {}, "title": {}}}
    template = Template(
        name, {"index_patterns": ["books"], "template": {"mappings": mappings}}, {}, components={"c": mappings}
    )

    async def behind(*_: Any) -> Template:
        return template

    monkeypatch.setattr(templates, "behind", behind)
    cluster = Cluster({"a": (1, {"title": "x"})})
    line = await engine(FakeTransport(cluster)).remove("books", dry_run=True)
    assert [line for line in line.changes if line.startswith(f"template {name} {verb}")] == list(line.changes)
    assert len(line.changes) == 1
    assert [line.split(",")[0] for line in line.remains] == ["component template c"]
    assert cluster.done == []
    await engine(FakeTransport(cluster)).remove("books")
    assert cluster.done == [f"{'DELETE' if 'deleted' in verb else 'PUT'} /_index_template/{name}"]


async def test_what_others_use_or_serve_is_not_deleted() -> None:
    cluster = Cluster(
        {"a": (1, {"title": "x"})},
        settings={"index.default_pipeline": "cherche"},
        meta={UPGRADE: {"successor": "next", "replaces": ["before"]}},
        pipelines={"cherche": {"processors": [{"cherche_encode": {}}]}},
        indices={"next": {"mappings": {"_meta": {UPGRADE: {"replaces": ["books"]}}}, "aliases": {"live": {}}}},
        others={"films": {"settings": {"index.default_pipeline": "cherche"}}},
    )
    removed = await engine(FakeTransport(cluster)).remove("books")
    assert "pipeline cherche: films uses it too" in removed.remains
    assert any(line.startswith("before, if it is still there: kept for a rollback") for line in removed.remains)
    assert cluster.done == ["PUT /books/_settings", "PUT /books/_mapping"]
