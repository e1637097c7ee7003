"""Failures as people and scripts see them: a message on stderr and an exit code."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any

import click

from sidecar.errors import ChercheError, Code

OK, FAILURE, USAGE, UNAVAILABLE = range(4)
INTERRUPTED = 130  # as shells report SIGINT
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
            click.echo(f"Error: {self.error}", err=True)


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
        command = " ".join(["cherche", *sys.argv[1:]])
        click.echo(f"\ninterrupted: {said()}; the same command goes on from there: {command}", err=True)
        raise SystemExit(INTERRUPTED) from None


@contextmanager
def translated(as_json: bool) -> Iterator[None]:
    """Turn a `ChercheError` into a `Failure`; other exceptions are defects and keep their traceback."""
    try:
        yield
    except ChercheError as error:
        raise failure(error, as_json) from error
