"""Documents of one index, encoded anew, into another; what the other holds already is left alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from cherche_models import codec
from sidecar.errors import ChercheError, Code
from sidecar.maintenance.backfill import purpose_of
from sidecar.maintenance.work import Outcome, Work, has_text, judge
from sidecar.pipeline import text as texts_of
from sidecar.pipeline.context import Context
from sidecar.pipeline.encode import DocumentEncoder, NeuralPart
from sidecar.protocols import Shadows
from sidecar.values.documents import StoredDocument, WriteResult
from sidecar.values.index import IndexMeta
from sidecar.values.maintenance import Candidate, Found, Placement


@dataclass(frozen=True, slots=True)
class Copy:
    """Documents are encoded into another index; see `sidecar.maintenance.backfill.Job`.

    Attributes
    ----------
    to : str
        The other index.
    newer : frozenset of str
        Ids that are left alone: somebody wrote them there after the switch.
    """

    shadows: Shadows
    to: str
    encoder: DocumentEncoder
    names: Sequence[str]
    newer: frozenset[str] = frozenset()
    whole_source: bool = True

    @classmethod
    def of(cls, shadows: Shadows, to: str, meta: IndexMeta, context: Context) -> Copy:
        """Pick the served models.

        Raises
        ------
        ChercheError
            FAILED_PRECONDITION naming the model to serve.
        """
        encoder = DocumentEncoder.of(meta, context.encoders)
        return cls(shadows, to, encoder, encoder.feature_names())

    @property
    def meta(self) -> IndexMeta:
        """The encoding of the other index."""
        return self.encoder.meta

    @property
    def purpose(self) -> str:
        """The encoding and the other index."""
        return purpose_of(self.meta, self.to)

    async def work(self, page: Sequence[Candidate], context: Context) -> Outcome:
        """Encode and place what the other index does not hold as it is.

        A document that cannot be encoded is placed without weights: it must not be lost.
        """
        outcome = Outcome(Counter(read=len(page)))
        fresh = [one for one in page if one.id not in self.newer]
        outcome.counts["kept"] += len(page) - len(fresh)
        found = await self.shadows.found(self.to, fresh)
        work: list[Work] = []
        placements: list[tuple[Candidate, Placement]] = []
        for candidate in fresh:
            there = found.get(candidate.id)
            judged = judge(candidate, self.meta, context.limits.document_bytes)
            if isinstance(judged, Work) and not _is_there(candidate, judged.hash, there):
                work.append(judged)
            elif isinstance(judged, ChercheError):
                placements += self._plain(outcome, candidate, there, judged)
            else:
                outcome.counts["kept"] += 1
        parts = await self.encoder.encode([one.texts for one in work], context, lane="backfill")
        for one, part in zip(work, parts, strict=True):
            there = found.get(one.candidate.id)
            if isinstance(part, ChercheError):
                placements += self._plain(outcome, one.candidate, there, part)
            else:
                document = _encoded(one, part, self.names)
                placements.append((one.candidate, Placement(document, one.candidate.routing, there)))
        answers = await self.shadows.place(self.to, [placement for _, placement in placements])
        for (candidate, placement), answer in zip(placements, answers, strict=True):
            _note(outcome, candidate, placement, answer)
        return outcome

    def _plain(
        self, outcome: Outcome, candidate: Candidate, there: Found | None, error: ChercheError
    ) -> list[tuple[Candidate, Placement]]:
        """Note a document without weights, and place it where it is not there as it is."""
        outcome.drop(candidate, "failed" if has_text(candidate, self.meta) else "skipped", error)
        if there is not None and there.state == "failed" and texts_of.same_json(there.source, candidate.source):
            return []
        document = StoredDocument(candidate.id, candidate.source, "", "failed")
        return [(candidate, Placement(document, candidate.routing, there))]


def _is_there(candidate: Candidate, hash: str, there: Found | None) -> bool:
    return (
        there is not None
        and there.state == "ok"
        and there.hash == hash
        and texts_of.same_json(there.source, candidate.source)
    )


def _encoded(work: Work, part: NeuralPart, names: Sequence[str]) -> StoredDocument:
    features = {names[i]: weight for i, weight in part.weights.items()}
    terms = codec.pack_terms(part.weights)
    return StoredDocument(work.candidate.id, work.candidate.source, work.hash, "ok", features, terms, part.codes)


def _note(outcome: Outcome, candidate: Candidate, placement: Placement, answer: WriteResult) -> None:
    error = answer.error
    if error is None:
        outcome.counts["encoded"] += placement.document.state == "ok"
    elif error.code is Code.ABORTED:
        outcome.counts["conflicts"] += 1
    else:
        outcome.refused |= error.code is Code.RESOURCE_EXHAUSTED
        outcome.drop(candidate, "failed", error)
