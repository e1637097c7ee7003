"""What a cluster answers, as hits and documents. Pure."""

from __future__ import annotations

import binascii
from collections.abc import Mapping, Sequence
from typing import Any

import pybase64

from sidecar.engines.opensearch import answers, bookkeeping
from sidecar.engines.opensearch.query import LEXICAL, says_sum
from sidecar.engines.opensearch.values import JsonValue
from sidecar.values.clauses import SPARSE
from sidecar.values.documents import CODES, OWN_FIELDS, SEISMIC, TERMS, Json, StoredDocument
from sidecar.values.first_stage import EngineHit, EnginePage, Hits, Query

_READ = ("_index", "_id", "_score", "_source", "fields", "matched_queries")
_ROUNDING = 2.0**-22  # of a float, twice
_NOT_PASSED_ON = ("suggest", "profile")


def page(
    found: answers.Found,
    query: Query,
    *,
    request: Json,
    warnings: tuple[str, ...] = (),
    sparse_parts: Mapping[str, float] | None = None,
) -> EnginePage:
    """Read a search's answer; a hit that cannot be read is left out, and a warning says so.

    Parameters
    ----------
    query : Query
        As it was sent: with `first_terms` only where these found candidates.
    sparse_parts : mapping or None
        Sparse score by id, where the reply cannot hold it.
    """
    reply, raws = found.reply, found.hits
    total = reply["hits"].get("total")
    counted = isinstance(total, Mapping) and type(total.get("value")) is int
    aggregations = reply.get("aggregations")
    return EnginePage(
        hits=_hits(raws, query, sparse_parts),
        # With track_total_hits off there is no count: what was seen is a lower bound.
        total=int(total["value"]) if counted else query.offset + len(raws),
        # Of two phases the count is of what the first one found; of Seismic's, of the nearest.
        total_is_lower_bound=not counted
        or total.get("relation") != "eq"
        or bool(query.first_terms)
        or (_is_approximate(query) and query.match_set == "union"),
        aggregations=aggregations if isinstance(aggregations, Mapping) else None,
        pit=str(reply.get("pit_id") or ""),
        request=request,
        warnings=(
            *warnings,
            *_doubts(reply),
            *_unscored(raws, query),
            *(f"the cluster answered a hit that is left out: {oddity}" for oddity in found.oddities[:1]),
        ),
        indices=tuple(sorted({str(raw["_index"]) for raw in raws if "_index" in raw})),
        partial=bool(_mapping(reply.get("_shards")).get("failed")),
        first_terms=query.first_terms,
    )


def stored_document(raw: Json, doc_values: Json) -> StoredDocument:
    """Read a stored document.

    A document whose state says ok and whose packed terms are gone was re-indexed from its
    ``_source`` by somebody else: it counts as never encoded, so that it is encoded again.
    """
    source = raw.get("_source") or {}
    terms = blob(doc_values, TERMS)
    note = bookkeeping.read(source)
    damaged = note.state == "ok" and terms is None
    return StoredDocument(
        id=str(raw["_id"]),
        source=without_own(source),
        hash="" if damaged else note.hash,
        state="pending" if damaged else note.state,
        terms=terms,
        codes=blob(doc_values, CODES),
        routing=str(raw.get("_routing", "")),
        exposed=note.exposed,
    )


def without_own(source: Json) -> dict[str, Any]:
    """Give the user's own fields of a document."""
    return {key: value for key, value in source.items() if key not in OWN_FIELDS}


def blob(fields: Json, name: str) -> bytes | None:
    """Bytes of a binary doc value, None where there is none that can be read; the server leaves base64 unpadded.

    Bytes in place of base64 were read before.

    >>> blob({"cherche_codes": ["Y29kZXM"]}, "cherche_codes")
    b'codes'
    """
    values = fields.get(name)
    if not values:
        return None
    if isinstance(values[0], bytes):
        return values[0]
    text = str(values[0])
    try:
        return pybase64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        # Damaged, as are codes whose header is: the hit keeps its place, and a feed encodes the document again.
        return None


def _hits(raws: Sequence[Json], query: Query, sparse_parts: Mapping[str, float] | None) -> Hits:
    return Hits(
        [str(raw["_id"]) for raw in raws],
        [_score(raw, query, sparse_parts) for raw in raws],
        [blob(raw.get("fields", {}), CODES) for raw in raws],
        lambda place: _hit(raws[place], query, sparse_parts),
    )


def _hit(raw: Json, query: Query, sparse_parts: Mapping[str, float] | None) -> EngineHit:
    fields = raw.get("fields", {})
    lexical, sparse, boost = _parts(raw, query, sparse_parts)
    source = without_own(raw.get("_source") or {})
    return EngineHit(
        id=str(raw["_id"]),
        score=_score(raw, query, sparse_parts),
        lexical=lexical,
        sparse=sparse,
        source=source,
        terms=blob(fields, TERMS),
        codes=blob(fields, CODES),
        extra=_extra(raw),
        index=str(raw.get("_index", "")),
        held=_held(raw, query, source),
        boost=boost,
    )


