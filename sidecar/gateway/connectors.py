"""The requests that configure a cluster to call the gateway.

Why each setting is there, by what goes wrong without it:

- ``${parameters.texts}`` and no `pre_process_function` for weights: with one, neural-search 3.5 sends every query as a
  passage, and a `semantic` field refuses the model ("Model config is null"). Before 3.5 nothing tells the two apart:
  a second model asks for queries, and `connector.pre_process.default.embedding` keeps it one HTTP call per batch.
- no `post_process_function` for weights: the built-in one reads lists of numbers only.
- `max_retry_times` -1: three retries end after 1.5 s, whatever `retry_timeout_seconds` says; against a queue of 128
  texts 8 bulks of 64 documents lost 320 of 512 so, and none with -1 (OpenSearch 3.5.0).
- `skip_validating_missing_parameters`: a document whose text holds ``${parameters.x}`` fails its whole batch.
- `input_docs_processed_step_size`: the number of texts in one HTTP call, where there is a pre-process function.
- `gsub` over a field of its own: ml-commons expands ``${parameters.query}`` in a document too, and such a document
  ranks first for every query.
- `set` with both fields: neural-search glues several `document_fields` together without a space, "null" where one is
  missing.
- no `top_n` for reranking: a truncated answer is an error in the cluster.
- no `connection_timeout`: releases read it as seconds or as milliseconds (documentation-website PR#12180).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

Task = Literal["sparse", "rerank"]
TASKS: tuple[Task, ...] = get_args(Task)

EXAMPLE = "https://sidecar.internal:50552"
TOKEN, CONNECTOR_ID, MODEL_ID = "TOKEN", "CONNECTOR_ID", "MODEL_ID"

BATCH = 64
INGEST_CLIENT = {
    "max_connection": 30,
    "read_timeout": 65,  # a little more than the sidecar's deadline, whose error then arrives
    "max_retry_times": -1,
    "retry_backoff_millis": 500,
    "retry_backoff_policy": "exponential_full_jitter",
    "retry_timeout_seconds": 60,
}
# A search does not wait for long: without an answer it keeps the cluster's own order.
SEARCH_CLIENT = {
    **INGEST_CLIENT,
    "read_timeout": 10,
    "max_retry_times": 1,
    "retry_backoff_millis": 50,
    "retry_timeout_seconds": 2,
}


TRIED = "OpenSearch 3.5.0 with ml-commons and neural-search 3.5.0.0, the processors of texts on 3.8.0"
NOT_RUN = "the sources of Elasticsearch, 8.19 to 9.2; not run"
PLACEHOLDERS = (
    'A text that holds ${…} is refused by this service before it calls ("Found placeholder"), and ${api_key} would '
    "insert the token: where users' texts may hold it, take --service hugging_face, which substitutes nothing."
)
TEXT_FIELD = "cherche_text"
"""Field that the pipelines make of a document's texts."""


@dataclass(frozen=True, slots=True)
class ClusterRequest:
    """One request to the cluster, a note on when it is needed, and the release that it was tried on."""

    method: str
    path: str
    body: Mapping[str, Any]
    note: str
    verified: str = ""


@dataclass(frozen=True, slots=True)
class Connector:
    """One way for a cluster to call a dialect.

    Attributes
    ----------
    product : str
        "opensearch" or "elasticsearch".
    task : Task
    make : function of the gateway's URL and a model's name, "" for the default one
        Returns the requests to the cluster, in order.
    verified : str
        The release that the requests were tried on, and what of it was not.
    service : str
        Elasticsearch's inference service; "custom" for OpenSearch, which has one way of calling a model.
    since : (int, int)
        The first release of the product that it is for.
    """

    product: str
    task: Task
    make: Callable[[str, str], list[ClusterRequest]]
    verified: str
    service: str = "custom"
    since: tuple[int, int] = (0, 0)

    @property
    def file(self) -> str:
        """Name of the file that shows the requests."""
        service = "" if self.service == "custom" else f"-{self.service.replace('_', '-')}"
        since = f"-{self.since[0]}.{self.since[1]}" if any(self.since) else ""
        return f"{self.product}{service}{since}-{self.task}.json"

    def requests(self, gateway: str, model: str = "") -> list[ClusterRequest]:
        """The requests to the cluster, in order."""
        return [replace(one, verified=self.verified) for one in self.make(gateway, model)]


def for_release(connectors: Iterable[Connector], release: tuple[int, int] | None) -> list[Connector]:
    """Of each product, service and task the newest connector that the release knows; None for the newest release."""
    chosen: dict[tuple[str, str, Task], Connector] = {}
    for one in sorted(connectors, key=lambda one: one.since):
        if release is None or one.since <= release:
            chosen[one.product, one.service, one.task] = one
    return list(chosen.values())


