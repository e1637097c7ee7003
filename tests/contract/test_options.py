"""What protos, READMEs and the plugin say of an option is what its row says; of a limit, what its setting says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sidecar.cli import reference
from sidecar.config import Limits
from sidecar.pb.cherche.v1 import index_pb2, plugin_pb2, search_pb2
from sidecar.pipeline import Limits as PipelineLimits
from sidecar.values.index import IndexOptions, TextField
from sidecar.values.options import Option, options
from sidecar.values.search import SearchRequest

ROOT = Path(__file__).parents[2]
PROTOS = ROOT / "protos" / "cherche" / "v1"
JAVA = ROOT / "opensearch" / "plugin" / "src" / "main" / "java" / "org" / "cherche" / "opensearch"
# Option that tunes a search → why the plugin does not take it.
NOT_IN_THE_PLUGIN = {
    "reranker": "MaxSim runs over the codes that the shards hold",
    **dict.fromkeys(("fusion", "rank_constant", "fusion_window"), "a shard knows its own hits, not their global ranks"),
}
MEAN_OTHER_THINGS = {"text": "which text is encoded", "mode": "whether anything is done"}


def comments(file: str, block: str) -> dict[str, str]:
    """Field or value of a message or enum → the comment above it."""
    body = re.search(rf"^{block} {{\n(.*?)^}}", (PROTOS / file).read_text(), re.MULTILINE | re.DOTALL)
    assert body is not None, block
    found = re.findall(r"((?:^ +// .*\n)+) +(?:\w[\w ]* )?(\w+) = \d+;", body[1], re.MULTILINE)
    return {name: " ".join(line.strip(" /") for line in text.splitlines()) for text, name in found}


def stated(row: Option, message: type) -> str:
    """How a comment must say what the absence of a value stands for; "" where nothing but absence."""
    field = message.DESCRIPTOR.fields_by_name[row.wire]  # type: ignore[attr-defined]  # of every message
    shown = f"{row.default:g}" if isinstance(row.default, float) else row.default
    default = row.unset or (shown if row.default and row.kind is not bool else "")
    absent = "unset" if field.has_presence else "empty" if row.kind in (str, tuple) else "0"
    return f"{absent} for {default}" if default and not row.choices else ""


TABLES = [
    ("search.proto", SearchRequest, search_pb2.SearchRequest),
    ("plugin.proto", SearchRequest, plugin_pb2.PrepareQueryRequest),
    ("index.proto", IndexOptions, index_pb2.IndexOptions),
    ("index.proto", TextField, index_pb2.TextField),
]
ROWS = [
    pytest.param(file, row, message, id=f"{message.DESCRIPTOR.name}.{row.name}")
    for file, kind, message in TABLES
    for row in options(kind).values()
    if row.wire in message.DESCRIPTOR.fields_by_name
]


@pytest.mark.parametrize(("file", "row", "message"), ROWS)
def test_a_protos_comment_states_default_and_bounds(file: str, row: Option, message: type) -> None:
    comment = comments(file, f"message {message.DESCRIPTOR.name}")[row.wire]  # type: ignore[attr-defined]
    assert stated(row, message) in comment
    if row.most is not None:
        assert f"at most {row.most:g}" in comment or f", {row.most:g}]" in comment


@pytest.mark.parametrize("name", ["mode", "query_mode"])
def test_an_enums_comment_states_the_default(name: str) -> None:
    row, enum = options(SearchRequest)[name], search_pb2.SearchRequest.DESCRIPTOR.fields_by_name[name].enum_type
    assert enum is not None
    first = comments("search.proto", f"enum {enum.name}")[enum.values_by_number[0].name]
    assert first == f"The default: {row.default}."


def test_the_checks_of_comments_can_fail() -> None:
    row = options(SearchRequest)["query_terms"]
    assert stated(row, search_pb2.SearchRequest) == "0 for 16"
    assert stated(options(SearchRequest)["rerank_weight"], search_pb2.SearchRequest) == "unset for the index's setting"
    assert comments("search.proto", "message SearchRequest")["query_terms"].endswith("; 0 for 16.")


def test_the_plugins_readme_is_fresh() -> None:
    readme = reference.PLUGIN.read_text(encoding="utf-8")
    assert readme == reference.with_options(readme), "run: python -m sidecar.cli.reference"
    assert all(f"| `{name}` |" in readme for name in reference.PLUGIN_OPTIONS)


def test_the_plugins_readme_lists_all_that_a_search_and_the_plugin_have_in_common() -> None:
    taken = set(re.findall(r'take\(values, "(\w+)"', (JAVA / "Options.java").read_text()))
    assert set(reference.PLUGIN_OPTIONS) == taken & set(options(SearchRequest)) - set(MEAN_OTHER_THINGS)
    tunes = {row.name for row in options(SearchRequest).values() if row.tunes}
    assert tunes - taken == set(NOT_IN_THE_PLUGIN)


def test_the_readme_states_the_limits() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Limits")[2]
    stated, limits = dict(re.findall(r"^\| ([^|]+) \| ([^|]*) \|", text, re.MULTILINE)), Limits()
    assert stated["a document"] == f"{limits.document_bytes >> 20} MiB"
    assert stated["a query"] == f"{limits.query_characters:,} characters"
    assert stated["the deepest hit of a search"] == f"{limits.window:,}"
    assert stated["a gRPC message"] == f"{limits.request_bytes >> 20} MiB"
    assert stated["texts waiting for the model"] == f"{limits.queue_items:,}"
    assert stated["a call without a deadline"] == f"{limits.deadline:g} s"


def test_a_pipeline_has_the_limits_of_the_settings() -> None:
    ours, theirs = PipelineLimits(), Limits()
    assert {name: getattr(ours, name) for name in ours.__slots__} == {
        name: getattr(theirs, name) for name in ours.__slots__
    }
