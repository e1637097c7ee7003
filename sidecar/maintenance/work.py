"""What one stored document needs, and the counts of one page of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from sidecar.errors import ChercheError, invalid
from sidecar.pipeline import text as texts_of
from sidecar.values.documents import StoredDocument
from sidecar.values.index import IndexMeta
from sidecar.values.maintenance import Candidate, NotDone, Revision


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


def cleared(candidate: Candidate) -> Revision:
    """A document without its weights: they are of a text that it no longer has."""
    return Revision(candidate, StoredDocument(candidate.id, candidate.source, "", "failed"))
