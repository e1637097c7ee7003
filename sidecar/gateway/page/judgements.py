"""Judgements that a person made in the page: a file for each index, and what the modes are worth by them."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pydantic import BaseModel, Field

from cherche_models.evaluate.measures import per_query
from cherche_models.evaluate.significance import compare, standard_error
from sidecar import pipeline
from sidecar.errors import invalid, precondition
from sidecar.gateway.page.work import Done, Steps
from sidecar.pipeline import Context
from sidecar.services import Services, index_name
from sidecar.values.first_stage import Mode
from sidecar.values.search import SearchRequest

GRADES = (0, 1, 2, 3)
Judged = dict[str, dict[str, int]]
MODES: Mapping[str, tuple[Mode, bool]] = {
    "bm25": ("bm25", False),
    "hybrid": ("hybrid", False),
    "hybrid+rerank": ("hybrid", True),
}
_NDCG, _DEPTH = "ndcg@10", 10
_BREAKS = re.compile(r"[\t\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")
"""In an id, what would end its column or line in a file of judgements."""
_LONGEST_NAME = 200  # bytes: file systems take 255
_MOST = 500
"""Judged queries that are searched in one measurement."""


class JudgementBody(BaseModel):
    """A grade of one document for one query; null takes it back."""

    index: str
    query: str = Field(min_length=1, max_length=10_000)
    id: str = Field(min_length=1, max_length=512)
    grade: int | None = Field(ge=min(GRADES), le=max(GRADES))


@dataclass(frozen=True, slots=True)
class Judgements:
    """Judgements in a folder of the user's, one JSON line for each decision; the last one holds.

    Attributes
    ----------
    folder : Path
    """

    folder: Path

    def path(self, index: str) -> Path:
        """The file of an index; whatever its name is, the file lies in the folder.

        >>> Judgements(Path("judged")).path("../logs-*").as_posix()
        'judged/..%2Flogs-%2A.jsonl'
        """
        name = quote(index, safe="")
        if len(name) > _LONGEST_NAME:
            # Of a name in another script each character takes nine.
            name = f"{name[:_LONGEST_NAME]}-{hashlib.sha256(index.encode()).hexdigest()[:16]}"
        return self.folder / f"{name}.jsonl"

    def read(self, index: str) -> Judged:
        """Query → document → grade, queries in the order in which they were judged first.

        Raises
        ------
        ChercheError
            FAILED_PRECONDITION naming file and line where it is none of ours, or cannot be read.
        """
        path, found = self.path(index), dict[str, dict[str, int]]()
        try:
            lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        except (OSError, UnicodeDecodeError) as error:
            raise precondition(f"{path} cannot be read: {error}", "mend or move the file") from error
        for number, line in enumerate(lines, 1):
            try:
                one = json.loads(line)
                query, id, grade = str(one["query"]), str(one["id"]), one["grade"]
                if grade is not None and grade not in GRADES:
                    raise ValueError(f"the grade {grade!r} is none of {', '.join(map(str, GRADES))}")
            except (ValueError, KeyError, TypeError) as error:
                raise precondition(f"{path}:{number} is no judgement: {error}", "mend or move the file") from error
            row = found.setdefault(query, {})
            row.pop(id, None)
            if grade is not None:
                row[id] = int(grade)
        return {query: row for query, row in found.items() if row}

    def add(self, body: JudgementBody) -> None:
        """Append a decision; it is on the disk when this returns.

        Raises
        ------
        ChercheError
            FAILED_PRECONDITION where the file cannot be written.
        """
        path, line = self.path(index_name(body.index)), body.model_dump(exclude={"index"})
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line, ensure_ascii=True) + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise precondition(
                f"{path} cannot be written: {error.strerror or error}", "free space, or set CHERCHE_GATEWAY__JUDGEMENTS"
            ) from error


def judgements_json(judgements: Judgements, index: str) -> dict[str, Any]:
    """The judgements of an index, and as files of BEIR and TREC, which ``cherche tune`` and ``eval`` read.

    Columns of TREC's are parted by white space, so that an id which holds some is left out of that file alone.
    """
    found = judgements.read(index_name(index))
    ids = {query: f"q{number}" for number, query in enumerate(found, 1)}
    judged_ids = [(ids[query], id, grade) for query, row in found.items() for id, grade in row.items()]
    rows = [f"{query}\t{id}\t{grade}" for query, id, grade in judged_ids if not _BREAKS.search(id)]
    plain = [f"{query} 0 {id} {grade}" for query, id, grade in judged_ids if not re.search(r"\s", id)]
    queries = [json.dumps({"_id": ids[query], "text": query}, ensure_ascii=False) for query in found]
    return {
        "path": str(judgements.path(index)),
        "queries": [{"query": query, "grades": row} for query, row in found.items()],
        "qrels_tsv": "\n".join(["query-id\tcorpus-id\tscore", *rows, ""]),
        "left_out": len(judged_ids) - len(rows),
        "qrels_trec": "".join(f"{line}\n" for line in plain),
        "left_out_of_trec": len(judged_ids) - len(plain),
        "queries_jsonl": "\n".join([*queries, ""]),
    }


def relevant(qrels: Judged) -> list[str]:
    """Queries with a relevant document, the latest ones where they are many."""
    return [query for query, row in qrels.items() if any(grade > 0 for grade in row.values())][-_MOST:]


async def measuring_steps(
    judgements: Judgements, index: str, services: Services, context: Callable[[], Context]
) -> Steps:
    """nDCG@10 of each mode over the judged queries, with its standard error, and compared with BM25.

    A document that nobody judged counts as not relevant, so that a mode gains by what it alone finds only once
    that is judged: the pool of the page holds the best hits of all modes.

    Parameters
    ----------
    context : callable
        Of the caller, with a deadline of its own for each search.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT where nothing relevant was judged; as `pipeline.search`.
    """
    qrels = await asyncio.to_thread(judgements.read, index_name(index))
    queries = relevant(qrels)
    if not queries:
        raise invalid("no query has a relevant document yet", "grade a hit 1, 2 or 3")
    rankings: dict[str, dict[str, Sequence[str]]] = {name: {} for name in MODES}
    for done, query in enumerate(queries, 1):
        for name, (mode, rerank) in MODES.items():
            request = SearchRequest(index, query, mode=mode, rerank=rerank, size=_DEPTH, source_fields=("_id",))
            result = await pipeline.search(request, context())
            services.measure(result)
            rankings[name][query] = [hit.id for hit in result.hits]
        yield Done(done, len(queries))
    wanted = {query: qrels[query] for query in queries}
    values = {
        name: (await asyncio.to_thread(per_query, found, wanted, [_NDCG]))[_NDCG] for name, found in rankings.items()
    }
    rows = [_row(name, values[name], values["bm25"]) for name in MODES]
    yield Done(len(queries), len(queries), {"queries": len(queries), "modes": rows})


def _row(name: str, values: Mapping[str, float], base: Mapping[str, float]) -> dict[str, Any]:
    """One mode: mean, standard error of the mean (None for a single query), and the paired difference to BM25."""
    against = asdict(compare(base, values)) if name != "bm25" else None
    mean = sum(values.values()) / len(values)
    return {"mode": name, "ndcg": mean, "standard_error": standard_error(values.values()), "against_bm25": against}
