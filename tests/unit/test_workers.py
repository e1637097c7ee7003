"""Whatever shares a node is one part, and the longest parts begin first."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests import workers
from tests.workers import ELASTICSEARCH, OPENSEARCH, PLUGIN, part, rank

ROOT = Path(__file__).parents[2]
SHARED = re.compile(r"\b(?:plugin|opensearch|elasticsearch)_url\b")


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        ("tests/unit/test_house.py::test_words", "tests/unit/test_house.py"),
        ("tests/e2e/test_demo.py::test_a[x]", "tests/e2e/test_demo.py"),
        ("tests/e2e/test_readme.py::test_blocks[README.md]", "tests/e2e/test_readme.py::test_blocks[README.md]"),
        ("tests/integration/plugin/test_stats.py::test_a", PLUGIN),
        ("tests/integration/plugin/test_tls.py::test_a", "tests/integration/plugin/test_tls.py"),
        ("tests/integration/nodes/test_loss.py::test_a", "tests/integration/nodes/test_loss.py"),
        ("tests/integration/rpc/test_index.py::test_a", "tests/integration/rpc/test_index.py"),
        ("tests/integration/test_serve.py::test_a", "tests/integration/test_serve.py"),
        ("tests/integration/engines/test_writes.py::test_a[embedded]", OPENSEARCH),
        ("tests/integration/engines/test_writes.py::test_a[elasticsearch-1]", ELASTICSEARCH),
        ("tests/integration/cli/test_docs.py::test_a", OPENSEARCH),
    ],
)
def test_a_part_is_a_file_or_what_shares_a_node(test: str, expected: str) -> None:
    assert part(test) == expected


def test_no_file_that_is_a_part_of_its_own_asks_for_a_shared_node() -> None:
    files = [str(path.relative_to(ROOT)) for path in (ROOT / "tests").rglob("test_*.py")]
    alone = [file for file in files if part(f"{file}::test") == file and file != str(Path(__file__).relative_to(ROOT))]
    assert len(files) > len(alone) > 300
    asking = [file for file in alone if SHARED.search((ROOT / file).read_text(encoding="utf-8"))]
    assert asking == [], "name their part in tests/workers.py"


def test_those_that_wait_for_a_node_begin_before_those_that_last_a_second() -> None:
    tests = ["tests/unit/test_a.py::test", "tests/e2e/test_a.py::test", "tests/integration/plugin/test_stats.py::test"]
    assert sorted(tests, key=rank) == tests[::-1]


def test_the_scheduler_asks_for_the_part() -> None:
    scheduler = object.__new__(workers.Parts)
    assert scheduler._split_scope("tests/integration/plugin/test_stats.py::test_a") == PLUGIN
