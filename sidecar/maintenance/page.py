"""One page of documents that an index holds: judge them, encode what must be, write what is still the same.

Each step is a function over values, so that another runner (Ray, a batch job of one's own) can put them
together: read pages with `Engine.pages`, `judge` and `encode` them (see `sidecar.pipeline.stored`) wherever the
models are, and give the documents to `Engine.update`, which refuses what was written meanwhile.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

from sidecar.errors import ChercheError, Code
from sidecar.maintenance.transcode import other_codecs, transcoded
from sidecar.maintenance.work import Outcome
from sidecar.pipeline import stored
from sidecar.pipeline.context import Context
from sidecar.pipeline.encode import DocumentEncoder
from sidecar.pipeline.stored import EncodableDocument, Verdict
from sidecar.values.documents import StoredDocument
from sidecar.values.index import Fingerprint, IndexMeta


async def process_page(
    page: Sequence[StoredDocument],
    encoder: DocumentEncoder,
    names: Sequence[str],
    context: Context,
    *,
    keeps_versions: bool = False,
) -> Outcome:
    """Judge, encode and write one page.

    Parameters
    ----------
    names : sequence of str
        As `DocumentEncoder.feature_names`.
    keeps_versions : bool
        As `Engine.update`.

    Raises
    ------
    ChercheError
        RESOURCE_EXHAUSTED, UNAVAILABLE of the models.
    """
    outcome = Outcome(Counter(read=len(page)))
    limit, codecs = context.limits.document_bytes, other_codecs(encoder)
    judged = await asyncio.to_thread(lambda: [_judged(one, encoder.meta, limit, codecs) for one in page])
    # What is exposed is written anew, with the parts that it has.
    movable = [
        found[0]
        for held, found in zip(page, judged, strict=True)
        if isinstance(found, tuple) and (found[1] == "transcodable" or (found[1] == "unchanged" and held.exposed))
    ]
    kept = await transcoded(movable, codecs, encoder, names, context)
    updates: list[StoredDocument] = []
    fresh: list[tuple[StoredDocument, EncodableDocument]] = []
    for held, found in zip(page, judged, strict=True):
        if isinstance(found, ChercheError):
            outcome.drop(held, found)
            updates += _cleared(held)
        elif found[1] == "unchanged" and not held.exposed:
            outcome.counts["kept"] += 1
        elif held.id in kept:
            updates.append(kept[held.id])
        else:
            fresh.append((held, found[0]))
    encoded = await stored.encode([one for _, one in fresh], encoder, names, context, lane="backfill")
    for (held, _), made in zip(fresh, encoded, strict=True):
        if isinstance(made, ChercheError):
            outcome.drop(held, made)
            updates += _cleared(held)
        else:
            updates.append(made.stored)
    answers = await context.engine.update(updates, keeps_versions=keeps_versions)
    for document, answer in zip(updates, answers, strict=True):
        error = outcome.count_write(document, answer)
        if error is not None and error.code is Code.NOT_FOUND:
            outcome.counts["gone"] += 1
        elif error is not None and document.state != "failed":
            outcome.drop(document, error)
    return outcome


def _judged(
    held: StoredDocument, meta: IndexMeta, limit: int, codecs: Sequence[Fingerprint]
) -> tuple[EncodableDocument, Verdict] | ChercheError:
    document = stored.from_index(held, meta, limit)
    if isinstance(document, ChercheError):
        return document
    return document, stored.judge(document, held, meta, codecs).verdict


def _cleared(held: StoredDocument) -> list[StoredDocument]:
    """The document without its weights, where it has any, or is exposed."""
    return [stored.without_weights(held)] if held.hash or held.exposed else []
