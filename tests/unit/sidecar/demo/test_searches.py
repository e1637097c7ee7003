from __future__ import annotations

from sidecar.demo import corpus
from sidecar.demo.searches import FURTHER, SEARCHES


def test_every_target_is_documented() -> None:
    known = {entry.id for entry in corpus.standard_library()}
    for search in (*SEARCHES, *FURTHER):
        assert known & set(search.targets), search.text
