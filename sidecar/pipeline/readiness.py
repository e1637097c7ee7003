"""Whether documents are encoded as they are: one rule for doctor, the estimate of a backfill, and searches. Pure.

The counts of `Engine.gaps` are the same rule as a query, which cannot compare texts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal

from sidecar.errors import ChercheError
from sidecar.pipeline import stored
from sidecar.values.documents import StoredDocument
from sidecar.values.first_stage import EngineHit
from sidecar.values.index import IndexGroup, IndexMeta

Lack = Literal["untouched", "waiting", "lost", "changed"]

_SAID: dict[Lack, str] = {
    "untouched": "never encoded",
    "waiting": "waiting for weights",
    "lost": "without the weights or codes that they had",
    "changed": "with another text than was encoded",
}


def lack(held: StoredDocument, metas: Sequence[IndexMeta], *, knows_text: bool = True) -> Lack | None:
    """What a backfill would mend of a document; None where nothing.

    Parameters
    ----------
    held : StoredDocument
        As read; its terms and codes, or whether it `is_complete`.
    metas : sequence of IndexMeta
        At least one: with any of them it may be encoded.
    knows_text : bool
        Whether its encoded fields were read. If not, only what it says of itself counts.
    """
    documents = [stored.from_index(held, meta) for meta in metas] if knows_text else []
    first = documents[0] if documents else None
    if isinstance(first, stored.EncodableDocument) and not first.has_text and held.state != "ok":
        return None
    if held.state is None and not held.hash:
        return "untouched" if knows_text else None
    if not any(stored.is_settled(held, meta) for meta in metas):
        return "lost" if held.state == "ok" else "waiting"
    if not documents or any(_is_unchanged(*pair, held) for pair in zip(documents, metas, strict=True)):
        return None
    return "changed"


def warnings(index: str, hits: Iterable[EngineHit], groups: Sequence[IndexGroup], *, knows_text: bool) -> list[str]:
    """What to say of hits that are searched, or ranked, by less than their text.

    >>> warnings("articles", [], [], knows_text=True)
    []
    """
    metas = {name: group.meta for group in groups for name in group.names}
    [only] = [group.meta for group in groups] if len(groups) == 1 else [None]
    of_hits = [(hit.held, only or metas.get(hit.index)) for hit in hits]
    read = [(held, meta) for held, meta in of_hits if held is not None and meta is not None]
    found = Counter(one for held, meta in read if (one := lack(held, [meta], knows_text=knows_text)))
    if not found:
        return []
    said = ", ".join(f"{found[kind]} {text}" for kind, text in _SAID.items() if found[kind])
    return [f"{found.total()} of {len(read)} hits are not encoded as they are: {said} — run: cherche backfill {index}"]


def _is_unchanged(document: stored.EncodableDocument | ChercheError, meta: IndexMeta, held: StoredDocument) -> bool:
    return not isinstance(document, ChercheError) and stored.judge(document, held, meta).verdict == "unchanged"
