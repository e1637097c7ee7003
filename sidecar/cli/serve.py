"""``cherche serve``: the sidecar itself."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import click

from sidecar.cli.idle import option
from sidecar.cli.session import ENGINES, OF_CLUSTER, Session, is_path, verb


def _path() -> click.Path:
    return click.Path(exists=True, dir_okay=False, path_type=Path)


@verb("serve", connects=False)
@click.option("--engine", type=click.Choice(ENGINES), help="Where documents live.")
@option("--url", metavar="URL", help="The cluster: OpenSearch or Elasticsearch.", of=OF_CLUSTER)
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="NAME=PATH|ID",
    help="A model to serve, or one that ships by its name; repeatable.",
)
@click.option("--host", help="Address to listen on.  [default: 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), help="Port; 0 for a free one.  [default: 50551]")
@click.option("--metrics-port", type=click.IntRange(-1, 65535), help="Prometheus metrics; -1 for none.")
@click.option("--gateway-host", help="Address of the JSON gateway.  [default: 127.0.0.1]")
@click.option(
    "--gateway-port",
    type=click.IntRange(-1, 65535),
    help="JSON over HTTP, and the page; 0 for a free port.  [default: -1, none]",
)
@click.option("--tls-cert", type=_path(), help="Certificate chain, PEM.")
@click.option("--tls-key", type=_path(), help="Private key, PEM.")
@click.option("--tls-client-ca", type=_path(), help="Only clients of this authority may connect.")
@click.option("--token-file", type=_path(), help="File with the token that callers must present.")
@click.option("--cluster-ca", type=_path(), help="Authority of the cluster's certificate.")
@click.option("--insecure", is_flag=True, default=None, help="Listen beyond loopback without TLS or token.")
@click.option("--device", help="cpu, cuda, cuda:1, mps or auto.")
@click.option("--dtype", help="float32, bfloat16, float16 or auto.")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), help="Least severe line.")
def serve(session: Session, models: tuple[str, ...], **flags: Any) -> None:  # noqa: ANN401  # settings, checked there
    """Serve models over gRPC.

    Listens on loopback unless configured otherwise; beyond it TLS and a token are required, or --insecure.
    Every flag is also a CHERCHE_* variable and a key of cherche.toml: see `cherche config`. SIGTERM
    drains: calls in flight end, new ones are refused.
    """
    from sidecar import config
    from sidecar.serve import serve as run

    own = {"engine": session.engine, "url": session.url, "insecure": session.insecure}
    settings = config.load(serve_flags(models, {**flags, **own}))
    if flags["gateway_host"] and settings.gateway.port < 0:
        raise click.UsageError("--gateway-host is of --gateway-port, which is not given")
    if flags["cluster_ca"] and settings.engine == "embedded":
        raise click.UsageError("--cluster-ca is of --engine opensearch or elasticsearch, which is embedded")
    asyncio.run(run(settings))


def serve_flags(models: tuple[str, ...], flags: dict[str, Any]) -> dict[str, Any]:
    """Flags as `config.load` takes them: nested, absent ones None."""
    nested = dict(flags)
    nested["tls"] = {name: nested.pop(f"tls_{name}") for name in ("cert", "key", "client_ca")}
    nested["metrics"] = {"port": nested.pop("metrics_port")}
    nested["gateway"] = {name: nested.pop(f"gateway_{name}") for name in ("host", "port")}
    nested["models"] = dict(_named(model) for model in models) or None
    if nested["url"] and not nested["engine"]:
        nested["engine"] = "opensearch"
    return nested


def _named(model: str) -> tuple[str, str]:
    """Name and source of a model; one that ships needs its name alone, as in every other command."""
    from sidecar import config

    name, equals, source = model.partition("=")
    if not equals:
        shipped = {folder.name: folder for folder in Path(config.shipped_model()).parent.iterdir() if folder.is_dir()}
        if name in shipped:
            return name, str(shipped[name])
    if not (name and equals and source):
        raise click.UsageError(f"--model {model!r} is not NAME=PATH or NAME=ID, nor the name of a model that ships")
    return name, str(Path(source).expanduser().resolve()) if is_path(source) else source
