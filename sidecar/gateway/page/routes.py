"""The routes of the page: its files, and one function for each question that it asks."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Header, Request, Response

from sidecar.gateway.errors import too_large
from sidecar.gateway.page import indices, judgements, search, settings, why
from sidecar.gateway.page.assets import ASSETS, HEADERS
from sidecar.gateway.page.indices import IndexBody
from sidecar.gateway.page.judgements import JudgementBody, Judgements
from sidecar.gateway.page.settings import SettingsBody
from sidecar.gateway.page.why import WhyBody
from sidecar.pipeline import Context
from sidecar.services import Services
from sidecar.values.index import Identity
from sidecar.values.search import SearchRequest

API = "/page/api/"
_MARGIN = 0.05
"""Seconds of the deadline that are kept for sending the answer."""


class Caller:
    """The services, on behalf of whoever opened the page."""

    def __init__(self, request: Request, cherche_cluster_authorization: Annotated[str, Header()] = "") -> None:
        self.services: Services = request.app.state.services
        self.judgements = Judgements(request.app.state.gateway.judgements)
        self._identity = Identity(cherche_cluster_authorization or None)

    @property
    def context(self) -> Context:
        """The pipeline's context with the caller's cluster credentials, which gRPC takes under the same name."""
        deadline = self.services.limits.deadline
        return self.services.base.for_caller(self._identity, deadline - min(_MARGIN, deadline / 10))

    def answer(self, value: object) -> Response:
        """A JSON answer, if it is not too large.

        Raises
        ------
        ChercheError
            413.
        """
        body = json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
        if len(body) > self.services.limits.request_bytes:
            raise too_large(f"the answer has {len(body):,} bytes", "ask for fewer hits")
        headers = {name: HEADERS[name] for name in ("x-content-type-options", "cross-origin-resource-policy")}
        return Response(body, headers={**headers, "cache-control": "no-store"}, media_type="application/json")


_Caller = Annotated[Caller, Depends()]


async def _asset(request: Request) -> Response:
    return ASSETS[request.url.path].response(request)


async def _indices(caller: _Caller) -> Response:
    return caller.answer(await indices.listed(caller.services, caller.context))


async def _index(body: IndexBody, caller: _Caller) -> Response:
    return caller.answer(await indices.described(body, caller.services, caller.context))


async def _search(body: SearchRequest, caller: _Caller) -> Response:
    return caller.answer(await search.searched(body, caller.services, caller.context))


async def _why(body: WhyBody, caller: _Caller) -> Response:
    return caller.answer(await why.explained(body, caller.services, caller.context))


async def _settings(body: SettingsBody, caller: _Caller) -> Response:
    return caller.answer(await settings.written(body, caller.context))


async def _judgements(body: IndexBody, caller: _Caller) -> Response:
    return caller.answer(await asyncio.to_thread(judgements.judgements_json, caller.judgements, body.index))


async def _judge(body: JudgementBody, caller: _Caller) -> Response:
    await asyncio.to_thread(caller.judgements.add, body)
    return caller.answer({})


async def _measure(body: IndexBody, caller: _Caller) -> Response:
    return caller.answer(await judgements.measured(caller.judgements, body.index, caller.services, caller.context))


QUESTIONS: dict[str, tuple[str, Any]] = {
    f"{API}indices": ("GET", _indices),
    f"{API}index": ("POST", _index),
    f"{API}judge": ("POST", _judge),
    f"{API}judgements": ("POST", _judgements),
    f"{API}measure": ("POST", _measure),
    f"{API}search": ("POST", _search),
    f"{API}settings": ("POST", _settings),
    f"{API}why": ("POST", _why),
}
"""Path → method and function."""


def add_page(app: FastAPI) -> None:
    """Add the page to an application, beside the dialects and not in their document: it is no interface of others."""
    for path in ASSETS:
        app.add_api_route(path, _asset, methods=["GET", "HEAD"], include_in_schema=False)
    for path, (method, function) in QUESTIONS.items():
        app.add_api_route(path, function, methods=[method], include_in_schema=False)
