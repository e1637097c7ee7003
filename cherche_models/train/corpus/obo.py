"""Terms of ontologies in the OBO format, version 1.2 and 1.4."""

from __future__ import annotations

import re
from collections.abc import Iterator

from cherche_models.train.corpus.base import Document
from cherche_models.train.corpus.text import one_line

_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_ESCAPED = re.compile(r"\\(.)")
_SAID = re.compile(r"(?=.*[a-z]{3})[A-Za-z][\w ,'-]{2,60}")
"""A synonym that somebody might type: no formula and no structure."""


def terms(text: str) -> Iterator[Document]:
    r"""One document a term that has a definition; its synonyms are its further names.

    >>> found, = terms('[Term]\nid: A:1\nname: duck\ndef: "A bird, \\"quack\\"." [A]\nsynonym: "mallard" NARROW []\n')
    >>> found.title, found.text, found.names
    ('duck', 'A bird, "quack".', ('duck', 'mallard'))
    """
    for stanza in text.split("\n\n"):
        if not stanza.lstrip().startswith("[Term]") or "is_obsolete: true" in stanza:
            continue
        name, definition, synonyms = "", "", []
        for line in stanza.splitlines():
            key, _, value = line.partition(": ")
            quoted = _QUOTED.match(value)
            if key == "name":
                name = value.strip()
            elif key == "def" and quoted:
                definition = one_line(_ESCAPED.sub(r"\1", quoted[1]))
            elif key == "synonym" and quoted and _SAID.fullmatch(quoted[1]):
                synonyms.append(quoted[1])
        if name and definition:
            yield Document(name, definition, names=tuple(dict.fromkeys([name, *synonyms])))
