"""Failures as people and scripts see them: a message on stderr and an exit code."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import click

from sidecar.cli.output import program, runnable
from sidecar.errors import ChercheError, Code, masked, masked_address, precondition

OK, FAILURE, USAGE, UNAVAILABLE = range(4)
INTERRUPTED = 130  # as shells report SIGINT
_ADDRESSES = ("--url", "--server")
_UNAVAILABLE_CODES = (Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.RESOURCE_EXHAUSTED)


class Failure(click.ClickException):
    """A failed verb, printed as one line; as one JSON object where --json was given."""

    def __init__(self, error: ChercheError, as_json: bool) -> None:
        super().__init__(str(error))
        self.error = error
        self.as_json = as_json

    def show(self, file: IO[Any] | None = None) -> None:
        """Print to stderr."""
        if self.as_json:
            click.echo(json.dumps({"error": error_json(self.error)}), err=True)
        else:
            click.echo(runnable(f"Error: {self.error}"), err=True)


class Unavailable(Failure):
    """A failure after which the same command may succeed later."""

    exit_code = UNAVAILABLE


def failure(error: ChercheError, as_json: bool) -> Failure:
    """Exit code 1, or 3 where something did not answer or had no room."""
    kind = Unavailable if error.code in _UNAVAILABLE_CODES else Failure
    return kind(error, as_json)


def error_json(error: ChercheError) -> dict[str, str]:
    """Code, reason and next step."""
    return {"code": error.code.value, "reason": error.reason, "next_step": error.next_step}


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what keeps a file from being written into an error that names it: a full disk says so without a name.

    Raises
    ------
    ChercheError
        FAILED_PRECONDITION.
    """
    try:
        yield
    except OSError as error:
        raise precondition(
            f"{path} cannot be written: {error.strerror}",
            "free space, or name a file elsewhere, then run the command again: what was done stays done",
        ) from error


@contextmanager
def resumable(said: Callable[[], str]) -> Iterator[None]:
    """On Ctrl-C print what was done and that the same command goes on, and exit as shells expect.

    Parameters
    ----------
    said : callable
        What is done so far, as a sentence.
    """
    try:
        yield
    except KeyboardInterrupt:
        given = sys.argv[1:]
        again = "the same command on the same lines" if "-" in given else "the same command"
        click.echo(f"\ninterrupted: {said()}; {again} goes on from there: {command_line(given)}", err=True)
        raise SystemExit(INTERRUPTED) from None


def command_line(arguments: Sequence[str]) -> str:
    """A command as a shell reads it, without the credentials in its addresses.

    >>> command_line(["feed", "books", "my corpus.jsonl", "--url", "https://ada:hunter2@cluster:9200"])
    "cherche feed books 'my corpus.jsonl' --url 'https://***@cluster:9200'"
    """
    return shlex.join([program(), *map(_shown, ["", *arguments], arguments)])


def _shown(before: str, argument: str) -> str:
    option, equals, value = argument.partition("=")
    if before in _ADDRESSES:
        return masked_address(argument)
    return f"{option}={masked_address(value)}" if equals and option in _ADDRESSES else masked(argument)


@contextmanager
def translated(as_json: bool) -> Iterator[None]:
    """Turn a `ChercheError`, or a package that is not installed, into a `Failure`.

    Other exceptions are defects and keep their traceback.
    """
    try:
        yield
    except ChercheError as error:
        raise failure(error, as_json) from error
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in ("", "cherche_models", "sidecar"):
            raise
        raise failure(
            precondition(
                f"the package {package!r} is not installed, and a sidecar or a model on this machine needs it",
                "name a running sidecar with --server (CHERCHE_SERVER), or install everything: "
                "pip install cherche-sidecar",
            ),
            as_json,
        ) from error
