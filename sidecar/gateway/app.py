"""The HTTP application: one route per dialect, the page, and invalid requests as typed errors."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Coroutine
from typing import Annotated, Any

from fastapi import Body, Depends, FastAPI, Query, Request, Response, Security
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException

from sidecar import __version__
from sidecar.config import Gateway
from sidecar.errors import ChercheError, Code, invalid, nearest, quoted, shortened
from sidecar.gateway.access import AccessMiddleware
from sidecar.gateway.dialects import DIALECTS, AnyDialect
from sidecar.gateway.errors import HttpError, Problem, Shape, ShapedProblem, neutral, response_of, unprocessable
from sidecar.gateway.fields import TAG
from sidecar.gateway.json_body import JsonRequest
from sidecar.gateway.page.assets import ASSETS, HOME
from sidecar.gateway.page.routes import QUESTIONS, add_page
from sidecar.gateway.state import HEALTH, STATES, State
from sidecar.services import Services

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
_DENSE = re.compile(r"(/v\d)?/(embed|embeddings|embed_all|embedding)/?|/api/embed(dings)?")
"""Paths of providers that answer one vector for a text."""
_MESSAGES = {
    "string_pattern_mismatch": "is empty, or white space alone",
    "model_type": "is no JSON object",
    "model_attributes_type": "is no JSON object",
    "dataclass_type": "is no JSON object",
    "dict_type": "is no text, and no JSON object that holds one",
}
"""For callers over HTTP, in place of what Pydantic says of Python's types and of a pattern."""


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
        redirect_slashes=False,  # of a POST few clients follow a redirect, and its answer is empty: 404 names the path
        exception_handlers={
            ChercheError: _cherche_error,
            RequestValidationError: _invalid_request,
            HTTPException: _http_exception,
        },
    )
    gateway = gateway or Gateway()
    app.router.route_class = _Route
    app.state.services, app.state.gateway = services, gateway
    for dialect in DIALECTS:
        _add(app, dialect)
    for one in STATES:
        path = one.path.replace("{name}", "{name:path}")
        app.add_api_route(
            path,
            _stated(one),
            response_model=one.answer,
            responses={503: {"description": "It cannot answer yet, or is stopping.", "model": None}},
            description=one.description,
            operation_id=one.name,
        )
        app.add_api_route(path, _stated(one), methods=["HEAD"], include_in_schema=False)
    add_page(app)
    paths = {str(path) for path in app.openapi()["paths"]} | {str(app.openapi_url), HOME, *QUESTIONS}
    app.add_middleware(
        AccessMiddleware,
        metrics=services.metrics,
        limits=services.limits,
        gateway=gateway,
        token=token,
        paths=paths,
        open_paths={*HEALTH, *ASSETS},
        shapes={
            **{dialect.path: dialect.shape(None) for dialect in DIALECTS},
            **{state.path: state.shape for state in STATES},
        },
    )
    return app


class _Route(APIRoute):
    """A route that reads JSON strictly."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            return await handler(JsonRequest(request.scope, request.receive))

        return handle


def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


_BY_PATH: dict[str, AnyDialect] = {dialect.path: dialect for dialect in DIALECTS}
_Shared = Annotated[Services, Depends(_services)]


def _add(app: FastAPI, dialect: AnyDialect) -> None:
    async def respond(request: Request, body: Any, parameters: Any, services: _Shared) -> Response:  # noqa: ANN401
        request.state.shape = dialect.shape(body)
        _check_once(request)
        return await dialect.respond(body, parameters, services)

    # FastAPI reads the shapes of a request from the annotations.
    respond.__annotations__ |= {
        "body": Annotated[dialect.body, Body()],
        "parameters": Annotated[dialect.parameters, Query()],
    }
    shaped = dialect.shape(None) is not neutral
    app.add_api_route(
        dialect.path,
        respond,
        methods=["POST"],
        name=dialect.name,
        description=dialect.description,
        operation_id=dialect.name,
        response_model=dialect.answer,
        responses={code: {"model": ShapedProblem, "description": text} for code, text in _PROBLEMS.items()}
        if shaped
        else None,
    )


def _check_once(request: Request) -> None:
    """Refuse a parameter that the URL has twice: the last would be taken."""
    names = [name for name, _ in request.query_params.multi_items()]
    twice = next((name for place, name in enumerate(names) if name in names[:place]), None)
    if twice is not None:
        raise unprocessable(invalid(f"the URL has {twice} twice", "give it once"))


def _stated(state: State) -> Callable[[Request], Awaitable[Response]]:
    async def respond(request: Request) -> Response:
        request.state.shape = state.shape
        return state.respond(_services(request), request.path_params.get("name", ""))

    return respond


def _shape(request: Request, body: object) -> Shape:
    """The shape of errors on this path; `body` is JSON, or None where it cannot be read."""
    read: Shape | None = getattr(request.state, "shape", None)
    dialect = _BY_PATH.get(request.url.path)
    return read or (dialect.shape(body) if dialect else neutral)


async def _cherche_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ChercheError)
    return response_of(error, _shape(request, None))


async def _http_exception(request: Request, error: Exception) -> Response:
    """An unknown path or method, or a body that cannot be read."""
    assert isinstance(error, HTTPException)
    code = Code.NOT_FOUND if error.status_code == 404 else Code.INVALID_ARGUMENT
    reason = f"{request.method} {shortened(request.url.path)}: {error.detail}"
    next_step = _elsewhere(request.url.path) if code is Code.NOT_FOUND else "GET /openapi.json lists the paths"
    problem = HttpError(ChercheError(code, reason, next_step), error.status_code)
    response = response_of(problem, _shape(request, None))
    response.headers.update(error.headers or {})
    return response


def _elsewhere(path: str) -> str:
    """What there is instead of an unknown path."""
    if _DENSE.fullmatch(path):
        return (
            "there is no single vector for a text here: POST /embed_sparse, /es/v1/sparse or /opensearch/v1/sparse "
            "for term weights, /v1/multivector for a vector for each token, /rerank to order texts"
        )
    near = nearest(path, _BY_PATH)
    return f"{f'the nearest path is {near}; ' if near else ''}GET /openapi.json lists the paths"


async def _invalid_request(request: Request, error: Exception) -> Response:
    """A body that does not fit its schema: 400 if it is not JSON, 422 naming the key or text otherwise."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        reason = f"the body is not JSON: {first.get('ctx', {}).get('error', first['msg'])}"
        next_step = "check the template: a query that is JSON itself is inserted unescaped by some clusters"
        return response_of(invalid(reason, next_step), _shape(request, None))
    where, items = _location(first["loc"])
    said = _MESSAGES.get(first["type"], first["msg"])
    problem = invalid(f"{where}: {said}{_shown_value(first)}", "GET /openapi.json shows the shape")
    return response_of(unprocessable(problem, [(item, problem) for item in items]), _shape(request, error.body))


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
    return f", not {quoted(value)}"
