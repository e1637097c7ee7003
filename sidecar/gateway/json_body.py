"""A request's body as JSON, strictly: what one reader drops and another keeps is refused by name."""

from __future__ import annotations

import json
from json import JSONDecodeError
from typing import Any, NoReturn

from fastapi import Request

from cherche_models.evaluate import formats

_GZIP = b"\x1f\x8b"


class JsonRequest(Request):
    """A request whose JSON is read by `read`."""

    async def json(self) -> Any:  # noqa: ANN401  # any JSON value
        """The body.

        Raises
        ------
        JSONDecodeError
            As `read`.
        """
        return read(await self.body())


def read(body: bytes) -> Any:  # noqa: ANN401  # any JSON value
    """The value of a JSON text in UTF-8, with or without a byte order mark.

    Raises
    ------
    JSONDecodeError
        For bytes that are no UTF-8, NaN and Infinity, a number of thousands of digits, and a key that an object has
        twice: Python would take the second, and the texts of the first would be lost.

    >>> read(b'{"input": ["a"]}')
    {'input': ['a']}
    """
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        packed = "it is compressed by gzip and does not say so in content-encoding"
        what = packed if body.startswith(_GZIP) else f"byte {error.start} is not UTF-8"
        raise JSONDecodeError(what, "", error.start) from None
    try:
        return json.loads(text, object_pairs_hook=formats.once, parse_constant=_refuse)
    except JSONDecodeError:
        raise
    except (ValueError, RecursionError) as error:
        raise JSONDecodeError(str(error), text, 0) from None


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")
