"""The HTTP application: one route per dialect, the page, and invalid requests as typed errors."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, FastAPI, Query, Request, Response, Security
from fastapi.exceptions import RequestValidationError
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException

from sidecar import __version__
from sidecar.config import Gateway
from sidecar.errors import ChercheError, Code, invalid
from sidecar.gateway.access import HEALTH, AccessMiddleware
from sidecar.gateway.dialects import DIALECTS, AnyDialect
from sidecar.gateway.errors import HttpError, Problem, response_of, unprocessable
from sidecar.gateway.fields import TAG
from sidecar.gateway.page.assets import ASSETS, HOME
from sidecar.gateway.page.routes import QUESTIONS, add_page
from sidecar.services import Services, serving

_PROBLEMS = {
    400: "The request is not JSON, or requires what this sidecar does not offer.",
    401: "The token is missing or invalid.",
    403: "The gateway is not called what the Host header says.",
    404: "The model is not served.",
    413: "More bytes or JSON values than allowed.",
    415: "The content type is not JSON.",
    422: "A text or key is invalid; a retry would fail again.",
    429: "The model's queue is full; retry after `Retry-After`.",
    500: "An internal error; the server's log holds the traceback.",
    503: "Models are loading or stopping; retry after `Retry-After`.",
    504: "It took longer than the deadline.",
}
_SHOWN = 60
"""Characters of a wrong value that an error repeats."""


def create_app(services: Services, token: str = "", gateway: Gateway | None = None) -> FastAPI:
    """The dialects and the page as an ASGI application.

    Parameters
    ----------
    services : Services
        Shared with the gRPC servicers.
    token : str
        What callers must present; "" for no check.
    gateway : Gateway or None
        Hosts and the size of a request; None for the defaults.
    """
    app = FastAPI(
        title="cherche",
        version=__version__,
        summary="Term weights and MaxSim in the JSON dialects of OpenSearch, Elasticsearch, TEI and Cohere.",
        # FastAPI's pages load their scripts from a CDN.
        docs_url=None,
        redoc_url=None,
        # Only documents the token in the OpenAPI file: the middleware checks it.
        dependencies=[Security(HTTPBearer(auto_error=False))] if token else [],
        responses={status: {"model": Problem, "description": text} for status, text in _PROBLEMS.items()},
        exception_handlers={
            ChercheError: _cherche_error,
            RequestValidationError: _invalid_request,
            HTTPException: _http_exception,
        },
    )
    app.state.services = services
    for dialect in DIALECTS:
        _add(app, dialect)
    app.add_api_route(HEALTH, _health, response_model=None, responses=_HEALTH, operation_id="healthz")
    add_page(app)
    paths = {str(path) for path in app.openapi()["paths"]} | {str(app.openapi_url), HOME, *QUESTIONS}
    app.add_middleware(
        AccessMiddleware,
        metrics=services.metrics,
        limits=services.limits,
        gateway=gateway or Gateway(),
        token=token,
        paths=paths,
        open_paths={HEALTH, *ASSETS},
    )
    return app


_HEALTH: dict[int | str, dict[str, Any]] = {
    200: {"description": "The default model is warm.", "content": {"application/json": {}}},
    503: {"description": "It is not, or the sidecar is stopping.", "model": None},
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


async def _cherche_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ChercheError)
    return response_of(error)


async def _http_exception(request: Request, error: Exception) -> Response:
    """An unknown path or method, or a body that cannot be read."""
    assert isinstance(error, HTTPException)
    code = Code.NOT_FOUND if error.status_code == 404 else Code.INVALID_ARGUMENT
    reason = f"{request.method} {request.url.path[:_SHOWN]}: {error.detail}"
    response = response_of(
        HttpError(ChercheError(code, reason, "GET /openapi.json lists the paths"), error.status_code)
    )
    response.headers.update(error.headers or {})
    return response


async def _invalid_request(request: Request, error: Exception) -> Response:
    """A body that does not fit its schema: 400 if it is not JSON, 422 naming the key or text otherwise."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        reason = f"the body is not JSON: {first.get('ctx', {}).get('error', first['msg'])}"
        next_step = "check the template: a query that is JSON itself is inserted unescaped by some clusters"
        return response_of(invalid(reason, next_step))
    where, items = _location(first["loc"])
    problem = invalid(f"{where}: {first['msg']}{_shown_value(first)}", "GET /openapi.json shows the shape")
    return response_of(unprocessable(problem, [(item, problem) for item in items]))


def _location(location: tuple[int | str, ...]) -> tuple[str, list[int]]:
    """Where the error is, such as ``input[3]``, and the position of the text at fault."""
    parts = [part for part in location[1:] if not str(part).startswith(TAG)]
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts).removeprefix(".")
    return text or str(location[0]), [part for part in parts if isinstance(part, int)][:1]


def _shown_value(error: dict[str, Any]) -> str:
    """The value, if an enumeration was expected; otherwise it may be a user's text."""
    value = error.get("input")
    if error["type"] != "literal_error" or not isinstance(value, str):
        return ""
    return f", not {value[:_SHOWN]!r}"
