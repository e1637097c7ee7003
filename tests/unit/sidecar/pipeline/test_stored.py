"""What is stored of a document: each judgement about what an index holds, and equal bytes from all who write."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cherche_models import codec
from cherche_models.types import TermWeights
from sidecar.engines.embedded import EmbeddedEngine
from sidecar.errors import ChercheError, Code
from sidecar.maintenance.backfill import backfill
from sidecar.maintenance.copying import Copy
from sidecar.maintenance.setup import resolve
from sidecar.pipeline import Context, PageSigner, ingest, stored
from sidecar.pipeline.encode import DocumentEncoder
from sidecar.pipeline.prepare import known_document, prepare_documents
from sidecar.pipeline.stored import EncodableDocument
from sidecar.testing import FakeModel
from sidecar.values.documents import SourceDocument, StoredDocument, Version, WriteResult
from sidecar.values.index import Fingerprint, IndexMeta, IndexOptions, TextField
from sidecar.values.maintenance import BackfillOptions
from tests.unit.sidecar.conftest import FakeEncoder, FakeEncoders
from tests.unit.sidecar.maintenance.fakes import FakeSuccessors

META = IndexMeta("m", Fingerprint("s", "c"), (TextField("title"), TextField("text")), 64)
WEIGHTS = TermWeights.from_pairs([(1, 1.0), (2, 0.5)])
TERMS = codec.pack_terms(WEIGHTS)
CODES = codec.pack_codes(FakeModel().encode(FakeModel().tokenize(["sky"], "document"), "document")[0].embeddings)
LIMIT = 1 << 20


def encodable(meta: IndexMeta = META, **source: Any) -> EncodableDocument:
    found = stored.from_index(StoredDocument("1", source or {"text": "sky"}), meta)
    assert isinstance(found, EncodableDocument)
    return found


def held(**changes: Any) -> StoredDocument:
    """What an index holds of `encodable()`, read with its terms and codes."""
    return replace(StoredDocument("1", {"text": "sky"}, encodable().hash, "ok", terms=TERMS, codes=CODES), **changes)


def page_of(**changes: Any) -> StoredDocument:
    """The same, read with its version and without terms and codes."""
    return held(terms=None, codes=None, is_complete=True, version=Version(7, 1, "books"), **changes)


@pytest.mark.parametrize(
    ("known", "verdict", "has_weights"),
    [
        (None, "missing", False),
        (held(), "unchanged", True),
        (held(source={"text": "sky", "year": 1}), "reusable", True),
        (held(hash="another"), "stale", False),
        (held(hash=""), "stale", False),
        (held(state="pending"), "missing", False),
        (held(state=None), "missing", False),
        (held(terms=None), "missing", False),
        (held(terms=TERMS[:-1]), "missing", False),
        (held(codes=None), "missing", False),
        (held(codes=b"CC?"), "missing", False),
        (page_of(), "unchanged", False),
        (page_of(hash="another"), "stale", False),
        (replace(page_of(), is_complete=False), "missing", False),
        (page_of(source={"text": "sky", "year": 1}), "stale", False),
        (known_document("1", encodable().hash, TERMS), "reusable", True),
        (known_document("1", encodable().hash), "missing", False),
        (known_document("1", "another", TERMS), "stale", False),
    ],
)
def test_a_document_is_judged_by_what_the_index_holds(
    known: StoredDocument | None, verdict: str, has_weights: bool
) -> None:
    judged = stored.judge(encodable(), known, META)
    assert (judged.verdict, judged.weights is not None) == (verdict, has_weights)


def test_an_index_without_codes_needs_none() -> None:
    meta = replace(META, fingerprint=Fingerprint("s"))
    document = encodable(meta)
    known = held(hash=document.hash, codes=None)
    assert stored.judge(document, known, meta).verdict == "unchanged"


def test_only_another_codec_is_transcoded() -> None:
    before = replace(META, fingerprint=Fingerprint("s", "c of int8"))
    known = page_of(hash=encodable(before).hash)
    assert stored.judge(encodable(), known, META).verdict == "stale"
    codecs = [Fingerprint("s", "c of residual2"), before.fingerprint]
    assert stored.judge(encodable(), known, META, codecs).verdict == "transcodable"
    assert stored.judge(encodable(text="sea"), known, META, codecs).verdict == "stale"
    incomplete = replace(known, is_complete=False)
    assert stored.judge(encodable(), incomplete, META, codecs).verdict == "missing"


def test_a_hash_is_of_the_text_and_the_encoding_and_of_nothing_else() -> None:
    same = encodable(text="sky", year=1)
    assert same.hash == encodable().hash
    assert encodable(text="sea").hash != same.hash
    assert encodable(replace(META, fingerprint=Fingerprint("s", "d"))).hash != same.hash


def test_json_and_an_index_give_the_same_document() -> None:
    read = stored.from_json(SourceDocument("1", b'{"text": "sky", "_id": "1"}'), META, LIMIT)
    assert read == encodable()


@pytest.mark.parametrize(
    ("raw", "is_repeated", "code", "reason"),
    [
        (b"{", False, Code.INVALID_ARGUMENT, "is not JSON"),
        (b"{", True, Code.INVALID_ARGUMENT, "is not JSON"),
        (b'{"text": {"a": 1}}', False, Code.INVALID_ARGUMENT, "field 'text' holds an object"),
        (b'{"text": " "}', True, Code.ALREADY_EXISTS, "came before in this feed"),
        (b'{"text": "sky"}', True, Code.ALREADY_EXISTS, "came before in this feed"),
        (b'{"text": "' + b"x" * 90 + b'"}', False, Code.INVALID_ARGUMENT, "has 102 bytes, the limit is 100"),
    ],
)
def test_what_cannot_be_read_has_its_reason(raw: bytes, is_repeated: bool, code: Code, reason: str) -> None:
    error = stored.from_json(SourceDocument("1", raw), META, 100, is_repeated=is_repeated)
    assert isinstance(error, ChercheError)
    assert (error.code, reason in error.reason) == (code, True)


@pytest.mark.parametrize("raw", [b"{}", b'{"text": ""}', b'{"title": [null, " "], "text": null}'])
async def test_a_document_without_text_is_stored_as_that_without_the_model(raw: bytes) -> None:
    document = stored.from_json(SourceDocument("1", raw, "r"), META, LIMIT)
    assert isinstance(document, EncodableDocument)
    [made] = await stored.encode([document], None, None, None, lane="ingest")  # type: ignore[arg-type]  # not needed
    assert isinstance(made, stored.EncodedDocument)
    written = made.stored
    assert (written.state, written.terms, written.codes, written.features) == ("no_text", None, None, None)
    assert (written.hash, written.routing) == (document.hash, "r")
    assert stored.judge(document, written, META).verdict == "unchanged"
    assert stored.judge(replace(document, source={"year": 1}), written, META).verdict == "reusable"
    assert stored.judge(encodable(), written, META).verdict == "missing", "it has a text now"
    assert stored.judge(document, held(source=document.source), META).verdict == "missing", "its text is gone"


def test_a_routing_is_read_from_the_document_only_where_the_index_requires_one() -> None:
    one = SourceDocument("1", b'{"text": "sky", "routing": 7}')
    for is_routed, routing in ((False, ""), (True, "7")):
        read = stored.from_json(one, META, LIMIT, is_routed=is_routed)
        assert isinstance(read, EncodableDocument)
        assert (read.routing, read.source["routing"]) == (routing, 7)


def test_the_limit_for_what_an_index_holds_is_of_its_text() -> None:
    document = StoredDocument("1", {"text": "sky", "image": "x" * 500})
    assert isinstance(stored.from_index(document, META, 3), EncodableDocument)
    error = stored.from_index(document, META, 2)
    assert isinstance(error, ChercheError)
    assert "has 3 bytes of text, the limit is 2" in error.reason


def test_what_is_reused_keeps_its_bytes() -> None:
    document = encodable(text="sky", year=1)
    made = stored.reuse(document, held(), WEIGHTS, ["", "a", "b"])
    assert made.is_reused
    assert made.stored == StoredDocument(
        "1", {"text": "sky", "year": 1}, document.hash, "ok", {"a": 1.0, "b": 0.5}, TERMS, CODES
    )


def test_a_document_that_cannot_be_encoded_loses_all_that_was_of_its_text() -> None:
    cleared = stored.without_weights(held(features={"a": 1.0}, version=Version(7, 1)))
    assert cleared == StoredDocument("1", {"text": "sky"}, "", "failed", version=Version(7, 1))


class Recorder(EmbeddedEngine):
    """Remembers what is written, features included."""

    written: dict[str, StoredDocument]

    async def write(self, index: str, items: Sequence[StoredDocument]) -> list[WriteResult]:
        self.written = getattr(self, "written", {}) | {one.id: one for one in items}
        return await super().write(index, items)

    async def update(self, documents: Sequence[StoredDocument], *, keeps_versions: bool = False) -> list[WriteResult]:
        self.written |= {one.id: one for one in documents}
        return await super().update(documents)


DOCUMENTS: dict[str, dict[str, Any]] = {
    "1": {"title": "sea", "text": "the blue sea", "year": 1998},
    "2": {"text": ["a list", "of texts"]},
    "long": {"title": "long", "text": " ".join(f"word{i}" for i in range(300))},
}
OPTIONS = [{}, {"prune": "top_k:3"}, {"chunks": 4, "codec": "pool2+residual2"}]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
async def test_feed_plugin_backfill_and_upgrade_store_equal_bytes(tmp_path: Path, options: dict[str, Any]) -> None:
    engine = Recorder(tmp_path / "index.sqlite")
    encoders = FakeEncoders([FakeEncoder(FakeModel(codebook=True))])
    context = Context(engine, encoders, PageSigner(b"k" * 16))
    meta = resolve(IndexOptions(**options), context)
    encoder = DocumentEncoder.of(meta, encoders)
    raw = [SourceDocument(id, json.dumps(source).encode()) for id, source in DOCUMENTS.items()]

    async def arriving() -> AsyncIterator[SourceDocument]:
        for one in raw:
            yield one

    await engine.setup("fed", meta)
    assert [one.outcome async for one in ingest(arriving(), "fed", context)] == ["encoded"] * 3
    fed = dict(engine.written)
    assert all(one.features and one.terms and one.codes for one in fed.values())

    await engine.setup("filled", meta)
    await engine.write("filled", [StoredDocument(id, source, state="pending") for id, source in DOCUMENTS.items()])
    async for _ in backfill("filled", BackfillOptions(search_slowdown=0), context):
        pass
    filled = {id: replace(one, version=None) for id, one in engine.written.items()}

    successors = FakeSuccessors()
    copy = Copy.of(successors, "new", meta, context)
    [shard] = await engine.shards("fed")
    async for page in engine.pages(shard, -1, meta, whole_source=True):
        await copy.work(page, context)
    copied = {one.document.id: replace(one.document, version=None) for one in successors.placed}
    await engine.aclose()

    known = [known_document(id) for id in DOCUMENTS]
    prepared = await prepare_documents(raw, known, encoder, context)
    for_plugin = {one.stored.id: one.stored for one in prepared if not isinstance(one, ChercheError)}
    assert fed == filled == copied
    assert for_plugin == {id: replace(one, features=None) for id, one in fed.items()}
    names = encoder.feature_names()
    weights = {one.stored.id: one.part.weights for one in prepared if not isinstance(one, ChercheError)}
    assert {id: {names[i]: w for i, w in one.items()} for id, one in weights.items()} == {
        id: one.features for id, one in fed.items()
    }
