"""``cherche ui``: the page, on a sidecar of its own."""

from __future__ import annotations

import asyncio
import secrets
import signal
import webbrowser
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import click

from sidecar.cli.idle import option
from sidecar.cli.session import ENGINES, OF_CLUSTER, Session, verb

if TYPE_CHECKING:
    from sidecar.client.client import Client
    from sidecar.config import Settings

_KEPT = {"keep": (True,)}  # of `cherche demo`
PORT = option(
    "--page-port",
    "port",
    type=click.IntRange(0, 65535),
    default=0,
    help="Port of the page; 0 for a free one.",
    of=_KEPT,
)
OPEN = option("--no-open", is_flag=True, help="Print the page's address, and leave the browser alone.", of=_KEPT)


@verb("ui", connects=False)
@click.argument("index", required=False)
@click.option("--query", default="", metavar="TEXT", help="What to ask first.")
@click.option("--engine", type=click.Choice(ENGINES), help="Where documents live.")
@option("--url", metavar="URL", help="The cluster: OpenSearch or Elasticsearch.", of=OF_CLUSTER)
@PORT
@OPEN
def ui(session: Session, index: str | None, query: str, port: int, no_open: bool) -> None:
    """Open the page on the engine's indices, on this machine alone.

    Starts a sidecar with the models that INDEX was set up with, or with those of the settings, and a token of
    its own, which the printed address carries. Runs until Ctrl-C.
    """
    asyncio.run(serve_page(session, session.settings(), index or "", query, port=port, opens=not no_open))


Work = Callable[["Client", Callable[[], Awaitable[None]]], Awaitable[None]]


async def serve_page(
    session: Session,
    settings: Settings,
    index: str,
    query: str,
    *,
    port: int = 0,
    opens: bool = True,
    models: Sequence[str] = (),
    work: Work | None = None,
) -> None:
    """Serve the page until SIGINT or SIGTERM.

    Parameters
    ----------
    session : Session
        Says where the page is.
    settings : Settings
        Of the engine and the models; ports, hosts and token are set here.
    index, query : str
        What the page begins with; "" for nothing.
    port : int
        0 for a free one.
    opens : bool
        Whether a browser is started.
    models : sequence of str
        Further models to serve.
    work : callable or None
        What is done while the page is served: it gets a client, and what says where the page is, which it calls when
        there is something to see.

    Raises
    ------
    ChercheError
        As `sidecar.serve.running`; of the work.
    """
    from sidecar.client.client import Client
    from sidecar.observe import logs
    from sidecar.serve import running

    logs.configure("critical")
    private = local_settings(settings, port, settings.secret("token") or secrets.token_urlsafe(32))
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with running(private) as sidecar:
        await sidecar.warm()
        async with Client.from_settings(private, sidecar.address) as client:
            await session.load_for(client, index, models)
            address = page_address(sidecar.gateway_url, private.secret("token"), index, query)

            async def show() -> None:
                session.output.data({"url": address}, lambda: click.echo(address))
                session.output.note("the page is served until Ctrl-C")
                if opens:
                    await asyncio.to_thread(webbrowser.open, address)

            stopping = asyncio.ensure_future(stop.wait())
            working = asyncio.ensure_future(work(client, show) if work else show())
            try:
                await asyncio.wait([stopping, working], return_when=asyncio.FIRST_COMPLETED)
                if working.done():
                    working.result()
                    await stopping
            finally:
                working.cancel()
                stopping.cancel()
                await asyncio.gather(working, stopping, return_exceptions=True)


def local_settings(settings: Settings, port: int, token: str) -> Settings:
    """Settings of a sidecar whose page only this machine can reach, and only with a token: it may try any cluster."""
    from pydantic import SecretStr

    return settings.model_copy(
        update={
            "host": "127.0.0.1",
            "port": 0,
            "token": SecretStr(token),
            "token_file": None,
            "tls": type(settings.tls)(),
            "metrics": settings.metrics.model_copy(update={"port": -1}),
            "gateway": settings.gateway.model_copy(
                update={"host": "127.0.0.1", "port": port, "hosts": (), "clusters": ("*",)}
            ),
            "allow_load": True,
            "drain": 1.0,
        }
    )


def page_address(url: str, token: str, index: str, query: str) -> str:
    """The page's address; what stands behind the ``#`` is sent to no server.

    >>> page_address("http://127.0.0.1:8000", "t0ken", "articles", "two words")
    'http://127.0.0.1:8000/#index=articles&q=two+words&token=t0ken'
    """
    state = {"index": index, "q": query, "token": token}
    return f"{url}/#{urlencode({key: value for key, value in state.items() if value})}"
