from dataclasses import replace

import numpy as np
import pytest

from cherche_models.types import Encoding, TermWeights, TokenEmbeddings, Tokens
from sidecar.pipeline.cache import CodesCache, QueryCache
from sidecar.testing import FakeModel
from sidecar.values.model import Encoded

INFO = FakeModel().info


def test_the_longest_unasked_goes_first() -> None:
    cache = CodesCache(limit=6)
    for key in "abc":
        cache.put(key, key.encode() * 2)
    assert cache.get("a") == b"aa"
    cache.put("d", b"dd")
    assert [cache.get(key) for key in "abcd"] == [b"aa", None, b"cc", b"dd"]


def test_codes_that_are_put_again_count_once() -> None:
    cache = CodesCache(limit=4)
    for _ in range(10):
        cache.put("a", b"aa")
    cache.put("b", b"bb")
    assert (cache.get("a"), cache.get("b")) == (b"aa", b"bb")


def test_codes_larger_than_the_cache_are_not_kept() -> None:
    cache = CodesCache(limit=4)
    cache.put("a", b"aa")
    cache.put("b", b"bbbbb")
    assert (cache.get("a"), cache.get("b")) == (None, None)
    cache.put("c", b"cccc")
    assert cache.get("c") == b"cccc"


@pytest.mark.parametrize(
    "other",
    [
        (replace(INFO, digest="another"), (128,), [0.0, 0.0], ["a", "b"]),
        (INFO, (64,), [0.0, 0.0], ["a", "b"]),
        (INFO, (128,), [0.5, 0.0], ["a", "b"]),
        (INFO, (128,), [0.0, 0.0], ["b", "a"]),
    ],
)
def test_what_changes_the_codes_is_in_the_key(other: tuple) -> None:
    assert CodesCache.key(*other) != CodesCache.key(INFO, (128,), [0.0, 0.0], ["a", "b"])
    assert CodesCache.key(replace(INFO, name="x"), (128,), [0.0], ["a"]) == CodesCache.key(INFO, (128,), [0.0], ["a"])


def encoded(rows: int = 8) -> Encoded:
    weights = TermWeights.from_pairs([(1, 0.5), (2, 1.5)])
    vectors = TokenEmbeddings(np.ones((rows, 4), np.float32))
    return Encoded(Tokens((1,), ("a",), 1), Encoding(weights, vectors))


def test_queries_are_kept_by_model_and_text() -> None:
    cache = QueryCache(limit=10_000)
    key = cache.key(INFO, "fox")
    cache.put(key, one := encoded())
    assert cache.get(key) is one
    for other in (cache.key(INFO, "foxes"), cache.key(replace(INFO, digest="2"), "fox")):
        assert cache.get(other) is None


def test_queries_are_bounded_by_their_bytes() -> None:
    cache = QueryCache(limit=5 * (500 + 16 + 128 + 6))
    keys = [cache.key(INFO, f"q{number:02}") for number in range(20)]
    for key in keys:
        cache.put(key, encoded())
    assert [key for key in keys if cache.get(key) is not None] == keys[-5:]
    cache.put(keys[0], encoded(rows=1000))  # larger than all that may be kept
    assert cache.get(keys[0]) is None


def test_a_limit_of_nothing_keeps_nothing() -> None:
    cache = QueryCache()
    key = cache.key(INFO, "fox")
    cache.put(key, encoded())
    assert cache.get(key) is None
