"""The HTTP application: one route per dialect, and invalid requests as typed errors."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, FastAPI, Query, Request, Response, Security
from fastapi.exceptions import RequestValidationError
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException

from sidecar import __version__
from sidecar.errors import ChercheError, Code, invalid
from sidecar.gateway.access import HEALTH, AccessMiddleware
from sidecar.gateway.dialects import DIALECTS, AnyDialect
from sidecar.gateway.errors import HttpError, Problem, response_of, unprocessable
from sidecar.gateway.fields import TAG
from sidecar.services import Services, serving

_PROBLEMS = {
    400: "The request is not JSON, or asks for what this sidecar has not.",
    401: "The token is missing or another one.",
    404: "The model is not served.",
    413: "More bytes than allowed.",
    422: "A text or key that will fail again; not worth a retry.",
    429: "Too much waits for the model; retry after `Retry-After`.",
    500: "A defect; the server's log says where.",
    503: "Models are being loaded or stopped; retry after `Retry-After`.",
    504: "It took longer than the deadline.",
}
_SHOWN = 60
"""Characters of a wrong value that an error repeats."""


def create_app(services: Services, token: str = "") -> FastAPI:
    """The dialects as an ASGI application.

    Parameters
    ----------
    services : Services
        What the gRPC servicers work with.
    token : str
        What callers must present; "" asks for nothing.
    """
    app = FastAPI(
        title="cherche",
        version=__version__,
        summary="Term weights and MaxSim in the JSON dialects of OpenSearch, Elasticsearch, TEI and Cohere.",
        docs_url=None,
        redoc_url=None,
        dependencies=[Security(HTTPBearer(auto_error=False))] if token else [],
        responses={status: {"model": Problem, "description": text} for status, text in _PROBLEMS.items()},
        exception_handlers={
            ChercheError: _known,
            RequestValidationError: _mistaken,
            HTTPException: _unrouted,
        },
    )
    app.state.services = services
    for dialect in DIALECTS:
        _add(app, dialect)
    app.add_api_route(HEALTH, _health, response_model=None, responses=_HEALTH, operation_id="healthz")
    paths = {str(path) for path in app.openapi()["paths"]} | {str(app.openapi_url)}
    app.add_middleware(AccessMiddleware, metrics=services.metrics, limits=services.limits, token=token, paths=paths)
    return app


_HEALTH: dict[int | str, dict[str, Any]] = {
    200: {"description": "The default model is warm.", "content": {"application/json": {}}},
    503: {"description": "It is not, or the sidecar is being stopped.", "model": None},
}


def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


_Shared = Annotated[Services, Depends(_services)]


def _add(app: FastAPI, dialect: AnyDialect) -> None:
    async def respond(body: Any, parameters: Any, services: _Shared) -> Response:  # noqa: ANN401  # typed below
        return await dialect.respond(body, parameters, services)

    # FastAPI reads the shapes of a request from the annotations.
    respond.__annotations__ |= {"body": dialect.body, "parameters": Annotated[dialect.parameters, Query()]}
    app.add_api_route(
        dialect.path,
        respond,
        methods=["POST"],
        name=dialect.name,
        description=dialect.description,
        operation_id=dialect.name,
        response_model=dialect.answer,
    )


async def _health(request: Request) -> Response:
    """Say whether the default model is warm."""
    warm = serving(_services(request).registry)[""]
    status = "SERVING" if warm else "NOT_SERVING"
    return Response(f'{{"status":"{status}"}}', 200 if warm else 503, media_type="application/json")


async def _known(request: Request, error: Exception) -> Response:
    assert isinstance(error, ChercheError)
    return response_of(error)


async def _unrouted(request: Request, error: Exception) -> Response:
    """No such path or method, or a body that cannot be read."""
    assert isinstance(error, HTTPException)
    code = Code.NOT_FOUND if error.status_code == 404 else Code.INVALID_ARGUMENT
    reason = f"{request.method} {request.url.path[:_SHOWN]}: {error.detail}"
    response = response_of(
        HttpError(ChercheError(code, reason, "GET /openapi.json lists what there is"), error.status_code)
    )
    response.headers.update(error.headers or {})
    return response


async def _mistaken(request: Request, error: Exception) -> Response:
    """A body of another shape: 400 where it is no JSON, 422 naming the key or text otherwise."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        reason = f"the body is not JSON: {first.get('ctx', {}).get('error', first['msg'])}"
        next_step = "check the template: a query that is JSON itself is inserted unescaped by some clusters"
        return response_of(invalid(reason, next_step))
    where, items = _where(first["loc"])
    mistake = invalid(f"{where}: {first['msg']}{_given(first)}", "GET /openapi.json shows the shape")
    return response_of(unprocessable(mistake, [(item, mistake) for item in items]))


def _where(location: tuple[int | str, ...]) -> tuple[str, list[int]]:
    """A mistake's address as people write it, and the text it is about."""
    parts = [part for part in location[1:] if not str(part).startswith(TAG)]
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts).removeprefix(".")
    return text or str(location[0]), [part for part in parts if isinstance(part, int)][:1]


def _given(mistake: dict[str, Any]) -> str:
    """The value, where it is one of few words rather than a user's text."""
    value = mistake.get("input")
    if mistake["type"] != "literal_error" or not isinstance(value, str):
        return ""
    return f", not {value[:_SHOWN]!r}"
