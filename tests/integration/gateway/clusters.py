"""Requests of clusters and other clients: recorded ones, and connectors' templates filled as the clusters fill them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from sidecar.gateway.connectors import EXAMPLE, ClusterRequest, for_release
from sidecar.gateway.dialects import CONNECTORS
from tests.integration.gateway.conftest import Answer, Http

# log1p(1) and log1p(2) on the 9-bit grid of an index, 0.693359375 and 1.09765625, as the shortest float32.
ONCE, TWICE = "0.6933594", "1.0976562"

ML_COMMONS = {"content_type": "application/json", "user_agent": "aws-sdk-java/2.32"}
ELASTIC = {"content_type": "application/json; charset=UTF-8", "user_agent": "Apache-HttpAsyncClient/4.1.5"}
JSON = {"content_type": "application/json"}

TEXTS = ["red car", "", 'a "quoted" \\ text\nof ${parameters.x}']


class Recorded(NamedTuple):
    """A request as a product sends it, and the answer byte by byte; N stands for any number, ID for a drawn id."""

    name: str
    path: str
    headers: dict[str, str]
    request: bytes
    answer: bytes


async def replay(http: Http, recorded: Recorded) -> None:
    """Compare the answer with the recorded one; N stands for a Double whose last digit is the processor's."""
    got = await http(recorded.path, recorded.request, **recorded.headers)
    assert got.status == 200, got.body
    assert got.headers["content-type"] == "application/json"
    body = re.sub(rb"[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}", b"ID", got.body)
    body = re.sub(rb"-?\d+\.\d+(e[+-]\d+)?", b"N", body) if b"N" in recorded.answer else body
    assert body == recorded.answer


def requests(
    product: str, service: str, task: str, model: str, release: tuple[int, int] | None = None
) -> list[ClusterRequest]:
    """What print-connector prints for a gateway at `EXAMPLE`."""
    key = product, service, task
    known = for_release(CONNECTORS, release)
    [connector] = [one for one in known if (one.product, one.service, one.task) == key]
    return connector.requests(EXAMPLE, model)


def ml_commons(connector: Mapping[str, Any], parameters: Mapping[str, str]) -> tuple[str, bytes, dict[str, str]]:
    """Fill a connector's template: strings are escaped, arrays inserted as they are."""
    [action] = connector["actions"]
    values = {**connector["parameters"], **parameters}
    body = re.sub(r"\$\{parameters\.(\w+)\}", lambda found: values[found[1]], action["request_body"])
    headers = {
        name: value.replace("${credential.api_key}", connector["credential"]["api_key"])
        for name, value in action["headers"].items()
    }
    return action["url"].removeprefix(EXAMPLE), body.encode(), headers


def escaped(text: str) -> str:
    return json.dumps(text)[1:-1]


def elastic(settings: Mapping[str, Any], values: Mapping[str, object]) -> tuple[str, bytes, dict[str, str]]:
    """Fill a custom service's template: every value is JSON already."""
    body = re.sub(r"\$\{(\w+)\}", lambda found: json.dumps(values[found[1]]), settings["request"])
    key = settings["secret_parameters"]["api_key"]
    headers = {name: value.replace("${api_key}", key) for name, value in settings["headers"].items()}
    return settings["url"].removeprefix(EXAMPLE), body.encode(), headers


def follow(path: str, value: Any) -> Any:
    """Elasticsearch's small path language: ``$.a[*].b``, lists stay nested."""
    for part in re.findall(r"\.(\w+)|(\[\*\])", path):
        value = _each(part[0], value) if part[0] else value
    return value


def _each(name: str, value: Any) -> Any:
    return [_each(name, one) for one in value] if isinstance(value, list) else value[name]


async def send(http: Http, call: tuple[str, bytes, dict[str, str]]) -> Answer:
    """Send what a filled template gives; it must succeed."""
    path, body, headers = call
    got = await http(path, body, **headers)
    assert got.status == 200, got.body
    return got
