from dataclasses import replace

import pytest

from sidecar.pipeline.cache import CodesCache
from sidecar.testing import FakeModel

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
