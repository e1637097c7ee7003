"""The plugin's YAML REST tests, in the format of OpenSearch's runner, run by a small runner."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest
import yaml

from tests.integration.plugin.conftest import PLUGIN

pytestmark = [pytest.mark.java, pytest.mark.timeout(900)]

FOLDER = PLUGIN / "src" / "yamlRestTest" / "resources" / "rest-api-spec"
# The part of OpenSearch's REST specification that the tests call: method and path.
APIS = {
    "bulk": ("POST", "/_bulk"),
    "cat.plugins": ("GET", "/_cat/plugins"),
    "cluster.put_settings": ("PUT", "/_cluster/settings"),
    "indices.create": ("PUT", "/{index}"),
    "indices.delete": ("DELETE", "/{index}"),
    "ingest.put_pipeline": ("PUT", "/_ingest/pipeline/{id}"),
    "ingest.delete_pipeline": ("DELETE", "/_ingest/pipeline/{id}"),
    "search": ("POST", "/{index}/_search"),
    "search_pipeline.put": ("PUT", "/_search/pipeline/{id}"),
    "search_pipeline.delete": ("DELETE", "/_search/pipeline/{id}"),
}
CATCH = {"bad_request": 400, "missing": 404, "conflict": 409}
Steps = Sequence[Mapping[str, Any]]


def apis() -> dict[str, tuple[str, str]]:
    """APIs of OpenSearch and of the plugin."""
    own = {}
    for path in (FOLDER / "api").glob("*.json"):
        for name, spec in json.loads(path.read_text()).items():
            [one] = spec["url"]["paths"]
            own[name] = (one["methods"][0], one["path"])
    return {**APIS, **own}


def sections(path: Path) -> dict[str, Steps]:
    """Setup, teardown and tests of one file."""
    named: dict[str, Steps] = {}
    for document in yaml.safe_load_all(path.read_text(encoding="utf-8")):
        named.update(document)
    return named


def cases() -> Iterator[Any]:
    for path in sorted((FOLDER / "test").rglob("*.yml")):
        found = sections(path)
        around = (found.pop("setup", []), found.pop("teardown", []))
        for name, steps in found.items():
            yield pytest.param(around[0], steps, around[1], id=f"{path.stem}: {name}")


class Runner:
    """Runs steps against one node."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._reply: Any = None
        self._apis = apis()

    def play(self, steps: Steps) -> None:
        for step in steps:
            [(verb, argument)] = step.items()
            getattr(self, f"_{verb}")(argument)

    def _do(self, call: Mapping[str, Any]) -> None:
        wanted = call.get("catch")
        [name] = set(call) - {"catch"}
        status, self._reply = self._send(name, dict(call[name] or {}))
        if wanted is None:
            assert status < 300, (name, self._reply)
        elif wanted.startswith("/"):
            assert status >= 400
            assert re.search(wanted.strip("/"), json.dumps(self._reply))
        else:
            assert status == CATCH[wanted], (name, self._reply)

    def _send(self, name: str, arguments: dict[str, Any]) -> tuple[int, Any]:
        method, path = self._apis[name]
        body = arguments.pop("body", None)
        for part in re.findall(r"\{(\w+)\}", path):
            path = path.replace(f"{{{part}}}", str(arguments.pop(part)))
        query = urlencode({key: str(value).lower() if value is True else value for key, value in arguments.items()})
        lines = isinstance(body, list)
        text = "".join(json.dumps(line) + "\n" for line in body) if lines else json.dumps(body)
        headers = {"content-type": "application/x-ndjson" if lines else "application/json"}
        data = None if body is None else text.encode()
        request = Request(f"{self._url}{path}?{query}", data, headers, method=method)
        try:
            with urlopen(request, timeout=60) as reply:
                return reply.status, json.load(reply)
        except HTTPError as error:
            with error:
                return error.code, json.load(error)

    def _value(self, path: str) -> Any:
        """Value at a path; a key may contain dots, as settings do."""
        return _at(self._reply, path.split("."))

    def _match(self, wanted: Mapping[str, Any]) -> None:
        [(path, value)] = wanted.items()
        assert self._value(path) == value, self._reply

    def _length(self, wanted: Mapping[str, int]) -> None:
        [(path, size)] = wanted.items()
        assert len(self._value(path)) == size

    def _gte(self, wanted: Mapping[str, float]) -> None:
        [(path, least)] = wanted.items()
        assert self._value(path) >= least

    def _is_true(self, path: str) -> None:
        assert self._value(path) not in (None, False, "", 0, [], {}), self._reply

    def _is_false(self, path: str) -> None:
        assert self._value(path) in (None, False, "", 0, [], {}), self._reply


def _at(value: Any, keys: Sequence[str]) -> Any:
    if not keys:
        return value
    if isinstance(value, list):
        return _at(value[int(keys[0])], keys[1:]) if int(keys[0]) < len(value) else None
    if isinstance(value, dict) and keys[0] in value:
        return _at(value[keys[0]], keys[1:])
    return None


@pytest.mark.parametrize(("before", "steps", "after"), list(cases()))
def test_yaml(plugin_url: str, before: Steps, steps: Steps, after: Steps) -> None:
    runner = Runner(plugin_url)
    runner.play(before)
    try:
        runner.play(steps)
    finally:
        Runner(plugin_url).play(after)


def test_the_runner_fails_where_it_should(plugin_url: str) -> None:
    runner = Runner(plugin_url)
    runner.play([{"do": {"cherche.stats": {}}}])
    for wrong in ({"match": {"_nodes.failed": 3}}, {"is_false": "nodes"}, {"gte": {"_nodes.successful": 9}}):
        with pytest.raises(AssertionError):
            runner.play([wrong])
    with pytest.raises(AssertionError):
        runner.play([{"do": {"catch": "bad_request", "cherche.stats": {}}}])
