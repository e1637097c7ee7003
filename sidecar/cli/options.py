"""Command-line options made from rows of the option tables."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import click

from sidecar.cli import idle
from sidecar.cli.session import Callback, Decorator
from sidecar.values.options import Option


def offered(rows: Iterable[Option], **given: Any) -> Decorator:  # noqa: ANN401  # of `flag`
    """An option for each row, in order; see `flag`."""
    flags = [flag(row, **given) for row in rows]

    def decorate(function: Callback) -> Callback:
        for one in reversed(flags):
            function = one(function)
        return function

    return decorate


def flag(row: Option, *names: str, unset: str = "", **given: Any) -> Decorator:  # noqa: ANN401  # click's own
    """One option with the name, type, bounds, default and help of its row.

    Parameters
    ----------
    row : Option
    names : str
        Flags instead of the row's.
    unset : str
        What the default stands for, where this verb has another answer than the row.
    given
        Arguments of `idle.option` instead of the row's.
    """
    shown = row.default not in (None, "", 0, ())
    stands_for = "" if shown or row.kind is bool else unset or row.unset
    settings: dict[str, Any] = {
        "help": f"{row.help}  [default: {stands_for}]" if stands_for else row.help,
        "default": row.default,
        "show_default": shown,
        "metavar": row.metavar,
        "type": parameter_type(row),
        "is_flag": row.kind is bool,
        "multiple": row.kind is tuple,
        "of": row.of,
        "without": row.without,
    }
    flags = names or row.flags or (f"--{row.name.replace('_', '-')}",)
    return idle.option(*flags, row.name, **settings | given)


def parameter_type(row: Option) -> click.ParamType[Any]:
    """What reads one value of an option.

    >>> parameter_type(Option("", kind=float, above=0)).convert("0.5", None, None)
    0.5
    """
    if row.choices:
        return click.Choice(row.choices)
    if row.kind is int and row.least is not None:
        least = row.least if row.default is None else min(row.least, row.default)
        return click.IntRange(int(least), None if row.most is None else int(row.most))
    if row.kind is float:
        low = row.least if row.above is None else row.above
        return click.FloatRange(low, row.most, min_open=row.above is not None)
    return click.BOOL if row.kind is bool else click.STRING
