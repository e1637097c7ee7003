"""JSON text that the clusters' readers decode correctly: ASCII only, every fraction with a decimal point.

ml-commons decodes an answer buffer by buffer, so a multi-byte character at a buffer's edge is
destroyed; its JSON reader makes an Integer of ``5`` and a BigDecimal of more than 18 characters,
and its rerank processor accepts only a Double. A float32 needs at most 9 digits to be read back exactly.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import ArrayLike


def quoted(text: str) -> str:
    r"""A JSON string in ASCII.

    >>> quoted("Zürich")
    '"Z\\u00fcrich"'
    """
    return json.dumps(text, ensure_ascii=True)


def numbers(values: ArrayLike) -> list[str]:
    """JSON numbers that read back as the same float32; always with a point, at most 15 characters.

    >>> numbers([5, 17.251953, 1e-7, -0.1])
    ['5.0', '17.251953', '1.0e-07', '-0.1']
    """
    texts: list[str] = np.asarray(values, np.float32).astype(str).tolist()
    return [text if "." in text else text.replace("e", ".0e") for text in texts]


def array(fragments: Iterable[str]) -> str:
    """A JSON array of JSON texts.

    >>> array(["1", '"a"'])
    '[1,"a"]'
    """
    return f"[{','.join(fragments)}]"


def mapping(pairs: Iterable[tuple[str, str]]) -> str:
    """A JSON object of names that are quoted already, and JSON texts.

    >>> mapping([('"a"', "1.0")])
    '{"a":1.0}'
    """
    return "{" + ",".join(f"{name}:{value}" for name, value in pairs) + "}"


def plain(value: Mapping[str, object]) -> str:
    r"""Any JSON object in ASCII, compact.

    >>> plain({"a": [1, "ü"]})
    '{"a":[1,"\\u00fc"]}'
    """
    return json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
