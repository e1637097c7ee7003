"""A cross-encoder's row beside the search modes: the same hits, ordered by reading each one with the query."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from sidecar.errors import precondition
from sidecar.pipeline.text import field_texts, join
from sidecar.values.index import IndexMeta
from sidecar.values.search import Hit, SearchRequest

if TYPE_CHECKING:
    from sidecar.cli.session import Session
    from sidecar.cli.trials import Trial, Variant
    from sidecar.client.client import Client

Scorer = Callable[[Sequence[tuple[str, str]]], Sequence[float]]
NAME = "cross-encoder"


async def rerank_trial(
    session: Session,
    client: Client,
    base: SearchRequest,
    variant: Variant,
    texts: Mapping[str, str],
    scorer: Scorer,
    trial: Trial,
) -> None:
    """Search with a variant, order each query's hits by the scorer, and write that into the trial.

    The seconds are those of the search and of the reading.

    Raises
    ------
    ChercheError
        FAILED_PRECONDITION where the index does not say which fields hold its texts.
    """
    meta = (await client.get_index(base.index)).meta
    if meta is None:
        raise precondition(f"index {base.index!r} is not set up", f"run: cherche setup {base.index}")
    request = replace(base, mode=variant.mode, query_mode=variant.query_mode, rerank=variant.rerank)
    progress = session.output.progress()
    for done, (query, text) in enumerate(texts.items(), 1):
        started = time.perf_counter()
        result = await client.search(replace(request, text=text))
        trial.rankings[query] = ordered(text, result.hits, meta, scorer)
        trial.seconds.append(time.perf_counter() - started)
        trial.statuses[result.rerank.status] += 1
        progress(f"{NAME}: {done} of {len(texts)} queries")
    progress.close()


def ordered(text: str, hits: Sequence[Hit], meta: IndexMeta, scorer: Scorer) -> list[str]:
    """Ids in descending order of score; ties keep the order of the search."""
    pairs = [(text, join(field_texts(hit.id, hit.source, meta.fields))) for hit in hits]
    scores = [float(score) for score in scorer(pairs)] if pairs else []
    return [hits[i].id for i in sorted(range(len(hits)), key=lambda i: -scores[i])]
