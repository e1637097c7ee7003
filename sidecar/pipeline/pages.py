"""Page tokens: opaque and signed, so that any sidecar continues any other's search."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from dataclasses import asdict, dataclass

from sidecar.errors import invalid

_SIGNATURE_BYTES = 16  # of the digest's 32: enough against forgery, and a shorter token
_VERSION = b"1"  # part of what is signed: a token of another layout is not ours


@dataclass(frozen=True, slots=True)
class Page:
    """Where the next page of a search starts.

    `query` is a hash of every option that changes the order, so a token cannot continue another search.
    `reranked`: whether the pages before were.
    """

    pit: str
    offset: int
    query: str
    fingerprint: str
    weight: float
    window: int
    reranked: bool = False


class PageSigner:
    """Writes and reads page tokens.

    Parameters
    ----------
    key : bytes
        Shared by all sidecars behind one load balancer; at least 16 bytes.

    Raises
    ------
    ValueError
        If the key is shorter.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) < 16:
            raise ValueError(f"the page token key has {len(key)} bytes, 16 are needed")
        self._key = key

    def write(self, page: Page) -> str:
        """The token of a page."""
        body = json.dumps(asdict(page), separators=(",", ":"), sort_keys=True).encode()
        return _encode(self._sign(body) + body)

    def read(self, token: str) -> Page:
        """The page of a token.

        Raises
        ------
        ChercheError
            INVALID_ARGUMENT if it was changed, cut, signed with another key, or another release put more into it.
        """
        try:
            raw = base64.urlsafe_b64decode(token.encode("ascii") + b"=" * (-len(token) % 4))
        except (binascii.Error, UnicodeEncodeError):
            raw = b""
        signature, body = raw[:_SIGNATURE_BYTES], raw[_SIGNATURE_BYTES:]
        # base64 ignores characters that it does not know, so one token has many spellings: only our own counts.
        if not hmac.compare_digest(signature, self._sign(body)) or _encode(raw) != token:
            raise invalid(
                "the page token was not issued by this service, or was cut",
                "search again without it; sidecars behind one address need the same CHERCHE_PAGE_TOKEN_KEY",
            )
        try:
            return Page(**json.loads(body))
        except TypeError as error:
            raise invalid("the page token was issued by another release", "search again without it") from error

    def _sign(self, body: bytes) -> bytes:
        return hmac.new(self._key, _VERSION + body, hashlib.sha256).digest()[:_SIGNATURE_BYTES]


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