def _score(raw: Json, query: Query, sparse_parts: Mapping[str, float] | None) -> float:
    score = raw.get("_score")
    if score is None:  # of hits that are sorted by a field
        lexical, sparse, _ = _parts(raw, query, sparse_parts)
        score = lexical + sparse
    return float(score)


def _held(raw: Json, query: Query, source: Json) -> StoredDocument | None:
    """What a hit says of its neural part; of terms and codes one is read, as a write has both or neither."""
    read = raw.get("_source")
    if not query.with_state or read is None:
        return None
    note = bookkeeping.read(read)
    part = CODES if query.needs_codes else TERMS
    is_complete = note.state == "ok" and bool(raw.get("fields", {}).get(part))
    return StoredDocument(str(raw["_id"]), source, note.hash, note.state, is_complete=is_complete)


def _parts(raw: Json, query: Query, sparse_parts: Mapping[str, float] | None) -> tuple[float, float, float]:
    """Lexical and sparse part of a hit's score, and the boost of its index, which is in both."""
    named = raw.get("matched_queries")
    score = float(raw.get("_score") or 0.0)
    if query.match_set == "none":  # the clauses are the caller's, whatever they are named
        return score, 0.0, 1.0
    if sparse_parts is None and says_sum(query) and (named is None or isinstance(named, Mapping)):
        # Named is the lexical clause alone: a hit of the sparse one has no name.
        lexical = float((named or {}).get(LEXICAL, 0.0))
        return lexical, _rest(score, lexical), 1.0
    if isinstance(named, Mapping) and sparse_parts is None:
        lexical, sparse = float(named.get(LEXICAL, 0.0)), float(named.get(SPARSE, 0.0))
        if query.first_terms:
            # The named clause has the terms of the first phase alone; those of the second are in the score.
            return lexical, _rest(score, lexical), 1.0
        # Scores of named queries are those before `indices_boost` (seen in 3.8.0).
        boosted = "indices_boost" in query.body and score and lexical + sparse
        boost = score / (lexical + sparse) if boosted else 1.0
        return boost * lexical, boost * sparse, boost
    if query.mode == "sparse":
        return 0.0, score, 1.0
    sparse = (sparse_parts or {}).get(str(raw["_id"]), 0.0)
    # The score of a `bool` is the sum of its clauses: what is not sparse is lexical.
    return score - sparse, sparse, 1.0


def _rest(score: float, lexical: float) -> float:
    """What a score has beside its lexical part; 0 where that is the rounding of two sums of floats.

    >>> _rest(4.0, 1.5), _rest(3.0000002, 3.0), _rest(3.0, 3.0000002)
    (2.5, 0.0, 0.0)
    """
    rest = score - lexical
    return rest if rest > score * _ROUNDING else 0.0


def _extra(raw: Json) -> dict[str, Any]:
    """Everything of a hit that is neither read by us nor ours."""
    extra = {key: value for key, value in raw.items() if key not in _READ}
    if fields := {name: value for name, value in raw.get("fields", {}).items() if name not in OWN_FIELDS}:
        extra["fields"] = fields
    named = raw.get("matched_queries", {})
    users = [name for name in named if name not in (LEXICAL, SPARSE)]
    if users:
        extra["matched_queries"] = {n: named[n] for n in users} if isinstance(named, Mapping) else users
    return extra


def _doubts(reply: Json) -> tuple[str, ...]:
    """Why the hits may not be all that match."""
    said = []
    if reply.get("timed_out"):
        said.append("the cluster stopped searching at its time limit: hits are incomplete")
    shards = _mapping(reply.get("_shards"))
    if shards.get("failed"):
        failures = shards.get("failures")
        first = _mapping(failures[0] if isinstance(failures, list) and failures else None)
        reason = _mapping(first.get("reason")).get("reason", "no reason given")
        said.append(f"{shards['failed']} of {shards.get('total', '?')} shards failed: {reason}")
    said += [f"the cluster's {key!r} is not passed on" for key in _NOT_PASSED_ON if key in reply]
    return tuple(said)


def _is_approximate(query: Query) -> bool:
    return query.weights == SEISMIC and query.mode != "bm25" and bool(query.clauses)


def _unscored(raws: Sequence[Json], query: Query) -> tuple[str, ...]:
    """What to say of hits whose weights were not scored, whether or not they share a term with the query."""
    if not _is_approximate(query) or query.mode != "hybrid" or query.match_set == "none":
        return ()
    lacking = sum(SPARSE not in _mapping(raw.get("matched_queries")) for raw in raws)
    if not lacking:
        return ()
    return (
        f"{lacking} of {len(raws)} hits have the score of BM25 alone: Seismic scores the "
        f"{max(query.candidates, query.offset + query.size):,} nearest of a segment",
    )


def _mapping(value: JsonValue) -> Json:
    """An object; {} in place of anything else, where only its absence matters."""
    return value if isinstance(value, Mapping) else {}
