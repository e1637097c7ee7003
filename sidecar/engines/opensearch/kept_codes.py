"""Token codes of hits, kept for the next search that finds the same versions of documents.

The codes of a window are megabytes of base64 in JSON, which a cluster writes and a sidecar reads however often the same
documents are found. Where most hits of recent searches were known, a search leaves codes out, and those that are not
known are asked for afterwards. The answer is what the cluster would have answered to the same credentials:

- A version of a document, by its sequence number and primary term, never changes; its hash says how it was encoded.
- What one caller was given no other gets: fields are hidden from credentials, not from indices.
- Nor does the same caller, unless its credentials were given codes of that index within `TRUST` seconds. Else those of
  one hit are asked for, and must be the ones that are kept.
- Where anything does not fit together, the search is sent again as it was written.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from sidecar.engines.opensearch import answers, bookkeeping
from sidecar.engines.opensearch.answers import Found
from sidecar.engines.opensearch.hits import blob
from sidecar.engines.opensearch.http import Http, Request
from sidecar.engines.opensearch.known import Kept, key_of
from sidecar.engines.opensearch.values import JsonValue
from sidecar.values.bounded import ByBytes
from sidecar.values.documents import CODES, HASH, Json

TRUST = 1.0
"""Seconds for which credentials are known to read codes of an index: what a search knows of its index is as old."""
_WORTH = 0.5  # share of known hits from which on a second request costs less than it saves
_NEWEST = 0.3  # share of the newest search in a moving average
_PLACES = 1024  # callers and names of which something is known
_AN_ENTRY = 600  # bytes of a version beside its codes
_VERSIONED = "seq_no_primary_term"
_OF_ALL = ("search_pipeline",)  # parameters that hold for the request for codes too


State = tuple[str, str, str, int, int]
"""Index, routing, id, sequence number and primary term."""


class Version(NamedTuple):
    """One state of a document of a `concrete` index, as one caller sees it."""

    caller: str
    concrete: str
    routing: str
    id: str
    seq_no: int
    primary_term: int
    hash: str


class _Hit(NamedTuple):
    """A hit as it was answered, its version if it has one, and the codes that are kept of it."""

    raw: dict[str, Any]
    version: Version | None
    kept: bytes | None


@dataclass(frozen=True, slots=True)
class _Search:
    """A search that asks for codes, with the credentials of a caller; `deadline` is a time of `clock`."""

    http: Http
    request: Request
    body: Json
    what: str
    caller: str
    clock: Callable[[], float]
    deadline: float | None

    async def send(self, body: Json, **changes: Any) -> JsonValue:  # noqa: ANN401  # fields of a request
        """Send a search of the same index with another body."""
        left = None if self.deadline is None else max(0.001, self.deadline - self.clock())
        return await self.http.send(replace(self.request, body=body, **changes), what=self.what, timeout=left)

    async def whole(self) -> JsonValue:
        """The reply with codes and versions."""
        return await self.send({**self.body, _VERSIONED: True})

    async def bare(self) -> JsonValue:
        """The same without codes."""
        fields = [field for field in self.body["docvalue_fields"] if field != CODES]
        return await self.send({**self.body, "docvalue_fields": fields, _VERSIONED: True})

    async def codes(self, versions: Sequence[Version]) -> Mapping[Version, bytes | None]:
        """Codes of those versions that are still there; None for one that has none.

        From doc values alone: a source is read as a whole, and may hold codes and weights too.
        """
        ids, indices = sorted({one.id for one in versions}), sorted({one.concrete for one in versions})
        wanted = [{"ids": {"values": ids}}, {"terms": {"_index": indices}}]
        body = {
            **{key: self.body[key] for key in ("pit",) if key in self.body},
            "query": {"bool": {"filter": wanted}},
            # Where indices or routings share an id, some may be crowded out: then the whole search is sent.
            "size": len(versions),
            "_source": False,
            "docvalue_fields": [CODES, HASH],
            "track_total_hits": False,
            _VERSIONED: True,
        }
        params = {key: value for key, value in self.request.params.items() if key in _OF_ALL}
        found, _ = answers.sound_hits(await self.send(body, params=params), self.what)
        given = {_state(raw): raw.get("fields", {}) for raw in found}
        return {
            one: blob(given[one[1:6]], CODES)
            for one in versions
            # An earlier release kept the hash in another field.
            if one[1:6] in given and given[one[1:6]].get(HASH, [one.hash])[0] == one.hash
        }


class KeptCodes:
    """Codes by caller and version.

    Parameters
    ----------
    limit : int
        Bytes that are kept, about; with 0 nothing is, and searches are sent as they are.
    clock : callable
        Monotonic seconds.
    observe : callable
        Called for each search with how many hits had kept codes, and how many had none.
    """

    def __init__(
        self,
        limit: int = 0,
        *,
        clock: Callable[[], float] = time.monotonic,
        observe: Callable[[int, int], None] = lambda known, unknown: None,
    ) -> None:
        self._codes: ByBytes[Version, bytes] = ByBytes(limit)
        self._clock = clock
        self._observe = observe
        self._shares: Kept[float] = Kept(_PLACES)
        self._proofs: Kept[float] = Kept(_PLACES)

    @property
    def limit(self) -> int:
        """Bytes that may be kept."""
        return self._codes.limit

    @property
    def size(self) -> int:
        """Bytes that are kept."""
        return self._codes.bytes

    async def answer(self, http: Http, request: Request, what: str, timeout: float | None) -> Found:
        """What answers a search that asks for codes; those of its hits as bytes.

        Parameters
        ----------
        http : Http
            With the caller's credentials.
        request : Request
            The whole search.
        what : str
            Names the item in errors.
        timeout : float or None
            Seconds that all of it may take.

        Raises
        ------
        ChercheError
            As `Http.send`; UNAVAILABLE for a reply without hits.
        """
        body = request.body
        if not self.limit or not isinstance(body, dict):
            return answers.found(await http.send(request, what=what, timeout=timeout), what)
        place, now = key_of(http.identity, request.path), self._clock()
        search = _Search(http, request, body, what, place[0], self._clock, None if timeout is None else now + timeout)
        share = self._shares.get(place)
        completed = await self._completed(search) if share is not None and share >= _WORTH else None
        found, hits = completed or await self._whole(search)
        if hits:
            known = sum(hit.kept is not None for hit in hits)
            newest = known / len(hits)
            self._shares.put(place, newest if share is None else (1 - _NEWEST) * share + _NEWEST * newest)
            self._observe(known, len(hits) - known)
        if not body.get(_VERSIONED):
            for hit in hits:
                hit.raw.pop("_seq_no", None)
                hit.raw.pop("_primary_term", None)
        return found

    async def _whole(self, search: _Search) -> tuple[Found, list[_Hit]]:
        """The answer with everything, which is kept, and its hits."""
        asked = self._clock()
        found = answers.found(await search.whole(), search.what)
        hits = self._hits(found, search)
        for hit in hits:
            codes = _put(hit, blob(hit.raw.get("fields", {}), CODES))
            if hit.version is not None:
                self._learn(hit.version, codes, asked)
        return found, hits

    async def _completed(self, search: _Search) -> tuple[Found, list[_Hit]] | None:
        """The answer without codes, completed by those that are kept; None where they do not fit together."""
        asked = self._clock()
        found = answers.found(await search.bare(), search.what)
        hits = self._hits(found, search)
        proofs = self._unproven(hits, asked)
        wanted = [hit.version for hit in hits if hit.kept is None] + list(proofs)
        versions = [version for version in wanted if version is not None]
        if len(versions) < len(wanted):
            return None
        given = await search.codes(versions) if versions else {}
        for version, codes in given.items():
            self._learn(version, codes, asked)
        if any(version not in given for version in versions) or any(given[one] != proofs[one] for one in proofs):
            return None
        for hit in hits:
            _put(hit, given[hit.version] if hit.kept is None and hit.version is not None else hit.kept)
        return found, hits

    def _hits(self, found: Found, search: _Search) -> list[_Hit]:
        hits = []
        for raw in found.hits:
            version = _version(raw, search.caller)
            kept = None if version is None else self._codes.get(version)
            hits.append(_Hit(raw, version, kept))
        return hits

    def _unproven(self, hits: Sequence[_Hit], now: float) -> dict[Version, bytes]:
        """A version of each index that the caller is not known to read codes of, with those that are kept."""
        first = {
            hit.version.concrete: (hit.version, hit.kept)
            for hit in reversed(hits)
            if hit.version is not None and hit.kept is not None
        }
        return dict(one for one in first.values() if not self._is_proven(one[0], now))

    def _is_proven(self, version: Version, now: float) -> bool:
        proven = self._proofs.get(version[:2])
        return proven is not None and now - proven < TRUST

    def _learn(self, version: Version, codes: bytes | None, asked: float) -> None:
        """Take note of what the cluster gave, or did not give, to a caller who asked at that time."""
        kept = self._codes.get(version)
        if kept is not None and kept != codes:
            # A version does not change: what this caller may read did.
            self._codes.drop_where(lambda one: one[:2] == version[:2])
            self._proofs.drop(version[:2])
        if codes is not None and version.hash:
            self._codes.keep(version, codes, len(codes) + _AN_ENTRY)
            self._proofs.put(version[:2], asked)


def _state(raw: Json) -> State | None:
    """Where a hit lies and what was written last; None where it does not say so."""
    if not {"_index", "_seq_no", "_primary_term"} <= raw.keys():
        return None
    place = str(raw["_index"]), str(raw.get("_routing", "")), str(raw["_id"])
    return *place, int(raw["_seq_no"]), int(raw["_primary_term"])


def _version(raw: Json, caller: str) -> Version | None:
    """The version of a hit; None where it does not say which. Without a hash, as nobody encoded it, none is kept."""
    state = _state(raw)
    return Version(caller, *state, bookkeeping.hash_of(raw.get("_source") or {})) if state else None


def _put(hit: _Hit, codes: bytes | None) -> bytes | None:
    """Let a hit have these codes, as if the cluster had answered bytes."""
    if codes is not None:
        hit.raw.setdefault("fields", {})[CODES] = [codes]
    return codes
