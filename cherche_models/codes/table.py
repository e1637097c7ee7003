"""The codecs there are: those of every module in `cherche_models.codes.codecs`."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterable, Iterator

from cherche_models.codes import codecs
from cherche_models.codes.base import Codec

_LARGEST_NUMBER = 255


def discover() -> Iterator[Codec]:
    """The codecs of each module, imported in the order of their names.

    Raises
    ------
    AttributeError
        If a module defines no ``CODECS``.
    """
    for found in pkgutil.iter_modules(codecs.__path__):
        yield from importlib.import_module(f"{codecs.__name__}.{found.name}").CODECS


def collect(found: Iterable[Codec]) -> dict[str, Codec]:
    """Codecs by name, in the order of their numbers.

    Raises
    ------
    ValueError
        If two have the same name or number, or one of either cannot be written down.
    """
    table: dict[str, Codec] = {}
    for codec in sorted(found, key=lambda one: one.number):
        if not re.fullmatch(r"[a-z][a-z0-9]*", codec.name) or not 1 <= codec.number <= _LARGEST_NUMBER:
            raise ValueError(
                f"codec {codec.name!r}, number {codec.number}: "
                f"a name is lower-case letters and digits, a number 1 to {_LARGEST_NUMBER}"
            )
        if codec.name == "none":
            raise ValueError(f"codec {codec.name!r} is what settings call an index without codes: choose another name")
        for other in table.values():
            if codec.name == other.name or codec.number == other.number:
                raise ValueError(
                    f"codec {codec.name!r}, number {codec.number}, and codec {other.name!r}, number {other.number}, "
                    "share a name or a number: give the new one another"
                )
        table[codec.name] = codec
    return table


CODECS = collect(discover())
