"""Every form that is stored or handed out is read for ever: indices, files and callers hold those of each release.

`stored.json` holds each form as each release wrote it, and what it means. One is never changed or taken out: when a
form changes, ``python -m tests.contract.test_stored`` adds the new one behind the others. Codes and packed terms are in
`codes.json`, names of features in `naming.json`.
"""

from __future__ import annotations

import gzip
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from cherche_models import codec
from cherche_models.chunks import MAX
from sidecar.engines.embedded import EmbeddedEngine, schema
from sidecar.engines.opensearch import bookkeeping, mapping
from sidecar.engines.opensearch.successors import announcement, serving
from sidecar.maintenance.backfill import purpose_of, read_checkpoint, write_checkpoint
from sidecar.pipeline.fingerprint import codes_fingerprint, sparse_fingerprint
from sidecar.pipeline.pages import Page, PageSigner
from sidecar.pipeline.plan import order_hash
from sidecar.pipeline.text import content_hash
from sidecar.values.chunks import Chunks
from sidecar.values.documents import RANK_FEATURES
from sidecar.values.index import Fingerprint, IndexMeta, TextField
from sidecar.values.maintenance import BackfillOptions
from sidecar.values.model import ModelDescription
from sidecar.values.options import options
from sidecar.values.search import SearchRequest
from tests.integration.engines.conftest import Bench

FILE = Path(__file__).with_name("stored.json")
FOLDER = Path(__file__).with_name("stored")
PRINTS = Fingerprint("5" * 64, "c" * 64)
FIELDS = (TextField("title", 0.2, 2.0), TextField("text"))
META = IndexMeta(
    "small", PRINTS, FIELDS, 256, "tiny", "top_k:128", "escaped", "pool2+residual4", 1.5, 0.25, 50, chunks=Chunks(16, 8)
)
MODEL = ModelDescription("small", digest="d" * 64, codebook="b" * 64)
SIGNER = PageSigner(b"sixteen bytes or more")
PAGE = Page("a point in time", 20, "e" * 64, "5/c", 0.25, 50, reranked=True)
REQUEST = SearchRequest("articles", "sleep", mode="hybrid", rerank=True, body={"query": {"match": {"title": "sleep"}}})


class Form(NamedTuple):
    """What is stored: as it is written today, and what any release's means."""

    write: Callable[[], Any]
    read: Callable[[Any], Any]


def prints() -> dict[str, str]:
    """Fingerprints and hashes of fixed inputs: they decide what has to be encoded again."""
    cuts = {"": Chunks(), " of windows": Chunks(4, 8), " of windows by maximum": Chunks(4, 8, MAX)}
    made = {}
    for name, chunks in cuts.items():
        length, of = {"max_length": 256}, {"chunks": chunks}
        made[f"weights{name}"] = sparse_fingerprint(MODEL, **length, prune="top_k:128", naming="escaped", **of)
        made[f"int8 codes{name}"] = codes_fingerprint(MODEL, **length, codec="int8", **of)
        made[f"residual codes{name}"] = codes_fingerprint(MODEL, **length, codec="pool2+residual2", **of)
    made["a text"] = content_hash(["Schlaf", "", "日本"], [TextField("a"), TextField("b"), TextField("c")], PRINTS)
    made["a text of shares"] = content_hash(["Sleep", "and memory"], FIELDS, PRINTS)
    made["a backfill's purpose"] = purpose_of(META)
    return made


def defaults() -> dict[str, Any]:
    """Options that the order of hits depends on: their defaults are no part of a page token's hash."""
    return {row.name: row.default for row in options(SearchRequest).values() if not row.keeps_order}


def layout() -> dict[str, Any]:
    """Tables of a new file of the embedded engine."""
    with closing(schema.connect_empty()) as db:
        found = db.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name").fetchall()
        return {"layout": db.execute("PRAGMA user_version").fetchone()[0], "tables": [sql for (sql,) in found]}


def settings(held: Any) -> dict[str, Any]:
    """What an index's ``_meta`` says; releases that knew one phase, one field of weights and stored codes did not."""
    found: dict[str, Any] = plain(asdict(IndexMeta.from_json(held)))
    one = {"first_terms": 0, "weights": RANK_FEATURES, "codes": ""}
    return {name: value for name, value in found.items() if value != one.get(name)}


def upgrades(note: Any) -> dict[str, Any]:
    """What the note of an upgrade in an index's ``_meta`` says of the name that it serves."""
    reply = {"articles-2": {"mappings": {"_meta": {"cherche": META.to_json(), mapping.UPGRADE: note}}}}
    return asdict(serving("articles", mapping.facts(reply, {"articles-2": {"settings": {}}})))


