"""What a cluster must be told to call the gateway: ``python -m sidecar.gateway.connectors DIR`` writes it.

Why each setting is there, by what goes wrong without it:

- `connector.pre_process.default.embedding`: with a script instead, one HTTP call per document.
- no `post_process_function` for weights: the built-in one reads lists of numbers only.
- `max_retry_times`: 0 by default, so that the first 429 fails a bulk.
- `skip_validating_missing_parameters`: a document whose text holds ``${parameters.x}`` fails its whole batch.
- `input_docs_processed_step_size`: one HTTP call holds so many texts.
- no `top_n` for reranking: a truncated answer is an error in the cluster.
- no `connection_timeout`: releases read it as seconds or as milliseconds (documentation-website PR#12180).
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from sidecar.gateway.paths import (
    COHERE_RERANK,
    ELASTICSEARCH_ELSER,
    ELASTICSEARCH_SPARSE,
    OPENSEARCH_SPARSE,
    TEI_RERANK,
)

Product = Literal["opensearch", "elasticsearch"]
Service = Literal["custom", "hugging_face"]
Task = Literal["sparse", "rerank"]

EXAMPLE = "https://sidecar.internal:50552"
TOKEN, CONNECTOR_ID, MODEL_ID = "TOKEN", "CONNECTOR_ID", "MODEL_ID"

_BATCH = 64
_INGEST_CLIENT = {
    "max_connection": 30,
    "read_timeout": 65,  # a little more than the sidecar's own deadline, so that its answer arrives
    "max_retry_times": 3,
    "retry_backoff_millis": 200,
    "retry_backoff_policy": "exponential_full_jitter",
    "retry_timeout_seconds": 30,
}
_SEARCH_CLIENT = {
    **_INGEST_CLIENT,
    "read_timeout": 10,
    "max_retry_times": 1,
    "retry_backoff_millis": 50,
    "retry_timeout_seconds": 2,
}


@dataclass(frozen=True, slots=True)
class Request:
    """One request to the cluster, and when it is needed."""

    method: str
    path: str
    body: Mapping[str, Any]
    note: str


def opensearch_sparse(gateway: str, model: str = "") -> list[Request]:
    """Term weights through ml-commons, for `rank_features` and for `sparse_vector` with token_id."""
    parameters = {
        **_named(model),
        "content_type": "passage",
        "sparse_embedding_format": "word",
        "input_docs_processed_step_size": str(_BATCH),
        "skip_validating_missing_parameters": "true",
    }
    body = ['"input": ${parameters.input}', *_quoted(model), *map(_quote, ("content_type", "sparse_embedding_format"))]
    action = _action(gateway + OPENSEARCH_SPARSE, body, "connector.pre_process.default.embedding")
    encode = {"model_id": MODEL_ID, "field_map": {"text": "text_sparse"}, "batch_size": _BATCH}
    return [
        *_trust(gateway),
        _connector("cherche sparse", "Term weights from a cherche sidecar", parameters, _INGEST_CLIENT, action),
        _register("cherche-sparse", "Term weights"),
        Request(
            "PUT",
            "/_ingest/pipeline/cherche-sparse",
            {"processors": [{"sparse_encoding": encode}]},
            f"{MODEL_ID} is in the answer above; map text_sparse as rank_features. batch_size is 1 without it.",
        ),
    ]


def opensearch_rerank(gateway: str, model: str = "") -> list[Request]:
    """MaxSim through ml-commons; where it fails, the cluster's own order stays."""
    parameters = {**_named(model), "skip_validating_missing_parameters": "true"}
    body = ['"documents": ${parameters.documents}', _quote("query"), *_quoted(model)]
    rerank = "connector.{}_process.cohere.rerank"
    action = _action(gateway + COHERE_RERANK, body, rerank.format("pre"))
    action["post_process_function"] = rerank.format("post")
    pipeline = {
        "request_processors": [{"oversample": {"sample_factor": 10}}],
        "response_processors": [
            {
                "rerank": {
                    "ml_opensearch": {"model_id": MODEL_ID},
                    "context": {"document_fields": ["title", "text"]},
                    "ignore_failure": True,
                }
            },
            {"truncate_hits": {}},
        ],
    }
    return [
        *_trust(gateway),
        _connector("cherche rerank", "MaxSim from a cherche sidecar", parameters, _SEARCH_CLIENT, action),
        _register("cherche-rerank", "MaxSim"),
        Request(
            "PUT",
            "/_search/pipeline/cherche-rerank",
            pipeline,
            f"{MODEL_ID} is in the answer above. Searches with track_total_hits: false cannot be reranked.",
        ),
    ]


def elasticsearch_sparse(gateway: str, model: str = "") -> list[Request]:
    """Term weights through the `custom` service."""
    body = ['"input": ${input}', '"input_type": ${input_type}', *_literal(model)]
    path = "$.result.sparse_embeddings[*].embedding[*]"
    settings = {
        **_custom(gateway + ELASTICSEARCH_SPARSE, body),
        "input_type": {"translation": {"ingest": "document", "search": "query"}, "default": "document"},
        "batch_size": 32,
        "response": {"json_parser": {"token_path": f"{path}.token", "weight_path": f"{path}.weight"}},
    }
    return [_inference("sparse_embedding", "cherche-sparse", "custom", settings, "Elasticsearch 8.19, 9.1 and later.")]


def elasticsearch_rerank(gateway: str, model: str = "") -> list[Request]:
    """MaxSim through the `custom` service."""
    body = ['"query": ${query}', '"documents": ${input}', *_literal(model)]
    parser = {"relevance_score": "$.results[*].relevance_score", "reranked_index": "$.results[*].index"}
    settings = {**_custom(gateway + COHERE_RERANK, body), "response": {"json_parser": parser}}
    return [_inference("rerank", "cherche-rerank", "custom", settings, "Elasticsearch 8.19, 9.1 and later.")]


