"""Data of any size: bad rows are counted, order is a permutation, memory stays as it is."""

from __future__ import annotations

import json
import os
import tracemalloc
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cherche_models.errors import DataError
from cherche_models.train import Example, data, stream
from cherche_models.train.stream import permuted

GOOD = {"query": "q", "positive": "p", "negatives": ["n"]}


def write(path: Path, rows: list[str]) -> Path:
    path.write_text("".join(row + "\n" for row in rows), encoding="utf-8")
    return path


@given(st.integers(1, 500), st.text(max_size=5))
def test_an_order_is_a_permutation(size: int, seed: str) -> None:
    assert sorted(permuted(place, size, seed) for place in range(size)) == list(range(size))


def test_orders_differ_by_seed_and_move_most_places() -> None:
    one, other = ([permuted(place, 1000, seed) for place in range(1000)] for seed in "ab")
    assert sum(a == b for a, b in zip(one, other, strict=True)) < 20
    assert sum(place == to for place, to in enumerate(one)) < 20


def test_a_bad_line_stops_nothing_and_is_counted_by_its_number(tmp_path: Path) -> None:
    rows = [json.dumps({**GOOD, "query": f"é{i}"}) for i in range(5)]
    rows[1:1] = ["{", "", '{"query": "q"}']
    rows.append('{"query": "last", "positive": "p", "id": 7}')
    found = stream.lines(write(tmp_path / "pairs.jsonl", rows))
    assert [e.query for e in found] == ["é0", "é1", "é2", "é3", "é4", "last"]
    assert found[-1].query == "last"
    assert [e.query for e in found[1:3]] == ["é1", "é2"]
    assert found.refused.count == 2
    assert [error.where.rpartition(":")[2] for error in found.refused.first] == ["2", "4"]
    assert found.refused.ignored == {"id"}
    with pytest.raises(IndexError):
        found[6]


@pytest.mark.parametrize("read", [stream.lines, lambda path: list(data.read(path))], ids=["stream", "data"])
def test_data_of_another_format_is_named(tmp_path: Path, read: Callable[[Path], object]) -> None:
    path = tmp_path / "train.jsonl"
    path.write_bytes(b"query,positive\nwhat,this\n")
    with pytest.raises(DataError, match=r"train\.jsonl: is CSV, not JSON Lines — .*read_csv"):
        read(path)
    path.write_bytes((json.dumps(GOOD) + "\n").encode("utf-16"))
    with pytest.raises(DataError, match=r"is text in UTF-16, not JSON Lines — convert it: iconv"):
        read(path)


def test_data_without_an_example_is_an_error_that_shows_one(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r'none of its 2 rows is valid; first error: .*:1: "positive" has no text'):
        stream.lines(write(tmp_path / "pairs.jsonl", ['{"query": "q"}'] * 2))
    with pytest.raises(DataError, match="it is empty"):
        stream.lines(write(tmp_path / "empty.jsonl", []))


def test_data_that_changes_while_it_is_read_is_an_error(tmp_path: Path) -> None:
    path = write(tmp_path / "pairs.jsonl", [json.dumps(GOOD)] * 3)
    found = stream.lines(path)
    path.write_text("x" * path.stat().st_size)
    with pytest.raises(DataError, match="changed since it was indexed"):
        found[1]


def test_each_pass_shows_everything_once_and_a_batch_depends_on_its_number_alone(tmp_path: Path) -> None:
    found = stream.lines(write(tmp_path / "p.jsonl", [json.dumps({**GOOD, "query": str(i)}) for i in range(10)]))
    at = stream.shuffled(found, batch=4, seed=3)
    seen = [e.query for step in range(5) for e in at(step)]
    assert Counter(seen[:10]) == Counter(seen[10:]) == Counter(map(str, range(10)))
    assert seen[:10] != seen[10:]
    assert [e.query for e in stream.shuffled(found, 4, 3)(3)] == seen[12:16]


def test_sources_are_mixed_by_share() -> None:
    sources = {"a": [Example(f"a{i}", "p") for i in range(7)], "b": [Example("b0", "p")]}
    at = stream.mixture(sources, {"a": 3, "b": 1}, batch=4, seed=0)
    assert ["".join(e.query[0] for e in at(step)) for step in range(3)] == ["aaab"] * 3
    with pytest.raises(DataError, match="it is empty"):
        stream.mixture({"a": []}, {"a": 1}, 2, 0)


def test_rows_that_come_in_order_are_shuffled_and_resumed() -> None:
    rows = [{**GOOD, "query": str(i)} for i in range(50)]
    rows.insert(5, {"query": "bad"})
    made = [stream.Streamed("rows", lambda: iter(rows), batch=7, seed=1, buffer=8) for _ in range(2)]
    batches = [[e.query for e in made[0](step)] for step in range(14)]
    flat = [query for batch in batches for query in batch]
    assert Counter(flat[:50]) == Counter(map(str, range(50)))
    assert flat[:50] != [str(i) for i in range(50)]
    assert [e.query for e in made[1](9)] == batches[9]
    assert [e.query for e in made[0](2)] == batches[2]
    assert made[1].refused.count == 2
    with pytest.raises(DataError, match="none of its rows is valid"):
        stream.Streamed("rows", lambda: iter([{}]), batch=1, seed=0)(0)


def test_datasets_are_read_by_row_and_in_order() -> None:
    datasets = pytest.importorskip("datasets")
    found = datasets.Dataset.from_list([{"anchor": str(i), "positive": "p", "negative": "n"} for i in range(6)])
    assert [e.query for e in stream.table(found, "made")] == [str(i) for i in range(6)]
    streamed = stream.Streamed("made", lambda: iter(found.to_iterable_dataset()), batch=6, seed=0)
    assert sorted(e.query for e in streamed(0)) == [str(i) for i in range(6)]


def test_memory_does_not_grow_with_the_data(tmp_path: Path) -> None:
    """100,000 lines, 50 MB: a few hundred kilobytes are held, reading and training from it."""
    path, text = tmp_path / "large.jsonl", "neural search " * 15
    with path.open("w") as out:
        for i in range(100_000):
            out.write(json.dumps({"query": f"{i} brain", "positive": text, "negative": text}) + "\n")
    assert os.path.getsize(path) > 40_000_000
    tracemalloc.start()
    try:
        found = stream.lines(path)
        at = stream.shuffled(found, batch=16, seed=0)
        for step in range(0, 5000, 20):
            at(step)
        with path.open() as file:
            streamed = stream.Streamed("large", lambda: map(json.loads, file), batch=16, seed=0, buffer=100)
            for step in range(50):
                streamed(step)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()
    assert len(found) == 100_000