FORMS: dict[str, Form] = {
    "_meta.cherche": Form(replace(META, first_terms=12, codes="on-demand").to_json, settings),
    "hash and state of a document": Form(
        lambda: bookkeeping.written("a1", "ok"), lambda held: plain(asdict(bookkeeping.read(held)))
    ),
    "_meta.cherche_upgrade": Form(
        lambda: {**announcement("articles-1", {"u/0": 41}, {"v/0": 7}, is_back=True), "successor": "articles-3"},
        upgrades,
    ),
    "page token": Form(lambda: SIGNER.write(PAGE), lambda held: asdict(SIGNER.read(held))),
    "order that a page token continues": Form(
        lambda: [order_hash(REQUEST, META, 1.5), defaults()],
        lambda held: {name: value for name, value in plain(defaults()).items() if name in held[1]},
    ),
    "checkpoint of a backfill": Form(
        lambda: write_checkpoint({"uuid/0/purpose": 7, "uuid/1/purpose": -1}),
        lambda held: read_checkpoint(BackfillOptions(checkpoint=held)),
    ),
    "fingerprints and hashes": Form(prints, lambda held: {name: prints()[name] for name in held}),
    "embedded file": Form(layout, lambda held: held["layout"] <= schema.VERSION),
}
HELD: dict[str, list[dict[str, Any]]] = json.loads(FILE.read_text(encoding="utf-8"))
VERSIONS = [
    pytest.param(name, version, id=f"{name}-{place}")
    for name, versions in HELD.items()
    for place, version in enumerate(versions, 1)
]


def plain(value: Any) -> Any:
    """As JSON has it."""
    return json.loads(json.dumps(value))


def test_every_form_is_held() -> None:
    assert HELD.keys() == FORMS.keys()
    assert all(HELD.values())


@pytest.mark.parametrize(("name", "version"), VERSIONS)
def test_what_any_release_wrote_is_read(name: str, version: dict[str, Any]) -> None:
    assert plain(FORMS[name].read(version["written"])) == version["read"]


@pytest.mark.parametrize("name", FORMS)
def test_what_is_written_is_held(name: str) -> None:
    written = plain(FORMS[name].write())
    assert written == HELD[name][-1]["written"], "a new form: read the old ones too, then run the module"


def test_a_form_that_changes_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, place, value in (
        ("checkpoint of a backfill", "sidecar.maintenance.backfill._VERSION", 2),
        ("page token", "sidecar.pipeline.pages._VERSION", b"2"),
        ("hash and state of a document", "sidecar.engines.opensearch.bookkeeping.STATE", "cherche_other"),
        ("embedded file", "sidecar.engines.embedded.schema.VERSION", 3),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(place, value)
            with pytest.raises(AssertionError):
                test_what_is_written_is_held(name)


@pytest.mark.parametrize("layout", range(1, schema.VERSION + 1))
async def test_a_file_of_any_layout_is_searched(layout: int, tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite"
    path.write_bytes(gzip.decompress((FOLDER / f"embedded-{layout}.sqlite.gz").read_bytes()))
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (layout,)
    bench = Bench(EmbeddedEngine(path), "articles")
    try:
        meta = await bench.engine.meta("articles")
        assert meta == replace(bench.meta, chunks=Chunks())
        documents = [one async for one in bench.engine.scan("articles")]
        found = [[(hit.id, hit.score) for hit in (await bench.search(*query)).hits] for query in QUERIES]
    finally:
        await bench.engine.aclose()
    assert [(one.id, dict(one.source), one.state, bool(one.hash)) for one in documents] == [
        ("1", {"text": "The sun warms 3.5 houses", "title": "What's the sun"}, "ok", True),
        ("2", {"text": "Moons and stars", "title": "Sky"}, "ok", True),
        ("3", {"title": "", "n": [1, None]}, "no_text", True),
        ("4", {"text": "waits for its sun", "title": ""}, "pending", True),
    ]
    assert [[id for id, _ in hits] for hits in found] == [["1", "4"], ["2", "1"], ["2", "1", "4"]]
    scores = [score for hits in found for _, score in hits]
    assert scores == pytest.approx([0.857592, 0.213638, 2.0, 0.75, 1.016226, 0.371260, 0.213638], abs=1e-6)
    packed = {one.id: codec.unpack_terms(one.terms) for one in documents if one.terms is not None}
    assert packed == {id: bench.weights(weights) for id, weights in WEIGHTS.items()}
    codes = [codec.unpack_codes(one.codes).vectors for one in documents if one.codes is not None]
    np.testing.assert_allclose(codes, np.full((2, 2, 4), 0.01), atol=1e-5)


WEIGHTS = {"1": {"sun": 1.5, "3.5": 0.25}, "2": {"moon": 2.0, "star": 0.5, "日本": 0.75}}
QUERIES: tuple[tuple[str, dict[str, float]], ...] = (
    ("what 3.5 sun", {}),
    ("", {"moon": 1.0, "sun": 0.5}),
    ("sun stars", {"star": 1.0}),
)


def main() -> None:
    """Add what is written today where it is not the last form that is held."""
    for name, form in FORMS.items():
        written, versions = plain(form.write()), HELD.setdefault(name, [])
        if not versions or versions[-1]["written"] != written:
            versions.append({"written": written, "read": plain(form.read(written))})
    FILE.write_text(json.dumps(HELD, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
