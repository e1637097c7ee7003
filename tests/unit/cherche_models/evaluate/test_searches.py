from __future__ import annotations

from cherche_models.evaluate.searches import FURTHER, SEARCHES
from sidecar.demo import corpus


def test_every_target_is_documented() -> None:
    known = {entry.id for entry in corpus.standard_library()}
    for search in (*SEARCHES, *FURTHER):
        assert known & set(search.targets), search.text
