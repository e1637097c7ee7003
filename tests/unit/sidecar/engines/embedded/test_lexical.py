from __future__ import annotations

from dataclasses import replace

from sidecar.engines.embedded import lexical
from sidecar.values.index import TextField

FIELDS = ("title", "text")


def test_fields_hold_the_text_of_their_values():
    assert lexical.texts({"title": 3, "text": ["a", None, "b"]}, FIELDS) == ["3", "a b"]
    assert lexical.texts({"text": {"a": "b"}}, FIELDS) == ["", ""]


async def test_accents_case_endings_and_stop_words_do_not_matter(bench):
    await bench.fill(bench.document("a", "Cafe\u0301 ÉCOLE naïve running engines"), bench.document("b", "the other"))
    for text in ("café", "Ecole", "NAIVE", "run", "the engine"):
        assert [hit.id for hit in (await bench.search(text)).hits] == ["a"]
    assert (await bench.search("the")).total == 0


async def test_scores_follow_every_write(bench):
    await bench.fill(bench.document("a", "sun moon"), bench.document("b", "sun"))
    before = await bench.search("sun moon")
    await bench.fill(bench.document("a", "moon"), bench.document("c", "sun star comet"))
    await bench.fill(bench.document("a", "sun moon"))
    after = await bench.search("sun moon")
    assert {hit.id: hit.score for hit in after.hits[:2]} != {hit.id: hit.score for hit in before.hits}
    fresh = replace(bench, index="fresh")
    await fresh.engine.setup("fresh", fresh.meta)
    await fresh.fill(*(fresh.document(*one) for one in (("a", "sun moon"), ("b", "sun"), ("c", "sun star comet"))))
    again = await fresh.search("sun moon")
    assert [(hit.id, hit.score) for hit in after.hits] == [(hit.id, hit.score) for hit in again.hits]


async def test_lengths_are_those_of_the_fields_that_are_searched_now(bench):
    await bench.fill(bench.document("a", "sun moon star", title="sun"), bench.document("b", "sun", title="sun moon"))
    title = replace(bench.meta, fields=(TextField("title"),))
    for meta, best in ((bench.meta, "b"), (title, "a"), (bench.meta, "b")):
        await bench.engine.setup(bench.index, meta)
        assert (await bench.search("sun", fields=meta.fields)).hits[0].id == best
