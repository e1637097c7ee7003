"""Feature names: vocabulary tokens as names in a rank_features field.

A `rank_feature` query splits ``field.name`` at the last dot, so a name with a
dot is stored but never matched; Elasticsearch rejects it
(elasticsearch PR#93756). Percent-encoding is injective and reversible.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal
from urllib.parse import unquote

Naming = Literal["escaped", "id"]

_UNSAFE = re.compile(r"[%. \x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


@lru_cache(maxsize=1 << 16)  # of a search's terms most were in one before
def escape(token: str) -> str:
    """The feature name of a token.

    Raises
    ------
    ValueError
        If the token is empty: engines store an empty feature name but never match it.

    >>> escape("."), escape("##s"), escape("50%")
    ('%2E', '##s', '50%25')
    """
    if not token:
        raise ValueError("the empty token has no feature name: use naming='id'")
    return _UNSAFE.sub(_percent, token)


def unescape(name: str) -> str:
    """The token of a feature name.

    Raises
    ------
    ValueError
        If the percent-encoded bytes are not UTF-8, which `escape` never produces.

    >>> unescape("%2E"), unescape("50%25")
    ('.', '50%')
    """
    return unquote(name, errors="surrogatepass")


def feature_names(tokens: Sequence[str], naming: Naming = "escaped") -> list[str]:
    """Names of a whole vocabulary, in id order.

    Parameters
    ----------
    tokens : sequence of str
        Token strings; the position is the id.
    naming : {"escaped", "id"}
        Percent-encoded tokens, or decimal ids (for vocabularies with repeated strings).

    Raises
    ------
    ValueError
        If two ids would share a name, or a token is empty.

    >>> feature_names(["a", "."])
    ['a', '%2E']
    >>> feature_names(["a", "."], naming="id")
    ['0', '1']
    """
    if naming == "id":
        return [str(i) for i in range(len(tokens))]
    names = [escape(token) for token in tokens]
    if len(set(names)) != len(names):
        repeated = [name for name, times in Counter(names).items() if times > 1]
        raise ValueError(f"vocabulary repeats the tokens {sorted(repeated)[:3]}: use naming='id'")
    return names


def _percent(match: re.Match[str]) -> str:
    encoded = match.group().encode("utf-8", errors="surrogatepass")
    return "".join(f"%{byte:02X}" for byte in encoded)
