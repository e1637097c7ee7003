"""Options that do nothing beside the others of a command line are usage errors: each says what it depends on.

What costs nothing to say is no error: a dry run may be asked of the command that is to follow, ``--yes`` may answer a
question that nobody asks, and the next page repeats the options of the first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import click
from click.core import ParameterSource

Conditions = Mapping[str, tuple[Any, ...]]
_NOT_GIVEN = (None, False, "", ())


class Conditional(click.Option):
    """An option that depends on others.

    Attributes
    ----------
    of : mapping
        Another parameter → its values without which this option does nothing; () for any that is given.
    without : mapping
        Another parameter → its values beside which it does nothing.
    """

    def __init__(self, *names: Any, of: Conditions, without: Conditions, **settings: Any) -> None:  # noqa: ANN401
        super().__init__(*names, **settings)
        self.of, self.without = of, without


def option(
    *names: str,
    of: Conditions | None = None,
    without: Conditions | None = None,
    **settings: Any,  # noqa: ANN401  # click's own
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """`click.option` of a `Conditional`."""
    return click.option(*names, cls=Conditional, of=of or {}, without=without or {}, **settings)


def refuse_idle(context: click.Context) -> None:
    """Refuse an option that stands on the command line and does nothing there.

    Raises
    ------
    click.UsageError
        Naming the option and what it depends on.
    """
    flags = {str(one.name): flag_of(one) for one in context.command.params}
    for one in context.command.params:
        if isinstance(one, Conditional) and is_given(context, str(one.name)):
            reason = idle(one.of, one.without, context.params, flags)
            if reason:
                raise click.UsageError(f"{flag_of(one)} {reason}")


def is_given(context: click.Context, name: str) -> bool:
    """Whether an option stands on the command line."""
    return context.get_parameter_source(name) is ParameterSource.COMMANDLINE


def idle(of: Conditions, without: Conditions, values: Mapping[str, Any], flags: Mapping[str, str]) -> str:
    """Why an option does nothing beside these values, "" where it does something.

    >>> idle({"mode": ("sparse", "hybrid")}, {}, {"mode": "bm25"}, {"mode": "--mode"})
    'is of --mode sparse or hybrid, which is bm25'
    >>> idle({}, {"chunks": (1,)}, {"chunks": 1}, {"chunks": "--chunks"})
    'does nothing beside --chunks 1'
    """
    for name, wanted in of.items():
        if name in values and not (values[name] in wanted if wanted else values[name] not in _NOT_GIVEN):
            words = " or ".join(str(one) for one in wanted if one not in _NOT_GIVEN and one is not True)
            instead = "is not given" if values[name] in _NOT_GIVEN else f"is {values[name]}"
            return f"is of {f'{flags[name]} {words}'.strip()}, which {instead}"
    for name, refused in without.items():
        if name in values and values[name] in refused:
            return f"does nothing beside {flags[name]}{'' if values[name] is True else f' {values[name]}'}"
    return ""


def flag_of(one: click.Parameter) -> str:
    """How an option or argument is written.

    >>> flag_of(click.Option(["--size", "-n"])), flag_of(click.Argument(["index"]))
    ('--size', 'INDEX')
    """
    return one.opts[0] if isinstance(one, click.Option) else one.human_readable_name
