"""The command ``cherche``: one verb, one file; a verb's module is imported when it is used."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from types import MappingProxyType

import click

from sidecar import __version__

# Verb → (module, attribute, line of help). The line is repeated here so that `cherche --help`
# imports no verb; a test holds both equal.
VERBS: Mapping[str, tuple[str, str, str]] = MappingProxyType(
    {
        "demo": ("sidecar.cli.demo", "demo", "Feed a real corpus to an embedded engine and search it."),
        "ui": ("sidecar.cli.ui", "ui", "Open the page on the engine's indices, on this machine alone."),
        "serve": ("sidecar.cli.serve", "serve", "Serve models over gRPC."),
        "try": ("sidecar.cli.try_", "try_", "Compare a cluster's BM25 with reranking; writes nothing."),
        "setup": ("sidecar.cli.setup", "setup", "Add the mapping to an index, new or existing."),
        "feed": ("sidecar.cli.feed", "feed", "Encode and write the documents of a JSONL file."),
        "backfill": ("sidecar.cli.backfill", "backfill", "Encode what an index holds, while it is in use."),
        "upgrade": ("sidecar.cli.upgrade", "upgrade", "Give an index in use another model."),
        "search": ("sidecar.cli.search", "search", "Search an index."),
        "eval": ("sidecar.cli.eval", "eval_", "Measure search modes with queries and judgements."),
        "tune": ("sidecar.cli.tune", "tune", "Fit an index's sparse boost, rerank weight and window."),
        "compare": ("sidecar.cli.compare", "compare", "Compare two systems query by query."),
        "bakeoff": (
            "sidecar.cli.bakeoff",
            "bakeoff",
            "Measure models beside each other on judged queries; writes nothing.",
        ),
        "remove": (
            "sidecar.cli.remove",
            "remove",
            "Take everything out again that setup, feed, backfill and upgrade put in.",
        ),
        "list": ("sidecar.cli.list_", "list_", "List the indices that are set up, and how each stands."),
        "dump": ("sidecar.cli.dump", "dump", "Print what is stored beside each document."),
        "encode": ("sidecar.cli.encode", "encode", "Print the term weights of texts."),
        "rerank": ("sidecar.cli.rerank", "rerank", "Order texts by MaxSim with a query."),
        "train": ("sidecar.cli.train", "train", "Train a model from a recipe."),
        "adapt": (
            "sidecar.cli.adapt",
            "adapt",
            "Train the model of an index on the index's own documents; nothing leaves this machine.",
        ),
        "models": ("sidecar.cli.models", "models", "List, load, unload and export models."),
        "codebook": ("sidecar.cli.codebook", "codebook", "Train a model's codebook for residual codes."),
        "print-connector": (
            "sidecar.cli.print_connector",
            "print_connector",
            "Print the requests that let a cluster call the gateway.",
        ),
        "doctor": ("sidecar.cli.doctor", "doctor", "Check environment, engine, models and an index."),
        "config": ("sidecar.cli.config", "config", "Print the settings in force and where they come from."),
        "cluster": ("sidecar.cli.cluster", "cluster", "Start and stop a development cluster."),
    }
)


class Verbs(click.Group):
    """A group that imports a verb's module when the verb is used, and not before."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Verbs in the order in which a newcomer meets them."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the verb's module; None where there is no such verb."""
        if cmd_name not in VERBS:
            return None
        module, attribute, _ = VERBS[cmd_name]
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click's, which knows no verbs that are not imported yet and suggests none."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            if near := difflib.get_close_matches(args[0], VERBS, 1):
                raise click.UsageError(f"No such command {args[0]!r}. Did you mean {near[0]!r}?", ctx) from error
            raise

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Print the verbs without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(verb, line) for verb, (_, _, line) in VERBS.items()])


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="cherche")
def cherche() -> None:
    """Neural search beside an OpenSearch or Elasticsearch cluster.

    A verb talks to the sidecar named by --server (CHERCHE_SERVER), or starts one in process,
    on the engine named by --engine (CHERCHE_ENGINE). Data goes to stdout, messages to stderr.

    Exit codes: 0 ok, 1 failure, 2 usage, 3 unavailable.
    """


def main() -> None:
    """Console entry point."""
    cherche(prog_name="cherche")
