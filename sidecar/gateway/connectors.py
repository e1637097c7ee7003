"""The requests that configure a cluster to call the gateway.

Why each setting is there, by what goes wrong without it:

- `connector.pre_process.default.embedding`: with a script instead, one HTTP call per document.
- no `post_process_function` for weights: the built-in one reads lists of numbers only.
- `max_retry_times`: 0 by default, so that the first 429 fails a bulk.
- `skip_validating_missing_parameters`: a document whose text holds ``${parameters.x}`` fails its whole batch.
- `input_docs_processed_step_size`: the number of texts in one HTTP call.
- no `top_n` for reranking: a truncated answer is an error in the cluster.
- no `connection_timeout`: releases read it as seconds or as milliseconds (documentation-website PR#12180).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

Task = Literal["sparse", "rerank"]
TASKS: tuple[Task, ...] = get_args(Task)

EXAMPLE = "https://sidecar.internal:50552"
TOKEN, CONNECTOR_ID, MODEL_ID = "TOKEN", "CONNECTOR_ID", "MODEL_ID"

BATCH = 64
INGEST_CLIENT = {
    "max_connection": 30,
    "read_timeout": 65,  # a little more than the sidecar's deadline, whose error then arrives
    "max_retry_times": 3,
    "retry_backoff_millis": 200,
    "retry_backoff_policy": "exponential_full_jitter",
    "retry_timeout_seconds": 30,
}
# A search does not wait for long: without an answer it keeps the cluster's own order.
SEARCH_CLIENT = {
    **INGEST_CLIENT,
    "read_timeout": 10,
    "max_retry_times": 1,
    "retry_backoff_millis": 50,
    "retry_timeout_seconds": 2,
}


@dataclass(frozen=True, slots=True)
class ClusterRequest:
    """One request to the cluster, and a note on when it is needed."""

    method: str
    path: str
    body: Mapping[str, Any]
    note: str


@dataclass(frozen=True, slots=True)
class Connector:
    """One way for a cluster to call a dialect.

    Attributes
    ----------
    product : str
        "opensearch" or "elasticsearch".
    task : Task
    requests : function of the gateway's URL and a model's name, "" for the default one
        Returns the requests to the cluster, in order.
    service : str
        Elasticsearch's inference service; "custom" for OpenSearch, which has one way of calling a model.
    """

    product: str
    task: Task
    requests: Callable[[str, str], list[ClusterRequest]]
    service: str = "custom"

    @property
    def file(self) -> str:
        """Name of the file that shows the requests."""
        service = "" if self.service == "custom" else f"-{self.service.replace('_', '-')}"
        return f"{self.product}{service}-{self.task}.json"


def ml_commons(
    gateway: str,
    task: Task,
    what: str,
    parameters: Mapping[str, str],
    client: Mapping[str, Any],
    action: Mapping[str, Any],
) -> list[ClusterRequest]:
    """Requests that create an ml-commons connector and a model that uses it.

    Parameters
    ----------
    gateway : str
        URL of the gateway as the cluster sees it.
    task : Task
    what : str
        What the connector returns, for descriptions.
    parameters : mapping of str to str
        Defaults of the action's ``${parameters.…}``.
    client : mapping
        `INGEST_CLIENT` or `SEARCH_CLIENT`.
    action : mapping
        From `ml_commons_action`.
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
        "name": f"cherche-{task}",
        "function_name": "remote",
        "description": f"{what} from a cherche sidecar",
        "connector_id": CONNECTOR_ID,
    }
    connectors, models = "/_plugins/_ml/connectors/_create", "/_plugins/_ml/models/_register?deploy=true"
    return [
        *_trust(gateway),
        ClusterRequest("POST", connectors, connector, f"{TOKEN} is the sidecar's token."),
        ClusterRequest("POST", models, model, f"{CONNECTOR_ID} is in the answer above."),
    ]


def ml_commons_action(url: str, body: list[str], pre_process: str) -> dict[str, Any]:
    """The call of a connector; `body` is the parts of its JSON template."""
    return {
        "action_type": "predict",
        "method": "POST",
        "url": url,
        "headers": {"Authorization": "Bearer ${credential.api_key}", "content-type": "application/json"},
        "request_body": f"{{ {', '.join(body)} }}",
        "pre_process_function": pre_process,
    }


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
