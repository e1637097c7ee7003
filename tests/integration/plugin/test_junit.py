"""The plugin's JUnit tests ran with its build, and each class has tests of its own name."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.integration.plugin.conftest import PLUGIN

SOURCES, TESTS = PLUGIN / "src" / "main" / "java", PLUGIN / "src" / "test" / "java"
WITHOUT_TESTS = {"CherchePlugin"}  # registers the others with the engine: every test against a node runs it


def test_each_class_has_tests_of_its_name() -> None:
    classes = {path.stem for path in SOURCES.rglob("*.java")}
    tested = {path.stem.removesuffix("Tests") for path in TESTS.rglob("*Tests.java")}
    assert classes - tested == WITHOUT_TESTS
    assert tested - classes == set(), "tests without a class"


@pytest.mark.java
@pytest.mark.timeout(900)  # builds the plugin
def test_every_test_class_ran(plugin_zip: Path) -> None:
    for path in TESTS.rglob("*Tests.java"):
        report = plugin_zip.parent / "surefire-reports" / f"TEST-org.cherche.opensearch.{path.stem}.xml"
        suite = ElementTree.parse(report).getroot()
        assert int(suite.attrib["tests"]) > 0, path.stem
        assert [suite.attrib[outcome] for outcome in ("errors", "failures", "skipped")] == ["0", "0", "0"], path.stem
