"""The plugin's README documents every setting and option."""

from __future__ import annotations

from tests.integration.plugin.conftest import PLUGIN

JAVA = PLUGIN / "src" / "main" / "java" / "org" / "cherche" / "opensearch"


def test_it_names_every_option_of_the_query_processor() -> None:
    options = [
        line.split('"')[1] for line in (JAVA / "Options.java").read_text().splitlines() if 'take(values, "' in line
    ]
    assert len(options) > 10
    readme = (PLUGIN / "README.md").read_text()
    assert [option for option in options if f"`{option}`" not in readme] == []


def test_it_names_every_setting() -> None:
    settings = settings_of((JAVA / "ChercheSettings.java").read_text())
    assert len(settings) > 10
    readme = (PLUGIN / "README.md").read_text()
    assert [name for name in settings if f"`{name}`" not in readme] == []


def settings_of(source: str) -> list[str]:
    after = [part.split('"')[1] for part in source.split("PREFIX + ")[1:] if part.startswith('"')]
    times = [part.split('"')[1] for part in source.split("= time(")[1:]]
    return [*after, *times]
