"""The routes of the page: its files, and one function for each question that it asks."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Header, Request, Response

from sidecar.config import Gateway
from sidecar.gateway.errors import too_large
from sidecar.gateway.page import indices, judgements, search, settings, trying, tune, why
from sidecar.gateway.page.assets import ASSETS, HEADERS
from sidecar.gateway.page.indices import IndexBody
from sidecar.gateway.page.judgements import JudgementBody, Judgements
from sidecar.gateway.page.settings import SettingsBody
from sidecar.gateway.page.trying import ClusterBody, TryBody, TryWhyBody, Visitor
from sidecar.gateway.page.why import WhyBody
from sidecar.gateway.page.work import WorkBody, Works
from sidecar.pipeline import Context
from sidecar.services import Services
from sidecar.values.index import Identity
from sidecar.values.search import SearchRequest

API = "/page/api/"
_MARGIN = 0.05
"""Seconds of the deadline that are kept for sending the answer."""


class Caller:
    """The services, on behalf of whoever opened the page."""

    def __init__(
        self,
        request: Request,
        cherche_cluster_authorization: Annotated[str, Header()] = "",
        cherche_try_authorization: Annotated[str, Header()] = "",
    ) -> None:
        self.services: Services = request.app.state.services
        self.gateway: Gateway = request.app.state.gateway
        self.judgements = Judgements(self.gateway.judgements)
        self.works: Works = request.app.state.works
        self._identity = Identity(cherche_cluster_authorization or None)
        self._elsewhere = Identity(cherche_try_authorization or None)
        deadline = self.services.limits.deadline
        self._seconds = deadline - min(_MARGIN, deadline / 10)

    @property
    def context(self) -> Context:
        """The pipeline's context with the caller's cluster credentials, which gRPC takes under the same name."""
        return self.services.base.for_caller(self._identity, self._seconds)

    @property
    def visitor(self) -> Visitor:
        """The way to other clusters, with the caller's credentials for them alone."""
        return Visitor(self.services, self.gateway.clusters, self._elsewhere, self._seconds)

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
    found = await indices.listed(caller.services, caller.context)
    return caller.answer({**found, "clusters": list(caller.gateway.clusters)})


async def _index(body: IndexBody, caller: _Caller) -> Response:
    return caller.answer(await indices.described(body, caller.services, caller.context))


async def _jobs(body: IndexBody, caller: _Caller) -> Response:
    return caller.answer(await indices.working(body, caller.services, caller.context))


async def _search(body: SearchRequest, caller: _Caller) -> Response:
    return caller.answer(await search.searched(body, caller.services, caller.context))


async def _why(body: WhyBody, caller: _Caller) -> Response:
    return caller.answer(await why.explained(body, caller.services, caller.context))


async def _try_cluster(body: ClusterBody, caller: _Caller) -> Response:
    return caller.answer(await trying.visited(body, caller.visitor))


async def _try(body: TryBody, caller: _Caller) -> Response:
    return caller.answer(await trying.tried(body, caller.visitor))


async def _try_why(body: TryWhyBody, caller: _Caller) -> Response:
    return caller.answer(await trying.tried_why(body, caller.visitor))


async def _settings(body: SettingsBody, caller: _Caller) -> Response:
    return caller.answer(await settings.written(body, caller.context))


async def _judgements(body: IndexBody, caller: _Caller) -> Response:
    return caller.answer(await asyncio.to_thread(judgements.judgements_json, caller.judgements, body.index))


async def _judge(body: JudgementBody, caller: _Caller) -> Response:
    await asyncio.to_thread(caller.judgements.add, body)
    return caller.answer({})


async def _measure(body: IndexBody, caller: _Caller) -> Response:
    steps = judgements.measuring_steps(caller.judgements, body.index, caller.services, lambda: caller.context)
    return caller.answer(await caller.works.begin(steps))


async def _tune(body: IndexBody, caller: _Caller) -> Response:
    steps = tune.tuning_steps(caller.judgements, body.index, caller.services, lambda: caller.context)
    return caller.answer(await caller.works.begin(steps))


async def _proceed(body: WorkBody, caller: _Caller) -> Response:
    return caller.answer(await caller.works.proceed(body))


QUESTIONS: dict[str, tuple[str, Any]] = {
    f"{API}indices": ("GET", _indices),
    f"{API}index": ("POST", _index),
    f"{API}jobs": ("POST", _jobs),
    f"{API}judge": ("POST", _judge),
    f"{API}judgements": ("POST", _judgements),
    f"{API}measure": ("POST", _measure),
    f"{API}proceed": ("POST", _proceed),
    f"{API}search": ("POST", _search),
    f"{API}settings": ("POST", _settings),
    f"{API}try": ("POST", _try),
    f"{API}try-cluster": ("POST", _try_cluster),
    f"{API}try-why": ("POST", _try_why),
    f"{API}tune": ("POST", _tune),
    f"{API}why": ("POST", _why),
}
"""Path → method and function."""


def add_page(app: FastAPI) -> None:
    """Add the page to an application, beside the dialects and not in their document: it is no interface of others."""
    app.state.works = Works()
    for path in ASSETS:
        app.add_api_route(path, _asset, methods=["GET", "HEAD"], include_in_schema=False)
    for path, (method, function) in QUESTIONS.items():
        app.add_api_route(path, function, methods=[method], include_in_schema=False)
