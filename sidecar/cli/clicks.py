"""What a log of clicks says, for ``cherche tune``: queries and judgements, and files for eval, bakeoff and train."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sidecar.cli.trials import Gains
from sidecar.errors import ChercheError, invalid
from sidecar.pipeline.text import field_texts, has_text, join
from sidecar.values.index import TextField

if TYPE_CHECKING:
    from cherche_models.evaluate.clicks import Preference, Shown
    from sidecar.client.client import Client

PAIRS = "pairs.jsonl"


@dataclass(frozen=True, slots=True)
class Clicked:
    """A log, and what it says: texts of queries, and gains of documents."""

    log: Sequence[Shown]
    texts: dict[str, str]
    gains: dict[str, dict[str, float]]

    def first(self, limit: int | None) -> tuple[dict[str, str], Gains]:
        """Texts and gains of the first queries."""
        kept = list(self.texts)[:limit]
        return {query: self.texts[query] for query in kept}, {query: self.gains[query] for query in kept}

    def save(self, folder: Path) -> None:
        """Write the judgements as BEIR has them."""
        from cherche_models.evaluate import clicks

        names = {query: f"click-{number}" for number, query in enumerate(self.texts, 1)}
        _write(folder / "queries.jsonl", ({"_id": names[query], "text": text} for query, text in self.texts.items()))
        rows = [
            f"{names[query]}\t{id}\t{clicks.grade(gain)}\n"
            for query, row in self.gains.items()
            for id, gain in row.items()
        ]
        (folder / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(rows), encoding="utf-8")


def read_log(path: Path) -> Clicked:
    """Read a log of clicks.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT naming the line that is none, or what the log lacks.
    """
    from cherche_models.evaluate import clicks

    try:
        log = clicks.read_clicks(path)
    except ValueError as error:
        raise invalid(str(error), "correct the file") from error
    texts, gains = clicks.gains(log)
    if len(texts) < (least := clicks.LEAST_QUERIES):
        raise invalid(
            f"{path} says which documents people prefer for {len(texts)} queries, and {least} are needed",
            "log more searches, or judge some and give --queries and --qrels",
        )
    return Clicked(log, texts, gains)


async def save_pairs(
    client: Client, index: str, fields: Sequence[TextField], log: Sequence[Shown], folder: Path
) -> str:
    """Write pairs for ``cherche train``, with the text of the index's fields; says what became of them."""
    from cherche_models.evaluate import clicks

    try:
        found = clicks.preferences(log)
    except ValueError as error:
        return f"no {PAIRS}: {error}"
    wanted = dict.fromkeys(id for one in found for id in (one.positive, *one.negatives, *one.answers))
    texts = await _texts(client, index, fields, list(wanted))
    rows = [_example(one, texts) for one in found if one.positive in texts]
    _write(folder / PAIRS, rows)
    absent = len(found) - len(rows)
    left_out = f"; {absent:,} left out, whose document {index} no longer has" if absent else ""
    return f"{len(rows):,} pairs for cherche train in {folder / PAIRS}{left_out}"


def _example(one: Preference, texts: Mapping[str, str]) -> dict[str, Any]:
    return {
        "query": one.query,
        "positive": texts[one.positive],
        "negatives": [texts[id] for id in one.negatives if id in texts],
        "answers": [texts[id] for id in one.answers if id in texts],
        "source": "clicks",
    }


async def _texts(client: Client, index: str, fields: Sequence[TextField], ids: Sequence[str]) -> dict[str, str]:
    texts = {}
    async for document in client.dump_index(index, ids=ids):
        try:
            parts = field_texts(document.id, json.loads(document.source_json), fields)
        except ChercheError:
            continue  # a field that holds an object has no text
        if has_text(parts):
            texts[document.id] = join(parts)
    return texts


def _write(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows), encoding="utf-8")
