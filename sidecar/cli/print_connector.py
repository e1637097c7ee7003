"""``cherche print-connector``: the requests that configure a cluster to call the gateway."""

from __future__ import annotations

import re
from dataclasses import asdict
from urllib.parse import urlsplit

import click

from sidecar.cli.idle import option
from sidecar.cli.output import pretty
from sidecar.cli.session import Session, verb
from sidecar.gateway.connectors import EXAMPLE, TASKS, ClusterRequest, for_release
from sidecar.gateway.dialects import CONNECTORS

_PRODUCTS = list(dict.fromkeys(connector.product for connector in CONNECTORS))
_SERVICES = list(dict.fromkeys(connector.service for connector in CONNECTORS))


@verb("print-connector", connects=False)
@click.argument("product", type=click.Choice(_PRODUCTS), metavar="|".join(_PRODUCTS))
@option("--sparse", is_flag=True, help="Only what term weights need.", without={"rerank": (True,)})
@click.option("--rerank", is_flag=True, help="Only what reranking needs.")
@click.option(
    "--gateway", default=EXAMPLE, show_default=True, metavar="URL", help="The gateway as the cluster sees it."
)
@click.option("--model", default="", metavar="NAME", help="A served model; the server's default one without.")
@click.option(
    "--service",
    type=click.Choice(_SERVICES),
    default="custom",
    show_default=True,
    help="Elasticsearch's service; hugging_face for clusters before 8.19.",
)
@click.option("--release", default="", metavar="VERSION", help="The cluster's, such as 3.1; the newest without.")
def print_connector(
    session: Session, product: str, sparse: bool, rerank: bool, gateway: str, model: str, service: str, release: str
) -> None:
    """Print the requests that let a cluster call the gateway.

    For managed clusters and for Elasticsearch, which take no plugin: paste them into Dev Tools, or
    send them one by one. Writes nothing. Serve the gateway with: cherche serve --gateway-port N.
    """
    offered = [connector for connector in CONNECTORS if connector.product == product]
    services = list(dict.fromkeys(connector.service for connector in offered))
    if service not in services:
        raise click.UsageError(f"{product} has no --service {service}: choose {' or '.join(services)}")
    if release and len({connector.since for connector in offered}) == 1:
        raise click.UsageError(f"--release changes nothing of what {product} is told: leave it out")
    both = not (sparse or rerank)
    address, name = _address(gateway), _name(model)
    found: dict[str, ClusterRequest] = {}
    chosen = for_release(offered, _release(release))
    for connector in sorted(chosen, key=lambda one: TASKS.index(one.task)):
        if connector.service == service and (both or (connector.task == "sparse") == sparse):
            found |= {f"{request.path} {request.body}": request for request in connector.requests(address, name)}
    requests = list(found.values())
    session.output.data([asdict(request) for request in requests], lambda: _print(requests))


def _print(requests: list[ClusterRequest]) -> None:
    click.echo("".join(f"# Tried on {one}.\n" for one in dict.fromkeys(request.verified for request in requests)))
    for request in requests:
        click.echo(f"# {request.note}\n{request.method} {request.path}\n{pretty(request.body)}\n")


def _release(version: str) -> tuple[int, int] | None:
    """Major and minor number of a version; None for the newest."""
    if not version:
        return None
    found = re.match(r"(\d+)\.(\d+)", version)
    if not found:
        raise click.UsageError(f"--release {version!r} is no version such as 3.5")
    return int(found[1]), int(found[2])


def _address(gateway: str) -> str:
    """The gateway's address without a slash at the end."""
    parts = urlsplit(gateway)
    if parts.scheme not in ("http", "https") or not re.fullmatch(r"[\w.\-:\[\]]+", parts.netloc) or parts.query:
        raise click.UsageError(f"--gateway {gateway!r} is no address such as {EXAMPLE}")
    return gateway.rstrip("/")


def _name(model: str) -> str:
    """A model's name that needs no escaping in a template or an address."""
    if not re.fullmatch(r"[\w.\-/:]*", model, re.ASCII):
        raise click.UsageError(
            f"--model {model!r}: only letters, digits, and . _ - / : pass through a template unchanged"
        )
    return model
