"""Search bodies of many shapes over documents of several tenants, and what none of their hits may break."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

SYNONYMS = {"fox": "vixen", "wolf": "lobo", "tea": "chai"}
"""What the model adds to a text: documents with the second word are found by weights alone."""
ENCODED = ("title", "text")
COUNT = 200
TEXTS = ("red fox", "fox", "grey wolf tea", "wolf", "tea house")
_WORDS = ("red", "grey", "fox", "vixen", "wolf", "lobo", "tea", "chai", "house", "river", "stone", "cloud")
_CATEGORIES, _STATES, _GROUPS = ("animals", "drinks", "places"), ("published", "draft"), ("t1", "t2", "t3")
MAPPING = {
    "title": {"type": "text"},
    "text": {"type": "text"},
    "author": {"type": "text"},
    "sku": {"type": "keyword"},
    "category": {"type": "keyword"},
    "status": {"type": "keyword"},
    "group": {"type": "keyword"},
    "year": {"type": "integer"},
}


@dataclass(frozen=True, slots=True)
class Case:
    """A body with its caller's conditions.

    Attributes
    ----------
    body : dict
    text : str
        What a request may name as its text.
    must, must_not : lists of clauses
        Conditions that every hit fulfils, or none.
    is_open : bool
        Whether weights may bring in hits: one full-text clause, alone or beside conditions.
    """

    body: Json
    text: str
    must: list[Json] = field(default_factory=list)
    must_not: list[Json] = field(default_factory=list)
    is_open: bool = False

    def broken_by(self, id: str, source: Json) -> list[Json]:
        """The conditions that a hit breaks."""
        needed = [clause for clause in self.must if not matches(clause, id, source)]
        return needed + [clause for clause in self.must_not if matches(clause, id, source)]


def documents(count: int = COUNT) -> dict[str, Json]:
    """Documents by id, always the same."""
    rng = random.Random(12)
    return {
        f"d{i:03}": {
            "title": " ".join(rng.choices(_WORDS, k=rng.randint(1, 3))),
            "text": " ".join(rng.choices(_WORDS, k=rng.randint(1, 5))),
            "author": rng.choice(["ann fox", "red stone", "li cloud"]),
            "sku": f"A-{i}",
            "category": rng.choice(_CATEGORIES),
            "status": rng.choice(_STATES),
            "group": rng.choice(_GROUPS),
            "year": rng.randint(2015, 2024),
        }
        for i in range(count)
    }


def cases(count: int, seed: int) -> list[Case]:
    """Bodies of all shapes, drawn at random."""
    rng = random.Random(seed)
    return [_with_extras(rng.choice(_SHAPES)(rng), rng) for _ in range(count)]


def matches(clause: Json, id: str, source: Json, sparse: Callable[[Json], bool] | None = None) -> bool:
    """Whether a document matches a clause, as an engine would say; `sparse` stands for ``rank_feature`` clauses."""
    [(kind, body)] = clause.items()
    return _KINDS[kind](body, id, source, sparse)


def _bool(body: Json, id: str, source: Json, sparse: Callable[[Json], bool] | None) -> bool:
    def of(part: str) -> list[bool]:
        clauses = body.get(part, [])
        return [matches(one, id, source, sparse) for one in (clauses if isinstance(clauses, list) else [clauses])]

    should, needed = of("should"), [*of("must"), *of("filter")]
    least = int(body.get("minimum_should_match", 1 if should and not needed else 0))
    return all(needed) and not any(of("must_not")) and sum(should) >= least


def _match(body: Json, id: str, source: Json, sparse: object) -> bool:
    [(name, options)] = body.items()
    options = options if isinstance(options, dict) else {"query": options}
    return _multi_match({**options, "fields": [name]}, id, source, sparse)


def _multi_match(body: Json, id: str, source: Json, sparse: object) -> bool:
    names = [name.partition("^")[0] for name in body.get("fields", MAPPING)]
    return any(_in_field(name, body, source) for name in names)


def _in_field(name: str, options: Json, source: Json) -> bool:
    text, value = str(options["query"]), str(source[name])
    if MAPPING[name]["type"] != "text":
        return value == text
    words, held = text.split(), value.split()
    if options.get("type") == "phrase":
        return f" {text} " in f" {value} "
    least = len(words) if options.get("operator") == "and" else int(options.get("minimum_should_match", 1))
    return sum(word in held for word in words) >= least


def _range(body: Json, id: str, source: Json, sparse: object) -> bool:
    [(name, bounds)] = body.items()
    return bool(bounds.get("gte", 0) <= source[name] <= bounds.get("lte", 9999))


def _phrase(body: Json, id: str, source: Json, sparse: object) -> bool:
    [(name, text)] = body.items()
    return _in_field(name, {"query": text, "type": "phrase"}, source)


_KINDS: Mapping[str, Callable[[Any, str, Json, Any], bool]] = {
    "bool": _bool,
    "match": _match,
    "multi_match": _multi_match,
    "match_phrase": _phrase,
    "range": _range,
    "match_all": lambda body, id, source, sparse: True,
    "match_none": lambda body, id, source, sparse: False,
    "ids": lambda body, id, source, sparse: id in body["values"],
    "exists": lambda body, id, source, sparse: body["field"] in source,
    "term": lambda body, id, source, sparse: all(source[name] == value for name, value in body.items()),
    "terms": lambda body, id, source, sparse: all(source[name] in values for name, values in body.items()),
    "constant_score": lambda body, id, source, sparse: matches(body["filter"], id, source, sparse),
    "function_score": lambda body, id, source, sparse: matches(body["query"], id, source, sparse),
    "dis_max": lambda body, id, source, sparse: any(matches(one, id, source, sparse) for one in body["queries"]),
    "rank_feature": lambda body, id, source, sparse: sparse is not None and sparse(source),
}


def _plain(rng: random.Random) -> tuple[Json, str]:
    """A full-text clause that weights may add hits to, and its text."""
    text = rng.choice(TEXTS)
    clauses: list[Json] = [
        {"match": {"text": text}},
        {"match": {"title": {"query": text, "boost": 2.0}}},
        {"multi_match": {"query": text, "fields": ["title^2", "text"]}},
        {"multi_match": {"query": text, "fields": ["text"], "type": "most_fields"}},
    ]
    return rng.choice(clauses), text


def _strict(rng: random.Random) -> tuple[Json, str]:
    """A full-text clause that decides membership itself."""
    text = rng.choice(TEXTS)
    clauses: list[Json] = [
        {"match": {"text": {"query": text, "operator": "and"}}},
        {"match": {"title": {"query": text, "minimum_should_match": 1}}},
        {"multi_match": {"query": text, "fields": ["title", "text"], "type": "phrase"}},
        {"multi_match": {"query": text, "fields": ["title", "author"]}},
        {"match_phrase": {"text": text}},
        {"match": {"author": text}},
    ]
    return rng.choice(clauses), text


def _condition(rng: random.Random) -> Json:
    """A clause that a document fulfils or not, whatever an analyzer does."""
    conditions: list[Json] = [
        {"term": {"category": rng.choice(_CATEGORIES)}},
        {"term": {"group": rng.choice(_GROUPS)}},
        {"terms": {"status": [rng.choice(_STATES)]}},
        {"range": {"year": {"gte": rng.randint(2015, 2022)}}},
        {"range": {"year": {"lte": rng.randint(2017, 2024)}}},
        {"match": {"status": rng.choice(_STATES)}},
        {"match": {"year": str(rng.randint(2015, 2024))}},
        {"ids": {"values": [f"d{i:03}" for i in rng.sample(range(COUNT), 60)]}},
        {"constant_score": {"filter": {"term": {"category": rng.choice(_CATEGORIES)}}}},
        {"bool": {"should": [{"term": {"group": "t1"}}, {"term": {"group": "t2"}}]}},
    ]
    return rng.choice(conditions)


def _conditions(rng: random.Random, most: int = 2) -> list[Json]:
    return [_condition(rng) for _ in range(rng.randint(0, most))]


def _alone(rng: random.Random) -> Case:
    clause, text = _plain(rng)
    return Case({"query": clause}, text, is_open=True)


def _beside(rng: random.Random) -> Case:
    """One text beside filters and must_not."""
    clause, text = _plain(rng)
    filters, excluded = _conditions(rng), _conditions(rng)
    is_must = bool(filters) or rng.random() < 0.7
    query: Json = {"bool": {"must" if is_must else "should": [clause]}}
    for part, clauses in (("filter", filters), ("must_not", excluded)):
        if clauses:
            query["bool"][part] = clauses
    return Case({"query": query}, text, filters, excluded, is_open=True)


def _further_must(rng: random.Random) -> Case:
    clause, text = _plain(rng)
    conditions, excluded = [_condition(rng), *_conditions(rng, 1)], _conditions(rng, 1)
    must = [clause, *conditions]
    rng.shuffle(must)
    return Case({"query": {"bool": {"must": must, "must_not": excluded}}}, text, conditions, excluded)


def _exact(rng: random.Random) -> Case:
    lookups: list[Json] = [
        {"match": {"sku": f"A-{rng.randrange(COUNT)}"}},
        {"term": {"sku": f"A-{rng.randrange(COUNT)}"}},
        {"match": {"year": str(rng.randint(2015, 2024))}},
        {"multi_match": {"query": f"A-{rng.randrange(COUNT)}", "fields": ["sku", "title"]}},
        {"constant_score": {"filter": {"match": {"text": rng.choice(TEXTS)}}}},
        {"bool": {"filter": [_condition(rng)]}},
        _strict(rng)[0],
        _condition(rng),
    ]
    return Case({"query": rng.choice(lookups)}, rng.choice(TEXTS))


def _strict_beside(rng: random.Random) -> Case:
    clause, text = _strict(rng)
    filters = [_condition(rng)]
    return Case({"query": {"bool": {"must": [clause], "filter": filters}}}, text, filters)


def _optional(rng: random.Random) -> Case:
    clause, text = _plain(rng)
    filters = [_condition(rng)]
    return Case({"query": {"bool": {"should": [clause], "filter": filters}}}, text, filters)


def _several(rng: random.Random) -> Case:
    """Two texts."""
    (one, text), (other, _) = _plain(rng), _plain(rng)
    filters, part = _conditions(rng, 1), rng.choice(["must", "should"])
    query: Json = {"bool": {part: [one, other], "filter": filters}}
    if part == "should":
        query["bool"]["minimum_should_match"] = rng.choice([1, 2])
    return Case({"query": query}, text, filters)


def _inside(rng: random.Random) -> Case:
    """A search of another shape within function_score, dis_max or another bool."""
    inner = rng.choice([_alone, _beside, _further_must])(rng)
    query = inner.body["query"]
    wrapped: list[Json] = [
        {"function_score": {"query": query, "weight": 2.0}},
        {"bool": {"must": [query]}} if "bool" in query else {"bool": {"must": [{"bool": {"must": [query]}}]}},
        {"dis_max": {"queries": [query]}},
    ]
    return Case({"query": rng.choice(wrapped)}, inner.text, inner.must, inner.must_not)


def _with_extras(case: Case, rng: random.Random) -> Case:
    """A request's other parts; `post_filter` is one more condition."""
    body, must = dict(case.body), list(case.must)
    if rng.random() < 0.2:
        body["post_filter"] = _condition(rng)
        must.append(body["post_filter"])
    if rng.random() < 0.3:
        body["aggs"] = {"groups": {"terms": {"field": "group"}}}
    if rng.random() < 0.2:
        body["track_total_hits"] = True
    return Case(body, case.text, must, case.must_not, case.is_open)


_SHAPES = (_alone, _beside, _beside, _further_must, _exact, _exact, _strict_beside, _optional, _several, _inside)
