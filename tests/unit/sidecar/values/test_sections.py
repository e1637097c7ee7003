"""Parts of the settings: frozen, exact, with every key explained."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from sidecar.values import sections
from sidecar.values.sections import Section, Tls

SECTIONS = [one for one in vars(sections).values() if isinstance(one, type) and issubclass(one, Section)]


@pytest.mark.parametrize("section", SECTIONS, ids=lambda one: one.__name__)
def test_a_section_is_frozen_and_refuses_unknown_keys(section: type[Section]) -> None:
    found = section()
    for name, field in section.model_fields.items():
        assert field.description, name
        with pytest.raises(ValidationError, match="frozen"):
            setattr(found, name, None)
    with pytest.raises(ValidationError, match="not permitted"):
        section.model_validate({"colour": "red"})


def test_the_embedded_file_follows_the_home_of_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert str(sections.default_embedded_path()) == "/data/cherche/index.sqlite"
    assert str(sections.default_judgements()) == "/data/cherche/judgements"


def test_nothing_is_encrypted_unless_said() -> None:
    assert (Tls().cert, Tls().ca) == (None, None)
