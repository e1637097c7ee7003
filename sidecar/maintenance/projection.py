"""Bytes that weights, packed terms and codes of an index will take, from a sample of its documents."""

from __future__ import annotations

from collections.abc import Sequence

from cherche_models.codes.terms import pack_terms
from sidecar.errors import ChercheError
from sidecar.pipeline import stored
from sidecar.pipeline.context import Context
from sidecar.pipeline.encode import DocumentEncoder, NeuralPart
from sidecar.values.documents import StoredDocument
from sidecar.values.index import IndexMeta

POSTING_BYTES = 4.0
"""Of one weight; measured: 285 weights take 1.1 kB of postings on OpenSearch 3.8.0."""


async def projected(
    meta: IndexMeta, context: Context, sample: Sequence[StoredDocument]
) -> tuple[float, tuple[str, ...]]:
    """Bytes of weights, packed terms and codes per document, from a sample; an estimate never fails setup."""
    read = [stored.from_index(document, meta) for document in sample]
    texts = [document.texts for document in read if not isinstance(document, ChercheError) and document.has_text]
    if sample and not texts:
        names = ", ".join(field.name for field in meta.fields)
        return 0.0, (f"no sampled document has text in {names}: give the fields with --fields",)
    try:
        encoder = DocumentEncoder.of(meta, context.encoders)
        parts = await encoder.encode(texts, context, lane="ingest")
    except ChercheError as error:
        return 0.0, (f"the size could not be projected: {error}",)
    encoded = [part for part in parts if isinstance(part, NeuralPart)]
    if texts and not encoded:
        return 0.0, ("none of the sampled documents could be encoded: run cherche doctor",)
    skipped = len(sample) - len(encoded)
    note = (f"{skipped} of {len(sample)} sampled documents have no text to encode",) if skipped else ()
    return sum(map(stored_bytes, encoded)) / max(1, len(sample)), note


def stored_bytes(part: NeuralPart) -> float:
    """Bytes of postings, packed terms and codes of one document, in one copy."""
    return len(part.weights) * POSTING_BYTES + len(pack_terms(part.weights)) + len(part.codes or b"")
