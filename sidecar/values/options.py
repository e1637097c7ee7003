"""The table of options: what a field of a request is to its checks, the command line, the wire and a page token.

A row stands at the field that it describes, as in ``size: Annotated[int, Option("Hits per page.", least=1)] = 10``;
name, type and default are the field's own.
"""

from __future__ import annotations

import math
import types
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields, replace
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from sidecar.errors import invalid


@dataclass(frozen=True, slots=True)
class Option:
    """One row.

    Attributes
    ----------
    help : str
        One line.
    least, most, above : float or None
        Bounds: a number is at least, at most, more than this. The default is always within.
    unset : str
        What a default of 0, "" or None stands for.
    keeps_order : str
        Why the order of hits does not depend on it; empty where it does, and a page token is bound to its value.
    tunes : bool
        It changes scores, not what is searched for: `eval` and `compare` have it as well.
    of : mapping of str to tuple
        Another option → its values without which this one does nothing, whatever the index is set to.
    without : mapping of str to tuple
        Another option → its values beside which this one does nothing.
    flags : tuple of str or None
        Names on the command line; None for the field's own, empty where no flag stands for this field alone.
    metavar : str or None
        How the help of the command line names its value.
    wire : str
        Its field of the message; the same name unless given.
    name, kind, choices, default
        Of the field: `kind` is a type such as float or tuple, `choices` the values of a Literal.
    """

    help: str
    least: float | None = None
    most: float | None = None
    above: float | None = None
    unset: str = ""
    keeps_order: str = ""
    tunes: bool = False
    of: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    without: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    flags: tuple[str, ...] | None = None
    metavar: str | None = None
    wire: str = ""
    name: str = ""
    kind: type = str
    choices: tuple[str, ...] = ()
    default: Any = None

    @property
    def bounds(self) -> str:
        """The numbers that are accepted, in words.

        >>> Option("", least=1).bounds, Option("", least=0, most=1).bounds, Option("", above=0).bounds
        ('at least 1', '0 to 1', 'more than 0')
        """
        if self.above is not None:
            return f"more than {self.above:g}"
        return f"at least {self.least:g}" if self.most is None else f"{self.least or 0:g} to {self.most:g}"

    def check(self, value: float | None, name: str = "") -> None:
        """Refuse a number that is out of bounds.

        Raises
        ------
        ChercheError
            INVALID_ARGUMENT naming the option, or what `name` calls it.
        """
        if value == self.default or value is None:
            return
        low, high = (-math.inf if self.least is None else self.least), (math.inf if self.most is None else self.most)
        if not (math.isfinite(value) and low <= value <= high and (self.above is None or value > self.above)):
            default = "nothing" if self.default is None else self.default
            also = f", or {default} for {self.unset}" if self.unset else ""
            raise invalid(f"{name or self.name} is {value}", f"give {self.bounds}{also}")


def options(kind: type) -> Mapping[str, Option]:
    """The rows of a dataclass by name, in its order.

    Raises
    ------
    TypeError
        If a field has none.
    """
    if kind not in _TABLES:
        hints = get_type_hints(kind, include_extras=True)
        _TABLES[kind] = {one.name: _row(kind, one, hints[one.name]) for one in fields(kind)}
    return _TABLES[kind]


def check_bounds(values: object) -> None:
    """Refuse a dataclass one of whose numbers is out of bounds.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT naming the option.
    """
    for option in options(type(values)).values():
        if option.kind in (int, float):
            option.check(getattr(values, option.name))


_TABLES: dict[type, Mapping[str, Option]] = {}


def _row(kind: type, one: Field[Any], hint: Any) -> Option:  # noqa: ANN401  # a type expression
    row = get_args(hint)[1] if get_origin(hint) is Annotated else None
    if not isinstance(row, Option):
        raise TypeError(f"{kind.__name__}.{one.name} has no Option, which says what it means and what it changes")
    default = None if one.default is MISSING else one.default
    if one.default_factory is not MISSING:
        default = one.default_factory()
    held, choices = get_args(hint)[0], ()
    if get_origin(held) in (Union, types.UnionType):
        held = next(one for one in get_args(held) if one is not type(None))
    if get_origin(held) is Literal:
        held, choices = str, get_args(held)
    return replace(
        row,
        name=one.name,
        wire=row.wire or one.name,
        kind=get_origin(held) or held,
        choices=choices,
        default=default,
    )
