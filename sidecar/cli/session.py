"""What every verb has in common: its options, its output, and the sidecar it talks to."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from sidecar.cli.failures import translated
from sidecar.cli.idle import option, refuse_idle
from sidecar.cli.output import Output
from sidecar.errors import ChercheError, Code, did_you_mean
from sidecar.values.model import ModelState

if TYPE_CHECKING:
    from sidecar.client.client import Client
    from sidecar.config import Settings

T = TypeVar("T")
Callback = Callable[..., Any]
Decorator = Callable[[Callback], Callback]

SERVER_HELP = (
    "A running sidecar, or several (HOST:PORT,HOST:PORT or dns:///NAME:PORT); without it one starts in process.  "
    "[env: CHERCHE_SERVER]"
)
ENGINES = ("embedded", "opensearch", "elasticsearch")
OF_CLUSTER = {"engine": (None, "opensearch", "elasticsearch")}
ENGINE_HELP = "Engine of the in-process sidecar; a cluster's product is detected.  [env: CHERCHE_ENGINE]"
INSECURE_HELP = "Send token and credentials to a sidecar on another machine in plain text.  [env: CHERCHE_INSECURE]"
URL_HELP = "Cluster of the in-process sidecar.  [env: CHERCHE_URL]"


@dataclass(slots=True)
class Session:
    """One run of a verb.

    Attributes
    ----------
    output : Output
    server, engine, url : str or None
        The flags, as given.
    insecure : bool or None
        Whether secrets may go to another machine in plain text.
    flags : dict
        Further settings that this verb's own flags stand for.
    """

    output: Output
    server: str | None = None
    engine: str | None = None
    url: str | None = None
    insecure: bool | None = None
    flags: dict[str, Any] = field(default_factory=dict)

    def settings(self) -> Settings:
        """Settings in force: flags over environment over file over defaults.

        Raises
        ------
        click.UsageError
            Where a flag configures a server that --server says is running already.
        """
        from sidecar import config

        own = {"server": self.server, "engine": self.engine, "url": self.url, "insecure": self.insecure}
        given = {**own, **self.flags}
        if self.url is not None and self.engine is None:
            given["engine"] = "opensearch"
        settings = config.load(given)
        if self.insecure and not settings.server:
            raise click.UsageError("--insecure is of --server (CHERCHE_SERVER), which is not given")
        for name in ("engine", "url"):
            if settings.server and getattr(self, name) is not None:
                raise click.UsageError(
                    f"--{name} belongs to the server, and {settings.server} is running already: "
                    f"drop --{name}, or drop --server (CHERCHE_SERVER)"
                )
        return settings

    @asynccontextmanager
    async def connect(self, settings: Settings | None = None) -> AsyncIterator[Client]:
        """The sidecar that `settings` name, or one that lives as long as the block."""
        settings = settings or self.settings()
        if settings.server:
            from sidecar.client.client import Client

            async with Client.from_settings(settings) as client:
                yield client
        else:
            from sidecar.observe import logs
            from sidecar.serve import in_process

            logs.configure("critical")  # what goes wrong comes back as the verb's own error
            async with in_process(settings) as client:
                yield client

    def run(
        self, call: Callable[[Client], Awaitable[T]], *, index: str = "", models: Sequence[str] = (), about: str = ""
    ) -> T:
        """Connect, call, disconnect.

        A sidecar in process first loads what the call needs: `models`, and those that `index`
        was set up with. What a named model was taken for is noted where its files do not say it.
        A call that needs no model is `about` an index, so that the nearest name is known where there is none.
        """
        settings = self.settings()

        async def connected() -> T:
            async with self.connect(settings) as client:
                if not settings.server:
                    await _load(client, [*models, *(await _models_of(client, index) if index else ())])
                for model in await client.list_models() if any(models) else ():
                    if model.name in models and model.state is ModelState.READY and model.message:
                        self.output.note(f"{Path(model.name).name} is {model.message}")
                try:
                    return await call(client)
                except ChercheError as error:
                    raise await suggesting(error, index or about, client) from error.__cause__

        return asyncio.run(connected())

    async def load_for(self, client: Client, index: str, models: Sequence[str] = ()) -> None:
        """Load models, and what an index was set up with, into a sidecar in process; a running one has its own."""
        if not self.settings().server:
            await _load(client, [*models, *(await _models_of(client, index) if index else ())])

    def model_name(self, source: str) -> str:
        """The name a model is served under: a folder's is its path, another's is as given.

        Raises
        ------
        click.UsageError
            If a running sidecar is to be given a folder of this machine.
        """
        if not is_path(source):
            return source
        if server := self.settings().server:
            raise click.UsageError(
                f"{source} is a folder of this machine, and {server} serves its own models: "
                "name one of `cherche models list`"
            )
        return str(Path(source).expanduser().resolve())


async def suggesting(error: ChercheError, index: str, client: Client) -> ChercheError:
    """The error; of an index that is not there it names one that may be meant."""
    if error.code is not Code.NOT_FOUND or not index or index not in error.reason:
        return error
    try:
        known = [one.index for one in (await client.list_indices()).indices]
    except ChercheError:  # of an older sidecar, or a caller who may not see them
        return error
    return ChercheError(error.code, error.reason, did_you_mean(index, known) + error.next_step)


async def _models_of(client: Client, index: str) -> list[str]:
    """Models that an index needs and this sidecar does not serve yet."""
    try:
        report = await client.get_index(index)
    except ChercheError as error:
        if error.code is Code.NOT_FOUND:
            return []  # the call itself says so, naming the next step
        raise
    if report.meta is None or report.served:
        return []
    others = [group.names[0] for group in report.groups[1:] if group.model]
    needed = [name for other in others if other != index for name in await _models_of(client, other)]
    return [report.meta.model, report.meta.reranker, *needed]


async def _load(client: Client, names: Sequence[str]) -> None:
    wanted = [name for name in names if name]
    served = {model.name for model in await client.list_models()} if wanted else set()
    for name in dict.fromkeys(wanted):
        if name not in served:
            await client.load_model(name, name)


def verb(name: str, *, connects: bool = True, group: click.Group | None = None) -> Callable[[Callback], click.Command]:
    """Make a command, of a `group` or of its own, of a function whose first argument is a `Session`.

    Adds --json and --quiet and, where it `connects`, the options that say to what.
    """

    def decorate(function: Callback) -> click.Command:
        wrapped = _with_session(function)
        for one in reversed(_output_options() + (_server_options() if connects else [])):
            wrapped = one(wrapped)
        command = click.command(name)(wrapped)
        if group is not None:
            group.add_command(command)
        return command

    return decorate


def _with_session(function: Callback) -> Callback:
    @functools.wraps(function)
    def run(
        *args: Any,  # noqa: ANN401  # whatever the verb takes
        as_json: bool,
        quiet: bool,
        server: str | None = None,
        engine: str | None = None,
        url: str | None = None,
        insecure: bool | None = None,
        **options: Any,  # noqa: ANN401  # whatever the verb takes
    ) -> object:
        with translated(as_json):
            refuse_idle(click.get_current_context())
            return function(Session(Output(as_json, quiet), server, engine, url, insecure), *args, **options)

    return run


def _output_options() -> list[Decorator]:
    return [
        click.option("--json", "as_json", is_flag=True, help="Print one JSON value."),
        click.option("--quiet", "-q", is_flag=True, help="Print no messages."),
    ]


def _server_options() -> list[Decorator]:
    return [
        click.option("--server", metavar="HOST:PORT", help=SERVER_HELP),
        click.option("--engine", type=click.Choice(ENGINES), help=ENGINE_HELP),
        option("--url", metavar="URL", help=URL_HELP, of=OF_CLUSTER),
        click.option("--insecure", is_flag=True, default=None, help=INSECURE_HELP),
    ]


def is_path(source: str) -> bool:
    """Whether a model is meant as a folder rather than as a name.

    >>> is_path("./splade"), is_path("cherche-small"), is_path("naver/splade-v3"), is_path("")
    (True, False, False, False)
    """
    return source.startswith((".", "/", "~")) or (source != "" and Path(source).is_dir())
