"""A whole sidecar from its settings: in the foreground, or inside a process that needs one."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import structlog
from pydantic import SecretStr

from sidecar import __version__
from sidecar.client.client import Client
from sidecar.config import Settings
from sidecar.errors import invalid, precondition
from sidecar.maintenance.codes_writer import CodesWriter
from sidecar.models import memory, threads
from sidecar.models.admission import BatchOptions
from sidecar.models.library import maxsim_on
from sidecar.models.loaded import LoadedModel
from sidecar.models.registry import Loader, Registry
from sidecar.observe import logs, telemetry
from sidecar.observe.metrics import BatchMetrics, Metrics
from sidecar.pipeline import Context, PageSigner
from sidecar.pipeline import Limits as PipelineLimits
from sidecar.pipeline.cache import QueryCache
from sidecar.protocols import Engine, Model
from sidecar.rpc.server import Server
from sidecar.services import Services
from sidecar.values.index import Identity
from sidecar.values.model import ModelState

if TYPE_CHECKING:
    from sidecar.gateway.port import HttpPort

# On a CPU a query waits less for a smaller batch before it. Where it does not wait for one, each thread has some turns.
CPU_TOKENS, ACCELERATOR_TOKENS = 1024, 16384
TURNS = 2


@dataclass(frozen=True, slots=True)
class Sidecar:
    """A running sidecar; `metrics_port` is -1 and `gateway_url` empty where they are not served."""

    address: str
    registry: Registry
    metrics: Metrics
    metrics_port: int
    settings: Settings
    gateway_url: str = ""

    async def warm(self) -> None:
        """Wait until the models are loaded.

        Raises
        ------
        ChercheError
            FAILED_PRECONDITION where the default model cannot be.
        """
        await self.registry.settled()
        default = self.registry.get(self.settings.default_model)
        if default.state is ModelState.FAILED:
            raise precondition(
                f"model {default.name!r} could not be loaded: {default.message}",
                "name a checkpoint's folder: cherche serve --model NAME=PATH",
            )

    async def leave(self, seconds: float) -> None:
        """Say through health that this sidecar ends, and answer for `seconds` more."""
        self.registry.leave()
        await asyncio.sleep(seconds)


async def serve(settings: Settings) -> None:
    """Serve until SIGINT or SIGTERM, then drain.

    Raises
    ------
    ChercheError
        Where the settings, the port or the default model do not allow it.
    """
    logs.configure(settings.log_level)
    logs.capture()
    log = logs.get("server")
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with running(settings, loader=_settling(_loader(settings))) as sidecar:
        log.info(
            "listening",
            address=sidecar.address,
            gateway=sidecar.gateway_url,
            engine=settings.engine,
            metrics_port=sidecar.metrics_port,
        )
        warming, stopping = asyncio.create_task(sidecar.warm()), asyncio.create_task(stop.wait())
        try:
            await asyncio.wait([warming, stopping], return_when=asyncio.FIRST_COMPLETED)
            if warming.done():
                warming.result()
                log.info("serving", address=sidecar.address)
                await stopping
                log.info("leaving", seconds=settings.notice)
                await sidecar.leave(settings.notice)
        finally:
            warming.cancel()
            stopping.cancel()
            await asyncio.gather(warming, stopping, return_exceptions=True)
        log.info("draining", seconds=settings.drain)
    log.info("stopped")


@asynccontextmanager
async def in_process(settings: Settings) -> AsyncIterator[Client]:
    """A client of a sidecar that lives as long as the block, on a free loopback port with a token of its own.

    Raises
    ------
    ChercheError
        As `serve`.
    """
    private = settings.model_copy(
        update={
            "host": "127.0.0.1",
            "port": 0,
            "token": SecretStr(secrets.token_urlsafe(32)),
            "tls": type(settings.tls)(),
            "metrics": settings.metrics.model_copy(update={"port": -1}),
            "gateway": settings.gateway.model_copy(update={"port": -1}),
            "allow_load": True,
            "drain": 1.0,
        }
    )
    async with running(private) as sidecar:
        await sidecar.warm()
        async with Client.from_settings(private, sidecar.address) as client:
            yield client


@asynccontextmanager
async def running(
    settings: Settings, *, engine: Engine | None = None, loader: Loader | None = None
) -> AsyncIterator[Sidecar]:
    """A sidecar that answers while its models load; drained at the end of the block.

    Parameters
    ----------
    settings : Settings
    engine : Engine or None
        Instead of the one that the settings name; not closed here.
    loader : Loader or None
        Instead of `sidecar.models.library.load_model`.

    Raises
    ------
    ChercheError
        Where the settings or a port do not allow it.
    """
    if not structlog.is_configured():
        logs.configure("error")
    threads.one_for_maxsim()
    memory.bound()
    async with AsyncExitStack() as stack:
        if settings.otel:
            # In a thread: what is left is sent, and the collector may be slow.
            stack.push_async_callback(asyncio.to_thread, telemetry.start(os.environ, __version__))
        metrics = Metrics()
        if engine is None:
            engine = open_engine(settings, metrics)
            stack.push_async_callback(engine.aclose)
        registry = _registry(settings, metrics, loader or _loader(settings))
        stack.push_async_callback(registry.aclose, settings.drain)
        services = _services(settings, engine, registry, metrics)
        if settings.limits.waiting_documents:
            writer = _codes_writer(settings, services)
            stack.push_async_callback(writer.aclose)
            services = replace(services, base=replace(services.base, wanted=writer))
        server = Server(services, settings)
        gateway = _gateway(services, settings)
        stack.push_async_callback(_stop, server, gateway, settings.drain)
        exporter = _exporter(metrics, settings)
        if exporter is not None:
            stack.push_async_callback(exporter.stop)
            await exporter.start()
        for name, source in settings.served_models.items():
            registry.start(name, source)
        await server.start()
        if gateway is not None:
            await gateway.start()
        yield Sidecar(
            server.address,
            registry,
            metrics,
            exporter.port if exporter else -1,
            settings,
            gateway.url if gateway else "",
        )


@asynccontextmanager
async def pipeline(settings: Settings) -> AsyncIterator[Context]:
    """Engine and warm models as a sidecar has them, without a port: for work that is not a call.

    Raises
    ------
    ChercheError
        FAILED_PRECONDITION where a model cannot be loaded; as `open_engine`.
    """
    if not structlog.is_configured():
        logs.configure("error")
    async with AsyncExitStack() as stack:
        metrics = Metrics()
        engine = open_engine(settings, metrics)
        stack.push_async_callback(engine.aclose)
        registry = _registry(settings, metrics, _loader(settings))
        stack.push_async_callback(registry.aclose, settings.drain)
        for name, source in settings.served_models.items():
            await registry.load(name, source)
        yield _services(settings, engine, registry, metrics).base


def _gateway(services: Services, settings: Settings) -> HttpPort | None:
    """The HTTP port, where the settings name one; its modules are imported only then."""
    if settings.gateway.port < 0:
        return None
    from sidecar.gateway.server import gateway_port

    return gateway_port(services, settings)


def _exporter(metrics: Metrics, settings: Settings) -> HttpPort | None:
    """The port of the metrics, likewise."""
    if settings.metrics.port < 0:
        return None
    from sidecar.gateway.server import metrics_port

    return metrics_port(metrics, settings.metrics.host, settings.metrics.port)


async def _stop(server: Server, gateway: HttpPort | None, grace: float) -> None:
    """Drain both ports at the same time."""
    await asyncio.gather(server.stop(grace), *([gateway.stop()] if gateway else []))


def open_engine(settings: Settings, metrics: Metrics | None = None) -> Engine:
    """The engine that the settings name; its module is imported only then.

    Parameters
    ----------
    settings : Settings
    metrics : Metrics or None
        Of a process that searches: it keeps the codes of hits, and counts them there.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT for a URL that is missing or none.
    """
    if settings.engine == "embedded":
        from sidecar.engines.embedded import EmbeddedEngine

        return EmbeddedEngine(settings.embedded.path, max_document_bytes=settings.limits.document_bytes)
    if not settings.url:
        raise invalid(f"the {settings.engine} engine needs the address of a cluster", "give --url, or set CHERCHE_URL")
    return _cluster(settings, settings.url, settings.secret("service_account"), metrics)


def _cluster(settings: Settings, url: str, account: str = "", metrics: Metrics | None = None) -> Engine:
    from sidecar.engines.opensearch import KeptCodes, OpenSearchEngine

    return OpenSearchEngine.connect(
        url,
        service_identity=Identity(account) if account else None,
        ca_certs=str(settings.cluster_ca) if settings.cluster_ca else None,
        codes=KeptCodes(settings.limits.codes_cache_bytes, observe=metrics.codes_found) if metrics else None,
    )


def _services(settings: Settings, engine: Engine, registry: Registry, metrics: Metrics) -> Services:
    limits = settings.limits
    bounds = PipelineLimits(limits.document_bytes, limits.query_characters, limits.window, limits.cold_documents)
    key = settings.secret("page_token_key").encode() or secrets.token_bytes(32)
    context = Context(
        engine,
        registry,
        PageSigner(key),
        limits=bounds,
        maxsim=maxsim_on(_unless_auto(settings.device)),
        query_cache=QueryCache(limits.query_cache_bytes),
    )
    open_cluster = partial(_cluster, settings)
    return Services(context, registry, limits, metrics, settings.may_load, open_cluster=open_cluster)


def _codes_writer(settings: Settings, services: Services) -> CodesWriter:
    """What writes codes on demand, with the account that callers without credentials have."""
    # An engine without accounts lets everybody write.
    has_account = settings.engine == "embedded" or bool(settings.secret("service_account"))
    limit, observe = settings.limits.waiting_documents, services.metrics.made_on_demand
    return CodesWriter(services.base, has_account=has_account, most=limit, observe=observe)


def _registry(settings: Settings, metrics: Metrics, loader: Loader) -> Registry:
    def options(model: Model) -> BatchOptions:
        on_cpu = CPU_TOKENS * (TURNS * threads.cpus() if model.concurrent_queries else 1)
        tokens = on_cpu if model.info.device == "cpu" else ACCELERATOR_TOKENS
        limits = settings.limits
        return BatchOptions(
            tokens=settings.batching.tokens or tokens,
            max_wait=settings.batching.max_wait,
            queue_items=limits.queue_items,
            queue_tokens=limits.queue_tokens,
            packs=model.concurrent_queries,  # BERT, on a CPU
        )

    if settings.default_model not in settings.served_models:
        known = ", ".join(settings.served_models)
        raise invalid(
            f"the default model {settings.default_model!r} is not served; served: {known}", "name one of them"
        )
    registry = Registry(
        loader,
        settings.default_model,
        options,
        lambda name: BatchMetrics(metrics, name),
        settings.aliases,
    )

    def publish() -> None:
        metrics.model_ready.clear()
        for model in registry.list():
            metrics.model_ready.labels(model.name).set(model.state is ModelState.READY)

    registry.on_change(publish)
    return registry


def _loader(settings: Settings) -> Loader:
    def load(name: str, source: str) -> Model:
        from sidecar.models.library import load_model

        return load_model(name, source, device=_unless_auto(settings.device), dtype=_unless_auto(settings.dtype))

    return load


def _settling(loader: Loader) -> Loader:
    """The same loader, where the process is all a sidecar: garbage need not be looked for in what it loaded."""

    def load(name: str, source: str) -> Model:
        model = loader(name, source)
        if isinstance(model, LoadedModel):
            model.on_prepared = memory.settle
        memory.settle()
        return model

    return load


def _unless_auto(value: str) -> str | None:
    return None if value == "auto" else value
