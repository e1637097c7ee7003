"""Which text of a search is encoded, and whether its weights may bring in hits of their own. Pure.

`tests/contract/membership.json` holds this module and the plugin's ``FirstStage`` to the same answers; CONTRIBUTING.md
("One rule of membership") has the rule in words.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sidecar.pipeline.membership import is_sorted
from sidecar.values.documents import Json
from sidecar.values.first_stage import MatchSetRan
from sidecar.values.search import MatchSet

_OF_MANY_FIELDS = ("multi_match", "combined_fields")
_PLAIN_KINDS = ("match", *_OF_MANY_FIELDS)
_TEXT_KINDS = (*_PLAIN_KINDS, "match_phrase", "match_phrase_prefix", "match_bool_prefix")
_STRICT_TYPES = ("phrase", "phrase_prefix", "bool_prefix")
_DECIDING_OPTIONS = ("minimum_should_match", "fuzziness")
_INNER = {"function_score": "query", "boosting": "positive", "dis_max": "queries", "nested": "query"}
_OF_A_BOOL = frozenset(("must", "should", "filter", "must_not", "boost", "_name", "adjust_pure_negative"))
_OF_THE_HITS = ("collapse", "min_score")

# Their scores are on scales of their own, and some of them may stand at the top of a search only.
_NOT_REWRITTEN = (
    "knn",
    "neural",
    "neural_sparse",
    "hybrid",
    "script_score",
    "semantic",
    "sparse_vector",
    "text_expansion",
    "weighted_tokens",
)
_INSTEAD_OF_A_QUERY = ("retriever", "knn", "rank", "sub_searches")

_PLAIN = "one full-text clause on encoded fields"
_PINNED = "the request says so"
_SEVERAL = "several scoring clauses decide which documents match"
_OPTIONAL = "a filter makes the should clause optional"
_ELSEWHERE = "a searched field is not encoded"
_NO_TEXT = "no full-text clause scores on an encoded field, and the request names no text"


@dataclass(frozen=True, slots=True)
class Membership:
    """A decision: the text to encode, the match set that runs, and why.

    Attributes
    ----------
    text : str
        "" where there is none.
    match_set : {"union", "lexical", "none"}
        `union`: either clause finds hits, within the caller's filters. `lexical`: the caller's query decides, term
        weights only add score. `none`: the query is sent as it was written.
    reason : str
    """

    text: str
    match_set: MatchSetRan
    reason: str


def decide(body: Json, encoded: Collection[str], wanted: MatchSet = "auto", text: str = "") -> Membership:
    """Decide membership of one search.

    Parameters
    ----------
    body : mapping
        The caller's search body; without a query, the sidecar searches the encoded fields.
    encoded : collection of str
        Names of the encoded fields.
    wanted : {"auto", "lexical", "union"}
        What the request pins. A union that would break a condition of the query runs as lexical.
    text : str
        What the request names as its text; else the first candidate of the query.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT for a sort that names nothing.

    >>> decide({"query": {"match": {"text": "fox"}}}, ["text"])
    Membership(text='fox', match_set='union', reason='one full-text clause on encoded fields')
    >>> decide({"query": {"match": {"sku": "A-100"}}}, ["text"], text="fox").match_set
    'lexical'
    """
    query = body.get("query")
    leaves = [] if query is None else list(_scoring(query))
    found = next((one for leaf in leaves if (one := _candidate(*leaf, encoded))), "")
    text = text if text.strip() else found
    foreign = next((kind for kind, _ in leaves if kind in _NOT_REWRITTEN), "")
    foreign = foreign or next((key for key in _INSTEAD_OF_A_QUERY if key in body), "")
    if foreign:
        return Membership(text, "none", f"{foreign} is not rewritten")
    if not text:
        return Membership("", "none", _NO_TEXT)
    if wanted == "lexical":
        return Membership(text, "lexical", _PINNED)
    if query is not None and (reason := _decided_by(query, encoded)):
        return Membership(text, "lexical", reason)
    if wanted == "union":
        return Membership(text, "union", _PINNED)
    key = "sort" if is_sorted(body) else next((key for key in _OF_THE_HITS if key in body), "")
    if key:
        return Membership(text, "lexical", f"the request has {key}")
    return Membership(text, "union", _PLAIN)


def _scoring(query: object) -> Iterator[tuple[str, Any]]:
    """Kind and body of the clauses that score, in document order, `must` before `should`."""
    kind, body = _one(query)
    if kind == "bool":
        for part in ("must", "should"):
            for clause in _listed(_get(body, part)):
                yield from _scoring(clause)
    elif kind in _INNER and _get(body, "score_mode") != "none":
        for clause in _listed(_get(body, _INNER[kind])):
            yield from _scoring(clause)
    else:
        yield kind, body


def _candidate(kind: str, body: object, encoded: Collection[str]) -> str:
    """The text of a full-text clause on an encoded field; "" for any other clause."""
    if kind not in _TEXT_KINDS:
        return ""
    fields, options = _full_text(kind, body)
    text = _get(options, "query")
    if not isinstance(text, str) or not text.strip():
        return ""
    return text if any(_matches(pattern, name) for pattern in fields for name in encoded) else ""


def _decided_by(query: object, encoded: Collection[str]) -> str:
    """Why the query alone decides its hits; "" where weights may bring in more."""
    if isinstance(query, str):  # of the embedded engine: a text
        return ""
    kind, body = _one(query)
    if kind == "bool" and isinstance(body, Mapping):
        other = next((key for key in body if key not in _OF_A_BOOL), "")
        if other:
            return _deciding(other)
        must, should = _listed(body.get("must")), _listed(body.get("should"))
        if len(must) + len(should) != 1:
            return _SEVERAL if must or should else _deciding(kind)
        if should and _listed(body.get("filter")):
            return _OPTIONAL
        kind, body = _one([*must, *should][0])
    if kind not in _PLAIN_KINDS:
        return _deciding(kind)
    fields, options = _full_text(kind, body)
    if str(_get(options, "operator")).lower() == "and":
        return _deciding("operator and")
    if (strict := str(_get(options, "type")).lower()) in _STRICT_TYPES:
        return _deciding(f"type {strict}")
    option = next((key for key in _DECIDING_OPTIONS if _get(options, key) is not None), "")
    if option:
        return _deciding(option)
    return "" if all(name in encoded for name in fields) else _ELSEWHERE


def _deciding(what: str) -> str:
    return f"{what or 'the query'} decides which documents match"


def _full_text(kind: str, body: object) -> tuple[list[str], object]:
    """Fields, or patterns of fields, and options of a full-text clause."""
    if kind in _OF_MANY_FIELDS:
        named = _listed(_get(body, "fields"))
        return [str(name).partition("^")[0] for name in named] or ["*"], body
    name, options = _one(body)
    return [name], options if isinstance(options, Mapping) else {"query": options}


def _matches(pattern: str, name: str) -> bool:
    """Whether a field is meant; ``*`` stands for any characters.

    >>> _matches("ti*", "title"), _matches("title", "title.keyword")
    (True, False)
    """
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), name, re.DOTALL) is not None


def _one(clause: object) -> tuple[str, Any]:
    """The only key of an object, and its value; an engine refuses any other clause."""
    if not isinstance(clause, Mapping) or len(clause) != 1:
        return "", None
    [(key, value)] = clause.items()
    return str(key), value


def _get(value: object, key: str) -> Any:  # noqa: ANN401  # any JSON value
    return value.get(key) if isinstance(value, Mapping) else None


def _listed(value: Any) -> list[Any]:  # noqa: ANN401  # any JSON value
    if value is None:
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]
