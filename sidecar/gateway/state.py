"""What a gateway says of itself: whether it can answer, with which models, and within which limits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fastapi import Response
from pydantic import BaseModel

from sidecar import __version__
from sidecar.errors import unavailable
from sidecar.gateway.encode import choose_encoder
from sidecar.gateway.errors import Shape, neutral, openai_shape, response_of, tei_shape
from sidecar.gateway.json_text import plain
from sidecar.services import Services, serving
from sidecar.values.model import ModelDescription, ModelState

HEALTH = ("/healthz", "/health")
"""Paths that need no token."""


class Health(BaseModel):
    """Whether the default model is warm."""

    status: str


class ModelCard(BaseModel):
    """One name that requests may use; `root` is the served model that answers to it."""

    id: str
    object: str
    created: int
    owned_by: str
    root: str
    max_model_len: int


class ModelList(BaseModel):
    """Served models that are ready, and their aliases."""

    object: str
    data: list[ModelCard]


class Info(BaseModel):
    """The reranker and the limits, as clients of TEI read them."""

    model_id: str
    model_sha: str
    model_dtype: str
    model_type: dict[str, Any]
    max_concurrent_requests: int
    max_input_length: int
    max_client_batch_size: int
    auto_truncate: bool
    version: str


@dataclass(frozen=True, slots=True)
class State:
    """A path of GET and HEAD requests, and what it answers.

    Attributes
    ----------
    name : str
        Operation id in the OpenAPI document.
    path : str
        Its parameter, if any, is ``name``.
    description : str
    answer : pydantic model or None
    respond : function of the services and the name in the path
        "" where the path has none.
    shape : Shape
        Of an error.
    """

    name: str
    path: str
    description: str
    answer: Any
    respond: Callable[[Services, str], Response]
    shape: Shape = neutral


def _health(services: Services, _: str) -> Response:
    warm = serving(services.registry)[""]
    return _json({"status": "SERVING" if warm else "NOT_SERVING"}, 200 if warm else 503)


def _tei_health(services: Services, _: str) -> Response:
    if serving(services.registry)[""]:
        return Response(status_code=200)
    return response_of(unavailable("the model is not ready", "try again in a few seconds"), tei_shape)


def _models(services: Services, _: str) -> Response:
    known = services.registry
    ready = {one.name: one.description for one in known.list() if one.state is ModelState.READY and one.description}
    names = {name: name for name in ready} | {alias: name for alias, name in known.aliases.items() if name in ready}
    return _json({"object": "list", "data": [_card(name, ready[root]) for name, root in names.items()]})


def _model(services: Services, name: str) -> Response:
    return _json(_card(name, services.registry.named(name).info)) if name else _models(services, name)


def _card(name: str, model: ModelDescription) -> dict[str, Any]:
    return {
        "id": name,
        "object": "model",
        "created": 0,
        "owned_by": "cherche",
        "root": model.name,
        "max_model_len": model.max_document_length,
    }


def _info(services: Services, _: str) -> Response:
    info = choose_encoder(services, "", "late_interaction").info
    label = {"id2label": {"0": "MaxSim"}, "label2id": {"MaxSim": 0}}
    return _json(
        {
            "model_id": info.name,
            "model_sha": info.digest,
            "model_dtype": info.dtype,
            "model_type": {"reranker": label},
            "max_concurrent_requests": services.limits.queue_items,
            "max_input_length": info.max_document_length,
            "max_client_batch_size": services.limits.items,
            "auto_truncate": True,
            "version": __version__,
        }
    )


def _json(value: dict[str, Any], status: int = 200) -> Response:
    return Response(plain(value), status, media_type="application/json")


STATES = (
    State("healthz", "/healthz", "Whether the default model is warm; needs no token.", Health, _health),
    State(
        "health", "/health", "The same for clients of TEI: 200 without a body, or 503.", None, _tei_health, tei_shape
    ),
    State("info", "/info", "The reranker and the limits, as clients of TEI read them.", Info, _info, tei_shape),
    State(
        "models",
        "/v1/models",
        "Models that are ready and their aliases, as OpenAI lists them.",
        ModelList,
        _models,
        openai_shape,
    ),
    State(
        "model",
        "/v1/models/{name}",
        "One of these models; a name may hold slashes.",
        ModelCard,
        _model,
        openai_shape,
    ),
)
