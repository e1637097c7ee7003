"""What is stored of a document: its text and hash, whether what an index holds can stay, and the form that is written.

A feed, the plugin's RPC, a backfill and the copying of an upgrade take the same steps, so that equal documents are
stored as equal bytes:

    from_json, from_index ─► EncodableDocument ─► judge ─► reuse, transcode (see maintenance) or encode ─► build
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from cherche_models import codec
from cherche_models.types import TermWeights
from sidecar.errors import ChercheError, Code, invalid
from sidecar.pipeline import text as texts_of
from sidecar.pipeline.context import Context
from sidecar.pipeline.encode import DocumentEncoder, NeuralPart
from sidecar.values.documents import Json, SourceDocument, StoredDocument, Version
from sidecar.values.index import Fingerprint, IndexMeta
from sidecar.values.model import Lane

NO_WEIGHTS = TermWeights.from_pairs([])
Verdict = Literal["unchanged", "reusable", "transcodable", "stale", "missing"]


@dataclass(frozen=True, slots=True)
class EncodableDocument:
    """A document whose text was read.

    Attributes
    ----------
    texts : tuple of str
        One per encoded field, "" where the field is absent; all may be.
    hash : str
        Of the texts and the encoding of the index: what is stored beside weights and codes.
    version : Version or None
        Its last write, where it was read from an index.
    """

    id: str
    source: Json
    texts: tuple[str, ...]
    hash: str
    version: Version | None = None
    routing: str = ""

    @property
    def has_text(self) -> bool:
        """Whether there is anything to encode; if not, it is stored as ``no_text``."""
        return texts_of.has_text(self.texts)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a document needs, given what the index holds of it.

    Attributes
    ----------
    verdict : Verdict
        ``unchanged``: nothing. ``reusable``: the stored weights and codes, beside other fields.
        ``transcodable``: the stored codes, in another codec. ``stale``: to be encoded, its text or encoding is
        another. ``missing``: to be encoded, nothing usable is stored.
    weights : TermWeights or None
        The stored weights; None where they are of another text, or were not read.
    """

    verdict: Verdict
    weights: TermWeights | None = None


@dataclass(frozen=True, slots=True)
class EncodedDocument:
    """A document as it is stored, and its neural part; `is_reused` where no model was run for it."""

    stored: StoredDocument
    part: NeuralPart
    is_reused: bool = False


def from_json(
    document: SourceDocument, meta: IndexMeta, limit: int, *, is_repeated: bool = False, is_routed: bool = False
) -> EncodableDocument | ChercheError:
    """Read a document as it came, or say why it cannot be encoded.

    Parameters
    ----------
    limit : int
        Most bytes of JSON.
    is_repeated : bool
        Whether its id came before in the same feed: then it is refused with ALREADY_EXISTS.
    is_routed : bool
        Whether the index requires a routing value: one that comes without has it in its field ``routing``.
    """
    try:
        source = texts_of.parse(document, limit)
        if is_repeated:
            reason = f"document {document.id!r} came before in this feed"
            return ChercheError(Code.ALREADY_EXISTS, reason, "give each document its own id")
        routing = document.routing
        if is_routed and not routing and type(source.get("routing")) in (str, int):
            routing = str(source["routing"])
        if is_routed and not routing:
            reason = f"document {document.id!r} has no routing value, which the index requires"
            raise invalid(reason, "give it in _routing of its line")
        return _encodable(document.id, source, meta, routing=routing)
    except ChercheError as error:
        return error


def from_index(document: StoredDocument, meta: IndexMeta, limit: int | None = None) -> EncodableDocument | ChercheError:
    """Take a document as an index holds it, or say why it cannot be encoded.

    Parameters
    ----------
    limit : int or None
        Most bytes of text: the JSON that it came as is gone.
    """
    try:
        found = _encodable(document.id, document.source, meta, document.version)
    except ChercheError as error:
        return error
    # An index may hold lone surrogates, which a feed would refuse.
    size = sum(len(text.encode("utf-8", "surrogatepass")) for text in found.texts)
    if limit is not None and size > limit:
        return invalid(
            f"document {document.id!r} has {size:,} bytes of text, the limit is {limit:,}",
            "split it, or raise CHERCHE_LIMITS__DOCUMENT_BYTES on the server",
        )
    return found


