"""Weights and codes as they are, the codes in another codec where only that changed: no model is run."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

from cherche_models import codec
from cherche_models.codec import CodecError, Form
from cherche_models.codes import codebook
from sidecar.pipeline import stored
from sidecar.pipeline.context import Context
from sidecar.pipeline.encode import DocumentEncoder, document_length
from sidecar.pipeline.fingerprint import codes_fingerprint
from sidecar.pipeline.stored import EncodableDocument
from sidecar.values.documents import StoredDocument
from sidecar.values.index import Fingerprint


def other_codecs(encoder: DocumentEncoder) -> list[Fingerprint]:
    """The fingerprints that the index would have with every other codec."""
    if encoder.codes is None:
        return []
    meta, info = encoder.meta, encoder.codes.info
    length = min(meta.max_length, document_length(meta, encoder.codes))
    forms = [form for form in map(str, Form.all()) if form != meta.codec]
    codes = [codes_fingerprint(info, max_length=length, codec=form, chunks=meta.chunks) for form in forms]
    return [replace(meta.fingerprint, codes=one) for one in codes]


async def transcoded(
    documents: Sequence[EncodableDocument],
    codecs: Sequence[Fingerprint],
    encoder: DocumentEncoder,
    names: Sequence[str],
    context: Context,
) -> dict[str, StoredDocument]:
    """Documents with the weights and codes that they have, the codes in the codec of the index, by id.

    A document that was written meanwhile, or whose terms or codes cannot be read, is left out, and so encoded.

    Parameters
    ----------
    codecs : sequence of Fingerprint
        As `other_codecs`.
    names : sequence of str
        As `DocumentEncoder.feature_names`.
    """
    found: dict[str, StoredDocument] = {}
    for index in dict.fromkeys(one.version.index for one in documents if one.version is not None):
        here = [one for one in documents if one.version is not None and one.version.index == index]
        routings = {one.id: one.version.routing for one in here if one.version is not None}
        known = await context.engine.read(index, list(routings), routings)
        found |= await asyncio.to_thread(_transcoded, here, known, codecs, encoder, names)
    return found


def _transcoded(
    documents: Sequence[EncodableDocument],
    known: Mapping[str, StoredDocument],
    codecs: Sequence[Fingerprint],
    encoder: DocumentEncoder,
    names: Sequence[str],
) -> dict[str, StoredDocument]:
    book = None if encoder.codes is None else codebook.known(encoder.codes.info.codebook)
    found = {}
    for one in documents:
        held = known.get(one.id)
        if held is None or not held.terms:
            continue
        verdict = stored.judge(one, held, encoder.meta, codecs).verdict
        if verdict not in ("unchanged", "reusable", "transcodable"):
            continue
        codes = held.codes
        try:
            weights = codec.unpack_terms(held.terms)
            if verdict == "transcodable" and codes is not None:
                codes = codec.transcode(codes, encoder.meta.codec, book)
        except CodecError:
            continue
        found[one.id] = stored.build(one, weights, codes, names, terms=held.terms)
    return found
