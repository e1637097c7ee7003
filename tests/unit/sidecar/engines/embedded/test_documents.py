from __future__ import annotations

import sqlite3
from dataclasses import replace

import pytest

from sidecar.engines.embedded import EmbeddedEngine, documents
from sidecar.errors import ChercheError, Code
from sidecar.values.documents import StoredDocument


async def test_a_document_over_the_limit_fails_alone(path, bench):
    small = replace(bench, engine=EmbeddedEngine(path, max_document_bytes=100))
    results = await small.write(small.document("a", "sun"), small.document("b", "x" * 100), small.document("c", "sun"))
    assert [result.error and result.error.reason for result in results] == [
        None,
        "document 'b' has 111 bytes, the limit is 100",
        None,
    ]
    await small.engine.aclose()


async def test_a_document_with_other_bytes_for_terms_fails_alone(bench):
    for wrong in ({"terms": b"?"}, {"codes": b"?"}):
        good, bad = bench.document("a", "sun", {"sun": 1.0}), bench.document("b", "sun", {"sun": 1.0})
        results = await bench.write(replace(bad, **wrong), good)
        assert [result.error is None for result in results] == [False, True]


async def test_of_two_documents_with_the_same_id_the_later_one_stays(bench):
    await bench.fill(bench.document("a", "sun"), bench.document("a", "moon"))
    assert (await bench.engine.read("articles", ["a"]))["a"].source == {"text": "moon"}
    assert ((await bench.search("sun")).total, (await bench.search("moon")).total) == (0, 1)


async def test_a_damaged_source_names_its_document(path, filled):
    with sqlite3.connect(path) as file:
        file.execute("UPDATE documents SET source = '{' WHERE id = 'a'")
    file.close()
    with pytest.raises(ChercheError, match=r"document 'a'.*is damaged") as caught:
        await filled.engine.read("articles", ["a"])
    assert caught.value.code is Code.FAILED_PRECONDITION
    page = await filled.search("sun")
    shown = {}
    for place, id in enumerate(page.hits.ids):
        if id == "a":
            with pytest.raises(ChercheError, match="document 'a'"):
                page.hits[place]
        else:
            shown[id] = page.hits[place]
    assert len(shown) == len(page.hits) - 1 > 0


async def test_impossible_ids_are_absent(filled):
    assert set(await filled.engine.read("articles", ["a", "\ud800", "missing"])) == {"a"}


async def test_a_sample_is_the_same_on_every_call(bench):
    await bench.fill(*(bench.document(str(i), "sun") for i in range(50)))
    first, second = [[found.id for found in await bench.engine.sample("articles", 10)] for _ in range(2)]
    assert first == second
    assert len(set(first)) == 10
    assert first != [str(i) for i in range(10)]


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (StoredDocument("", {}, "", None), "a document has an empty id"),
        (StoredDocument("\ud800", {}, "", None), "is not valid Unicode"),
        (StoredDocument("é" * 257, {}, "", None), "has 514 bytes, the limit is 512"),
        (StoredDocument("a", {"x": float("inf")}, "", None), "document 'a' is not JSON"),
        (StoredDocument("a", {"x": object()}, "", None), "document 'a' is not JSON"),
    ],
    ids=["empty id", "surrogate", "long id", "infinity", "object"],
)
def test_what_cannot_be_stored_is_an_error_of_its_document(document, reason):
    error = documents.checked(document, ("text",), 100)
    assert isinstance(error, ChercheError)
    assert (error.code, reason in error.reason) == (Code.INVALID_ARGUMENT, True)
