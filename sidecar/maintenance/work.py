"""The counts of one page of documents, and those of its documents that were not done."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from sidecar.errors import ChercheError, Code
from sidecar.values.documents import StoredDocument, WriteResult, version_of
from sidecar.values.index import IndexMeta
from sidecar.values.maintenance import NotDone, Why


@dataclass(slots=True)
class Outcome:
    """Result of a page: counts as `Progress` has them, documents not done, and whether the cluster refused a write."""

    counts: Counter[str] = field(default_factory=Counter)
    not_done: list[NotDone] = field(default_factory=list)
    refused: bool = False

    def drop(self, document: StoredDocument, why: Why, error: ChercheError) -> None:
        """Note a document that has no weights after this."""
        self.counts[why] += 1
        self.not_done.append(NotDone(document.id, version_of(document).index, why, error))

    def count_write(self, document: StoredDocument, answer: WriteResult) -> ChercheError | None:
        """Count a document that was written, or that another write came before; else return the error."""
        error = answer.error
        if error is None:
            self.counts["encoded"] += document.state == "ok"
        elif error.code is Code.ABORTED:
            self.counts["conflicts"] += 1
            return None
        else:
            self.refused |= error.code is Code.RESOURCE_EXHAUSTED
        return error


def reason_of(document: StoredDocument, meta: IndexMeta) -> Why:
    """``skipped`` for a document that could not be encoded because no encoded field holds anything, else ``failed``."""
    has_text = any(document.source.get(field.name.partition(".")[0]) for field in meta.fields)
    return "failed" if has_text else "skipped"
