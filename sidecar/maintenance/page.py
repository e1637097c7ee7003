"""One page of documents that an index holds: which must be encoded, encode them, write what is still the same.

Each step is a function over values, so that another runner (Ray, a batch job of one's own) can put them
together: read pages with `Engine.candidates`, `judge` and `encode` them wherever the models are, and give
the revisions to `Engine.revise`, which refuses what was written meanwhile.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

from cherche_models import codec
from sidecar.errors import ChercheError, Code
from sidecar.maintenance.transcode import transcoded
from sidecar.maintenance.work import Outcome, Work, cleared, has_text, judge
from sidecar.pipeline.context import Context
from sidecar.pipeline.encode import DocumentEncoder, NeuralPart
from sidecar.values.documents import StoredDocument, WriteResult
from sidecar.values.maintenance import Candidate, Revision
from sidecar.values.model import Lane


async def encode(
    work: Sequence[Work], encoder: DocumentEncoder, names: Sequence[str], context: Context, *, lane: Lane = "backfill"
) -> list[Revision | ChercheError]:
    """Weights and codes of documents; one result each, in order.

    Parameters
    ----------
    names : sequence of str
        As `DocumentEncoder.feature_names`.

    Raises
    ------
    ChercheError
        RESOURCE_EXHAUSTED, UNAVAILABLE of the models.
    """
    parts = await encoder.encode([one.texts for one in work], context, lane=lane)
    return await asyncio.to_thread(
        lambda: [
            part if isinstance(part, ChercheError) else _revision(one, part, names)
            for one, part in zip(work, parts, strict=True)
        ]
    )


async def revisit(
    page: Sequence[Candidate], encoder: DocumentEncoder, names: Sequence[str], context: Context
) -> Outcome:
    """Judge, encode and write one page."""
    outcome = Outcome(Counter(read=len(page)))
    limit = context.limits.document_bytes
    judged = await asyncio.to_thread(lambda: [judge(one, encoder.meta, limit) for one in page])
    work: list[Work] = []
    revisions: list[Revision] = []
    recoded = await transcoded([one for one in judged if isinstance(one, Work)], encoder, names, context)
    for candidate, found in zip(page, judged, strict=True):
        if found is None:
            outcome.counts["kept"] += 1
        elif isinstance(found, Work) and found.candidate.id in recoded:
            revisions.append(recoded[found.candidate.id])
        elif isinstance(found, Work):
            work.append(found)
        else:
            outcome.drop(candidate, "failed" if has_text(candidate, encoder.meta) else "skipped", found)
            revisions += [cleared(candidate)] if candidate.hash else []
    for one, made in zip(work, await encode(work, encoder, names, context), strict=True):
        if isinstance(made, Revision):
            revisions.append(made)
        else:
            outcome.drop(one.candidate, "failed", made)
            revisions += [cleared(one.candidate)] if one.candidate.hash else []
    answers = await context.engine.revise(revisions)
    for revision, answer in zip(revisions, answers, strict=True):
        _note(outcome, revision, answer)
    return outcome


def _note(outcome: Outcome, revision: Revision, answer: WriteResult) -> None:
    error = answer.error
    encoded = revision.document.state == "ok"
    if error is None:
        outcome.counts["encoded"] += encoded
    elif error.code is Code.ABORTED:
        outcome.counts["conflicts"] += 1
    elif error.code is Code.NOT_FOUND:
        outcome.counts["gone"] += 1
    elif encoded:
        outcome.refused |= error.code is Code.RESOURCE_EXHAUSTED
        outcome.drop(revision.candidate, "failed", error)


def _revision(work: Work, part: NeuralPart, names: Sequence[str]) -> Revision:
    features = {names[i]: weight for i, weight in part.weights.items()}
    document = StoredDocument(
        work.candidate.id,
        work.candidate.source,
        work.hash,
        "ok",
        features,
        codec.pack_terms(part.weights),
        part.codes,
    )
    return Revision(work.candidate, document)
