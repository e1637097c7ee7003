from __future__ import annotations

from pathlib import Path

from cherche_models.train.corpus import sources
from cherche_models.train.corpus.build import LONG
from cherche_models.train.corpus.clients import CLIENTS
from cherche_models.train.corpus.table import discover


def test_every_module_is_a_source_of_the_same_name() -> None:
    modules = {path.stem.replace("_", "-") for path in Path(sources.__path__[0]).glob("[a-z]*.py")}
    found = discover()
    assert set(found) == modules
    for source in found.values():
        assert source.licence
        assert source.packages
        assert source.long in ("", *LONG)


def test_there_are_at_least_eight_fields() -> None:
    assert len({source.field for source in discover().values()}) >= 8


def test_packages_are_pinned_where_a_registry_keeps_versions() -> None:
    for source in discover().values():
        assert len({package.name for package in source.packages}) == len(source.packages)
        for package in source.packages:
            assert bool(package.version) == (package.client in ("go", "mvn", "npm", "pip")), package
            assert package.client in CLIENTS
