"""Encodes documents of one index into its successor; what the successor holds already is left alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sidecar.errors import ChercheError, precondition
from sidecar.maintenance.backfill import purpose_of
from sidecar.maintenance.work import Outcome
from sidecar.pipeline import stored
from sidecar.pipeline.context import Context
from sidecar.pipeline.encode import DocumentEncoder
from sidecar.pipeline.stored import EncodableDocument
from sidecar.pipeline.text import same_json
from sidecar.protocols import Successors
from sidecar.values.documents import StoredDocument, version_of
from sidecar.values.index import IndexMeta
from sidecar.values.maintenance import Placement, Serving

_LONGEST_STEM = 240  # bytes: a name may have 255


@dataclass(frozen=True, slots=True)
class Copy:
    """Documents are encoded into another index; see `sidecar.maintenance.backfill.Job`.

    Attributes
    ----------
    to : str
        The successor index.
    newer : frozenset of str
        Ids that are left alone: they were written there after the switch.
    """

    successors: Successors
    to: str
    encoder: DocumentEncoder
    names: Sequence[str]
    newer: frozenset[str] = frozenset()
    whole_source: bool = True

    @classmethod
    def of(cls, successors: Successors, to: str, meta: IndexMeta, context: Context) -> Copy:
        """Pick the served models.

        Raises
        ------
        ChercheError
            FAILED_PRECONDITION naming the model to serve.
        """
        encoder = DocumentEncoder.of(meta, context.encoders)
        return cls(successors, to, encoder, encoder.feature_names())

    @property
    def meta(self) -> IndexMeta:
        """The encoding of the other index."""
        return self.encoder.meta

    @property
    def purpose(self) -> str:
        """The encoding and the other index."""
        return purpose_of(self.meta, self.to)

    async def work(self, page: Sequence[StoredDocument], context: Context) -> Outcome:
        """Encode and place what the other index does not hold as it is.

        A document that cannot be encoded is placed without weights: it must not be lost.
        """
        outcome = Outcome(Counter(read=len(page)))
        sources = [one for one in page if one.id not in self.newer]
        outcome.counts["kept"] += len(page) - len(sources)
        there = await self.successors.held(self.to, sources)
        placed: list[StoredDocument] = []
        fresh: list[tuple[StoredDocument, EncodableDocument]] = []
        for source in sources:
            document = stored.from_index(source, self.meta, context.limits.document_bytes)
            if isinstance(document, ChercheError):
                placed += self._without_weights(outcome, source, there.get(source.id), document)
            elif stored.judge(document, there.get(source.id), self.meta).verdict == "unchanged":
                outcome.counts["kept"] += 1
            else:
                fresh.append((source, document))
        # The last lane: searches and feeds go first at the model.
        encoded = await stored.encode([one for _, one in fresh], self.encoder, self.names, context, lane="backfill")
        for (source, _), made in zip(fresh, encoded, strict=True):
            if isinstance(made, ChercheError):
                placed += self._without_weights(outcome, source, there.get(source.id), made)
            else:
                placed.append(made.stored)
        placements = [
            Placement(one, version_of(one).routing, there[one.id].version if one.id in there else None)
            for one in placed
        ]
        for written, answer in zip(placed, await self.successors.place(self.to, placements), strict=True):
            if (error := outcome.count_write(written, answer)) is not None:
                outcome.drop(written, error)
        return outcome

    def _without_weights(
        self, outcome: Outcome, source: StoredDocument, there: StoredDocument | None, error: ChercheError
    ) -> list[StoredDocument]:
        """Note a document without weights; it is placed where the other index does not hold it as it is."""
        outcome.drop(source, error)
        is_there = there is not None and there.state == "failed" and same_json(there.source, source.source)
        return [] if is_there else [stored.without_weights(source)]


def successor_name(index: str, old: str, meta: IndexMeta) -> str:
    """Name of the index that follows `old`: the same for the same encoding, so that what was cut off is taken up.

    >>> from sidecar.values.index import Fingerprint, TextField
    >>> meta = IndexMeta("a", Fingerprint("b"), (TextField("text"),), 512)
    >>> successor_name("Articles", "articles-v1", meta), successor_name("Articles", "articles-b569efbe", meta)
    ('articles-b569efbe', 'articles-b569efbe-2')
    """
    # An alias may have capitals, an index may not.
    stem = index.lower().encode()[:_LONGEST_STEM].decode(errors="ignore")
    name = f"{stem}-{purpose_of(meta)[:8]}"
    return f"{name}-2" if name == old else name


def index_before(index: str, found: Serving, serving: Serving) -> str:
    """The index that serves again after a rollback.

    Parameters
    ----------
    found, serving : Serving
        What the name stands for, and the concrete index behind it.

    Raises
    ------
    ChercheError
        FAILED_PRECONDITION where there is none, or a rollback has brought it back already.
    """
    if not found.is_alias or len(serving.replaced) != 1:
        raise precondition(f"index {index!r} replaced no other index", "there is nothing to roll back")
    if serving.is_back:
        raise precondition(
            f"index {index!r} was rolled back already: {serving.names[0]!r} serves again, in place of the newer "
            f"{serving.replaced[0]!r}",
            f"to go forward again run: cherche upgrade {index}, with the options of then",
        )
    return serving.replaced[0]
