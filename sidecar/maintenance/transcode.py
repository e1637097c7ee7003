"""Codes in another codec, where nothing else of a document's encoding changed: no model is run."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from cherche_models import codec
from cherche_models.codec import CodecError, Form
from cherche_models.codes import codebook
from sidecar.pipeline.context import Context
from sidecar.pipeline.encode import DocumentEncoder, document_length
from sidecar.pipeline.fingerprint import codes_fingerprint
from sidecar.pipeline.text import content_hash
from sidecar.values.documents import Existing, StoredDocument
from sidecar.values.index import Fingerprint, IndexMeta
from sidecar.values.maintenance import Revision

if TYPE_CHECKING:
    from sidecar.maintenance.work import Work


async def transcoded(
    work: Sequence[Work], encoder: DocumentEncoder, names: Sequence[str], context: Context
) -> dict[str, Revision]:
    """Revisions of those documents whose hash says that only their codec is another, by id.

    A document whose codes cannot be read is left out, and so encoded.

    Parameters
    ----------
    names : sequence of str
        As `DocumentEncoder.feature_names`.
    """
    others = _fingerprints(encoder)
    alike = [one for one in work if one.candidate.whole and _was_encoded(one, encoder.meta, others)]
    found: dict[str, Revision] = {}
    for index in dict.fromkeys(one.candidate.index for one in alike):
        here = [one for one in alike if one.candidate.index == index]
        stored = await context.engine.read(index, [one.candidate.id for one in here])
        found |= await asyncio.to_thread(_revisions, here, stored, encoder, names)
    return found


def _fingerprints(encoder: DocumentEncoder) -> list[Fingerprint]:
    """Those that the index would have with every other codec."""
    if encoder.codes is None:
        return []
    meta, info = encoder.meta, encoder.codes.info
    length = min(meta.max_length, document_length(meta, encoder.codes))
    forms = [form for form in map(str, Form.all()) if form != meta.codec]
    codes = [codes_fingerprint(info, max_length=length, codec=form, chunks=meta.chunks) for form in forms]
    return [replace(meta.fingerprint, codes=one) for one in codes]


def _was_encoded(one: Work, meta: IndexMeta, others: Sequence[Fingerprint]) -> bool:
    return any(content_hash(one.texts, meta.fields, other) == one.candidate.hash for other in others)


def _revisions(
    work: Sequence[Work], stored: Mapping[str, Existing], encoder: DocumentEncoder, names: Sequence[str]
) -> dict[str, Revision]:
    found = {}
    for one in work:
        known = stored.get(one.candidate.id)
        if known is not None and known.hash == one.candidate.hash and known.terms and known.codes:
            try:
                found[one.candidate.id] = _revision(one, known.terms, known.codes, encoder, names)
            except CodecError:
                continue
    return found


def _revision(one: Work, terms: bytes, codes: bytes, encoder: DocumentEncoder, names: Sequence[str]) -> Revision:
    assert encoder.codes is not None
    book = codebook.known(encoder.codes.info.codebook)
    features = {names[i]: weight for i, weight in codec.unpack_terms(terms).items()}
    recoded = codec.transcode(codes, encoder.meta.codec, book)
    candidate = one.candidate
    document = StoredDocument(candidate.id, candidate.source, one.hash, "ok", features, terms, recoded)
    return Revision(candidate, document)
