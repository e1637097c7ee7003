"""One page of documents that an index holds: which must be encoded, encode them, write what is still the same.

Each step is a function over values, so that another runner (Ray, a batch job of one's own) can put them
together: read pages with `Engine.candidates`, `judge` and `encode` them wherever the models are, and give
the revisions to `Engine.revise`, which refuses what was written meanwhile.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from cherche_models import codec
from sidecar.errors import ChercheError, Code, invalid
from sidecar.life import Candidate, NotDone, Revision
from sidecar.pipeline import text as texts_of
from sidecar.pipeline.context import Context
from sidecar.pipeline.encode import DocumentEncoder, NeuralPart
from sidecar.pipeline.transcode import transcoded
from sidecar.protocols import Lane
from sidecar.types import IndexMeta, StoredDocument, WriteResult


@dataclass(frozen=True, slots=True)
class Work:
    """A document that must be encoded; `texts` is one text per field."""

    candidate: Candidate
    texts: tuple[str, ...]
    hash: str


@dataclass(slots=True)
class Outcome:
    """What became of a page: counts as `Progress` has them, and the documents that were not done."""

    counts: Counter[str] = field(default_factory=Counter)
    not_done: list[NotDone] = field(default_factory=list)
    refused: bool = False

    def drop(self, candidate: Candidate, why: str, error: ChercheError) -> None:
        """Note a document that has no weights after this."""
        self.counts[why] += 1
        self.not_done.append(NotDone(candidate.id, candidate.index, "skipped" if why == "skipped" else "failed", error))


def judge(candidate: Candidate, meta: IndexMeta, limit: int) -> Work | ChercheError | None:
    """What a document needs: to be encoded; nothing; or the reason why it cannot be, INVALID_ARGUMENT.

    Parameters
    ----------
    limit : int
        Most bytes of text.
    """
    name = f"document {candidate.id!r}"
    try:
        texts = texts_of.field_texts(name, candidate.source, meta.fields)
    except ChercheError as error:
        return error
    size = sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)
    if size > limit:
        return invalid(
            f"{name} has {size:,} bytes of text, the limit is {limit:,}",
            "split it, or raise CHERCHE_LIMITS__DOCUMENT_BYTES on the server",
        )
    hash = texts_of.content_hash(texts, meta.fields, meta.fingerprint)
    return None if candidate.whole and candidate.hash == hash else Work(candidate, tuple(texts), hash)


def has_text(candidate: Candidate, meta: IndexMeta) -> bool:
    """Whether any encoded field holds something."""
    return any(candidate.source.get(field.name.partition(".")[0]) for field in meta.fields)


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


def cleared(candidate: Candidate) -> Revision:
    """A document without its weights: they are of a text that it no longer has."""
    return Revision(candidate, StoredDocument(candidate.id, candidate.source, "", "failed"))


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
        outcome.counts["outrun"] += 1
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