def ml_commons(
    gateway: str,
    task: str,
    what: str,
    parameters: Mapping[str, str],
    client: Mapping[str, Any],
    action: Mapping[str, Any],
    *,
    model_config: Mapping[str, Any] | None = None,
    note: str = "",
) -> list[ClusterRequest]:
    """Requests that create an ml-commons connector and a model that uses it.

    Parameters
    ----------
    gateway : str
        URL of the gateway as the cluster sees it.
    task : str
        In the names of the connector and the model.
    what : str
        What the connector returns, for descriptions.
    parameters : mapping of str to str
        Defaults of the action's ``${parameters.…}``.
    client : mapping
        `INGEST_CLIENT` or `SEARCH_CLIENT`.
    action : mapping
        From `ml_commons_action`.
    model_config : mapping or None
        Of the model, where it has one.
    note : str
        On the model.
    """
    connector = {
        "name": f"cherche {task}",
        "description": f"{what} from a cherche sidecar",
        "version": 1,
        "protocol": "http",
        "parameters": parameters,
        "credential": {"api_key": TOKEN},
        "client_config": client,
        "actions": [action],
    }
    model = {
        "name": f"cherche-{task.replace(' ', '-')}",
        "function_name": "remote",
        "description": f"{what} from a cherche sidecar",
        "connector_id": CONNECTOR_ID,
        **({"model_config": model_config} if model_config else {}),
    }
    connectors, models = "/_plugins/_ml/connectors/_create", "/_plugins/_ml/models/_register?deploy=true"
    return [
        *_trust(gateway),
        ClusterRequest("POST", connectors, connector, f"{TOKEN} is the sidecar's token."),
        ClusterRequest("POST", models, model, " ".join([f"{CONNECTOR_ID} is in the answer above.", note]).strip()),
    ]


def ml_commons_action(url: str, body: list[str], pre_process: str = "") -> dict[str, Any]:
    """The call of a connector; `body` is the parts of its JSON template, `pre_process` a function's name or ""."""
    return {
        "action_type": "predict",
        "method": "POST",
        "url": url,
        "headers": {"Authorization": "Bearer ${credential.api_key}", "content-type": "application/json"},
        "request_body": f"{{ {', '.join(body)} }}",
        **({"pre_process_function": pre_process} if pre_process else {}),
    }


def text_processors() -> list[dict[str, Any]]:
    """Ingest processors that write `TEXT_FIELD`: title and text with a space between, and no ``${`` to expand."""
    return [
        {"set": {"field": TEXT_FIELD, "value": "{{{title}}} {{{text}}}"}},
        {"gsub": {"field": TEXT_FIELD, "pattern": "\\$\\{", "replacement": "\\$ {"}},
    ]


def ml_commons_string(name: str) -> str:
    """A string parameter in a template: ml-commons escapes the value but adds no quotes."""
    return f'"{name}": "${{parameters.{name}}}"'


def custom_service(url: str, body: list[str]) -> dict[str, Any]:
    """Settings of Elasticsearch's `custom` service; `body` is the parts of its JSON template."""
    return {
        "secret_parameters": {"api_key": TOKEN},
        "url": url,
        "headers": {"Authorization": "Bearer ${api_key}", "Content-Type": "application/json;charset=utf-8"},
        "request": f"{{{', '.join(body)}}}",
    }


def inference(task: str, name: str, service: str, settings: Mapping[str, Any], since: str) -> ClusterRequest:
    """The request that creates an inference endpoint of Elasticsearch; `since` names the versions that have it."""
    note = f"{since} {TOKEN} is the sidecar's token."
    return ClusterRequest("PUT", f"/_inference/{task}/{name}", {"service": service, "service_settings": settings}, note)


def named_model(model: str) -> dict[str, str]:
    """The model's name as an ml-commons parameter; nothing for the default one."""
    return {"model": model} if model else {}


def literal_model(model: str) -> list[str]:
    """The model's name as a part of a JSON template; nothing for the default one."""
    return [f'"model": {json.dumps(model)}'] if model else []


def _trust(gateway: str) -> list[ClusterRequest]:
    """Let a self-managed cluster call the gateway; managed ones have their own ways."""
    pattern = [f"^{re.escape(gateway)}/.*$"]
    path, prefix = "/_cluster/settings", "plugins.ml_commons"
    # By default ml-commons runs models on dedicated ML nodes only, which many clusters lack.
    trusted = {f"{prefix}.trusted_connector_endpoints_regex": pattern, f"{prefix}.only_run_on_ml_node": False}
    private = f"{prefix}.connector.private_ip_enabled"
    also = f"{prefix}.trusted_connector_private_endpoints_regex"
    return [
        ClusterRequest("PUT", path, {"persistent": trusted}, "Replaces the list: add the endpoints you trust already."),
        ClusterRequest(
            "PUT", path, {"persistent": {private: True}}, "Only where the gateway's address is a private one."
        ),
        ClusterRequest("PUT", path, {"persistent": {also: pattern}}, "The same, where the release knows this setting."),
    ]