def judge(
    document: EncodableDocument,
    known: StoredDocument | None,
    meta: IndexMeta,
    other_codecs: Sequence[Fingerprint] = (),
) -> Judgement:
    """Compare a document with what an index holds of it.

    Parameters
    ----------
    known : StoredDocument or None
        Terms and codes that were read with it must be readable; those that were not read are taken on trust.
    other_codecs : sequence of Fingerprint
        What the index's fingerprint would be with each codec that codes can be transcoded from.
    """
    if known is None:
        return Judgement("missing")
    if not document.has_text:
        if known.state != "no_text" or known.hash != document.hash:
            return Judgement("missing")
        is_same = known.source is document.source or texts_of.same_json(known.source, document.source)
        return Judgement("unchanged" if is_same else "reusable", NO_WEIGHTS)
    if not is_complete(known, meta):
        return Judgement("missing")
    if known.hash != document.hash:
        hashes = (texts_of.content_hash(document.texts, meta.fields, other) for other in other_codecs)
        return Judgement("transcodable" if known.hash in hashes else "stale")
    try:
        weights = None if known.terms is None else codec.unpack_terms(known.terms)
        if known.codes is not None:
            codec.codes_header(known.codes)
    except codec.CodecError:
        return Judgement("missing")
    # A backfill compares a document with itself: then nothing is serialised.
    if known.source is document.source or texts_of.same_json(known.source, document.source):
        return Judgement("unchanged", weights)
    return Judgement("stale" if weights is None else "reusable", weights)


def is_complete(known: StoredDocument, meta: IndexMeta) -> bool:
    """Whether state, packed terms and (where every document has them) codes are in place."""
    if known.is_complete is not None:
        return known.is_complete
    return known.state == "ok" and known.terms is not None and (known.codes is not None or not meta.stores_codes)


def is_settled(known: StoredDocument, meta: IndexMeta) -> bool:
    """Whether a document counts as encoded, or as one without text; any other is a gap that a backfill fills."""
    return known.state == "no_text" or is_complete(known, meta)


def reuse(
    document: EncodableDocument, known: StoredDocument, weights: TermWeights, names: Sequence[str] | None
) -> EncodedDocument:
    """Keep the stored weights and codes beside the document's fields."""
    part = NeuralPart(weights, known.codes, tokens=0, truncated=False)
    return EncodedDocument(build(document, weights, known.codes, names, terms=known.terms), part, is_reused=True)


async def encode(
    documents: Sequence[EncodableDocument],
    encoder: DocumentEncoder,
    names: Sequence[str] | None,
    context: Context,
    *,
    lane: Lane,
) -> list[EncodedDocument | ChercheError]:
    """Run the models on those that have text; one result per document, in order.

    Parameters
    ----------
    names : sequence of str or None
        As for `build`.

    Raises
    ------
    ChercheError
        RESOURCE_EXHAUSTED, DEADLINE_EXCEEDED, UNAVAILABLE of the models.
    """
    texted = [one for one in documents if one.has_text]
    encoded = iter(await encoder.encode([one.texts for one in texted], context, lane=lane) if texted else ())
    parts = [next(encoded) if one.has_text else NeuralPart(NO_WEIGHTS, None, 0, False) for one in documents]

    def built(one: EncodableDocument, part: NeuralPart | ChercheError) -> EncodedDocument | ChercheError:
        if isinstance(part, ChercheError):
            return part
        return EncodedDocument(build(one, part.weights, part.codes, names), part)

    return await asyncio.to_thread(lambda: [built(one, part) for one, part in zip(documents, parts, strict=True)])


def build(
    document: EncodableDocument,
    weights: TermWeights,
    codes: bytes | None,
    names: Sequence[str] | None,
    *,
    terms: bytes | None = None,
) -> StoredDocument:
    """A document as it is written.

    Parameters
    ----------
    names : sequence of str or None
        Feature name of each vocabulary id, as `DocumentEncoder.feature_names`; None leaves `features` None.
    terms : bytes or None
        The weights as they are packed already.
    """
    if not document.has_text:
        hash, version, routing = document.hash, document.version, document.routing
        return StoredDocument(document.id, document.source, hash, "no_text", version=version, routing=routing)
    return StoredDocument(
        id=document.id,
        source=document.source,
        hash=document.hash,
        state="ok",
        features=None if names is None else {names[i]: weight for i, weight in weights.items()},
        terms=codec.pack_terms(weights) if terms is None else terms,
        codes=codes,
        version=document.version,
        routing=document.routing,
    )


def without_weights(document: StoredDocument) -> StoredDocument:
    """A document that cannot be encoded, as it is written: weights that it has are of a text that it no longer has."""
    return replace(
        document, hash="", state="failed", features=None, terms=None, codes=None, is_complete=None, exposed=False
    )


def _encodable(
    id: str, source: Json, meta: IndexMeta, version: Version | None = None, routing: str = ""
) -> EncodableDocument:
    texts = texts_of.field_texts(f"document {id!r}", source, meta.fields)
    hash = texts_of.content_hash(texts, meta.fields, meta.fingerprint)
    return EncodableDocument(id, source, tuple(texts), hash, version, routing)
