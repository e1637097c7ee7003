"""A client of a running sidecar needs the group ``client`` of ``pyproject.toml`` and nothing else."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from sidecar.testing import FakeModel
from tests.contract.clients import short_list
from tests.unit.sidecar.cli.conftest import serving

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "sidecar" / "client" / "README.md").read_text(encoding="utf-8")


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def closure(requirements: Iterable[str]) -> set[str]:
    """Distributions that these bring."""
    found: set[str] = set()
    waiting = [Requirement(one) for one in requirements]
    while waiting:
        one = waiting.pop()
        name = canonicalize_name(one.name)
        if name in found or (one.marker and not one.marker.evaluate({"extra": ""})):
            continue
        found.add(name)
        try:
            waiting += [Requirement(inner) for inner in requires(name) or ()]
        except PackageNotFoundError:  # of another system
            continue
    return found


def foreign(group: Iterable[str]) -> list[str]:
    """Packages that are importable here, and are not in an environment of that group alone."""
    ours = closure(group) | {"cherche-sidecar"}
    return sorted(
        package
        for package, owners in packages_distributions().items()
        if not ours & {canonicalize_name(owner) for owner in owners}
    )


def test_everything_that_talks_to_a_sidecar_runs(tmp_path: Path) -> None:
    refused = foreign(project()["dependency-groups"]["client"])
    assert {"torch", "transformers", "tokenizers", "fastapi", "structlog", "opensearchpy"} <= set(refused)
    (tmp_path / "scratch").mkdir()
    with serving(tmp_path, [FakeModel()]) as address:
        command = [sys.executable, short_list.__file__, address, str(tmp_path / "scratch"), json.dumps(refused)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert len(found) > 40
    assert not {what: said for what, said in found.items() if said}


def test_the_list_is_a_part_of_the_dependencies_and_the_one_on_its_page() -> None:
    group = project()["dependency-groups"]["client"]
    assert set(group) < set(project()["project"]["dependencies"])
    lines = PAGE.replace("\\\n", " ").splitlines()
    (listed,) = [line.split()[2:] for line in lines if re.match(r"\s*pip install click ", line)]
    assert sorted(listed) == sorted(Requirement(one).name for one in group)


def test_a_sidecar_without_torch_has_all_other_dependencies_and_its_page_lists_them() -> None:
    group = {Requirement(one).name for one in project()["dependency-groups"]["light"]}
    every = {Requirement(one).name: one for one in project()["project"]["dependencies"]}
    assert group == set(every) - {"torch", "transformers", "huggingface-hub"}
    assert set(project()["dependency-groups"]["light"]) <= set(every.values())
    page = (ROOT / "sidecar" / "docs" / "capacity.md").read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    (listed,) = [line.split()[2:] for line in page if re.match(r"\s*pip install click ", line)]
    assert sorted(Requirement(one.strip("'")).name for one in listed) == sorted(group)
