"""The counts of one page of documents, and those of its documents that were not done."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from sidecar.errors import ChercheError, Code
from sidecar.values.documents import StoredDocument, WriteResult, version_of
from sidecar.values.maintenance import NotDone


@dataclass(slots=True)
class Outcome:
    """Result of a page: counts as `Progress` has them, documents not done, and whether the cluster refused a write."""

    counts: Counter[str] = field(default_factory=Counter)
    not_done: list[NotDone] = field(default_factory=list)
    refused: bool = False

    def drop(self, document: StoredDocument, error: ChercheError) -> None:
        """Note a document that could not be encoded or written."""
        self.counts["failed"] += 1
        self.not_done.append(NotDone(document.id, version_of(document).index, error))

    def count_write(self, document: StoredDocument, answer: WriteResult) -> ChercheError | None:
        """Count a document that was written, or that another write came before; else return the error."""
        error = answer.error
        if error is None:
            self.counts["encoded"] += document.state == "ok"
            if document.state == "no_text":
                self.counts["skipped"] += 1
        elif error.code is Code.ABORTED:
            self.counts["conflicts"] += 1
            return None
        else:
            self.refused |= error.code is Code.RESOURCE_EXHAUSTED
        return error
