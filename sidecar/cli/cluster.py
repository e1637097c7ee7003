"""``cherche cluster``: a real OpenSearch or Elasticsearch on this machine."""

from __future__ import annotations

import click

from sidecar.cli.session import Session, verb


@click.group()
def cluster() -> None:
    """Start and stop a development cluster.

    The server is fetched from Maven Central once and kept in the cache folder: $XDG_CACHE_HOME/cherche,
    else /var/cache/cherche for root, else ~/.cache/cherche. It needs Maven and a JDK: 21 or later for
    OpenSearch 3.8.0, 17 to 23 for Elasticsearch 7.17.29.
    """


@verb("up", connects=False)
@click.option(
    "--product",
    type=click.Choice(["opensearch", "elasticsearch"]),
    default="opensearch",
    show_default=True,
    help="What the nodes run.",
)
@click.option("--nodes", type=click.Choice(["1", "3"]), default="1", show_default=True, help="Number of nodes.")
@click.option("--heap", default="1g", show_default=True, help="Heap of each node, as Java writes it.")
def up(session: Session, product: str, nodes: str, heap: str) -> None:
    """Start a cluster on loopback and print its URL.

    One that runs already is kept; OPENSEARCH_URL and ELASTICSEARCH_URL name one to use instead.
    """
    from sidecar.cluster import up as start
    from sidecar.cluster.parts import ELASTICSEARCH, OPENSEARCH

    server = ELASTICSEARCH if product == ELASTICSEARCH.name else OPENSEARCH
    session.output.note(f"starting {server.title} {server.version}, {nodes} node(s) of {heap} …")
    started = start(int(nodes), heap, server=server)
    result = {"urls": list(started.urls), "pids": sorted(started.pids)}
    session.output.data(result, lambda: click.echo(started.urls[0]))


@verb("down", connects=False)
@click.option("--purge", is_flag=True, help="Delete the data of the nodes as well.")
def down(session: Session, purge: bool) -> None:
    """End the nodes that `up` started, and no others."""
    from sidecar.cluster import down as stop

    ended = stop(purge=purge)
    session.output.data({"ended": ended}, lambda: click.echo(f"{ended} node(s) ended"))


cluster.add_command(up)
cluster.add_command(down)