def hugging_face_sparse(gateway: str, model: str = "") -> list[Request]:
    """Term weights through the `hugging_face` service; no dots, which `sparse_vector` refused before 8.16."""
    address = f"{gateway}{ELASTICSEARCH_ELSER}?naming=escaped{f'&model={model}' if model else ''}"
    settings = {"url": address, "api_key": TOKEN}
    return [_inference("sparse_embedding", "cherche-sparse", "hugging_face", settings, "Elasticsearch 8.12 and later.")]


def hugging_face_rerank(gateway: str, model: str = "") -> list[Request]:
    """MaxSim through the `hugging_face` service."""
    settings = {"url": f"{gateway}{TEI_RERANK}{f'?model={model}' if model else ''}", "api_key": TOKEN}
    note = "Elasticsearch 8.19, 9.1 and later, as for the custom service."
    return [_inference("rerank", "cherche-rerank", "hugging_face", settings, note)]


Make = Callable[[str, str], list[Request]]
CONNECTORS: Mapping[tuple[Product, Service, Task], Make] = MappingProxyType(
    {
        ("opensearch", "custom", "sparse"): opensearch_sparse,
        ("opensearch", "custom", "rerank"): opensearch_rerank,
        ("elasticsearch", "custom", "sparse"): elasticsearch_sparse,
        ("elasticsearch", "custom", "rerank"): elasticsearch_rerank,
        ("elasticsearch", "hugging_face", "sparse"): hugging_face_sparse,
        ("elasticsearch", "hugging_face", "rerank"): hugging_face_rerank,
    }
)
"""What makes the requests; OpenSearch has one way of calling a model."""


def files() -> dict[str, str]:
    """File name → content, for a gateway at `EXAMPLE`."""
    return {
        _file(product, service, task): written([asdict(request) for request in make(EXAMPLE, "")])
        for (product, service, task), make in CONNECTORS.items()
    }


def written(requests: list[dict[str, Any]]) -> str:
    """The text of a file."""
    return json.dumps(requests, indent=2) + "\n"


def _file(product: str, service: str, task: str) -> str:
    return f"{product}-{task}.json" if service == "custom" else f"{product}-{service.replace('_', '-')}-{task}.json"


def _trust(gateway: str) -> list[Request]:
    """Let a self-managed cluster call the gateway; managed ones have their own ways."""
    pattern = [f"^{re.escape(gateway)}/.*$"]
    path, prefix = "/_cluster/settings", "plugins.ml_commons"
    trusted = {f"{prefix}.trusted_connector_endpoints_regex": pattern, f"{prefix}.only_run_on_ml_node": False}
    private = f"{prefix}.connector.private_ip_enabled"
    also = f"{prefix}.trusted_connector_private_endpoints_regex"
    return [
        Request("PUT", path, {"persistent": trusted}, "Replaces the list: add the endpoints you trust already."),
        Request("PUT", path, {"persistent": {private: True}}, "Only where the gateway's address is a private one."),
        Request("PUT", path, {"persistent": {also: pattern}}, "The same, where the release knows this setting."),
    ]


def _connector(
    name: str, description: str, parameters: Mapping[str, str], client: Mapping[str, Any], action: Mapping[str, Any]
) -> Request:
    body = {
        "name": name,
        "description": description,
        "version": 1,
        "protocol": "http",
        "parameters": parameters,
        "credential": {"api_key": TOKEN},
        "client_config": client,
        "actions": [action],
    }
    return Request("POST", "/_plugins/_ml/connectors/_create", body, f"{TOKEN} is the sidecar's token.")


def _action(url: str, body: list[str], pre_process: str) -> dict[str, Any]:
    return {
        "action_type": "predict",
        "method": "POST",
        "url": url,
        "headers": {"Authorization": "Bearer ${credential.api_key}", "content-type": "application/json"},
        "request_body": f"{{ {', '.join(body)} }}",
        "pre_process_function": pre_process,
    }


def _register(name: str, what: str) -> Request:
    body = {
        "name": name,
        "function_name": "remote",
        "description": f"{what} from a cherche sidecar",
        "connector_id": CONNECTOR_ID,
    }
    note = f"{CONNECTOR_ID} is in the answer above."
    return Request("POST", "/_plugins/_ml/models/_register?deploy=true", body, note)


def _custom(url: str, body: list[str]) -> dict[str, Any]:
    return {
        "secret_parameters": {"api_key": TOKEN},
        "url": url,
        "headers": {"Authorization": "Bearer ${api_key}", "Content-Type": "application/json;charset=utf-8"},
        "request": f"{{{', '.join(body)}}}",
    }


def _inference(task: str, name: str, service: str, settings: Mapping[str, Any], since: str) -> Request:
    note = f"{since} {TOKEN} is the sidecar's token."
    return Request("PUT", f"/_inference/{task}/{name}", {"service": service, "service_settings": settings}, note)


def _named(model: str) -> dict[str, str]:
    return {"model": model} if model else {}


def _quote(name: str) -> str:
    """A string parameter of ml-commons, which escapes it and adds no quotes."""
    return f'"{name}": "${{parameters.{name}}}"'


def _quoted(model: str) -> list[str]:
    return [_quote("model")] if model else []


def _literal(model: str) -> list[str]:
    return [f'"model": {json.dumps(model)}'] if model else []


if __name__ == "__main__":
    for name, content in files().items():
        (Path(sys.argv[1]) / name).write_text(content, encoding="utf-8")
