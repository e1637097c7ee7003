"""Doc comments of Rust's standard library and of its compiler."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from cherche_models.train.corpus import comments
from cherche_models.train.corpus.archive import Archive
from cherche_models.train.corpus.base import Document, Package, Source

_DECLARED = re.compile(
    r"(?:pub(?:\([\w:]+\))? )?(?:default |const |async |unsafe |extern \"[^\"]*\" )*"
    r"(?:fn|struct|enum|trait|type|mod|union|macro_rules!|static|const) (\w+)|(?:pub )?([A-Za-z]\w*)\b"
)
_OWNER = re.compile(
    r"^(?:pub )?(?:unsafe )?(?:impl(?:<[^{]*?>)? (?:[^{]* for )?&?(?:mut )?(\w+)|trait (\w+))", re.MULTILINE
)
_HIDDEN = re.compile(r"/(?:tests|benches|testsuite)/|/tests\.rs$")


def documents(archives: Mapping[str, Archive]) -> Iterator[Document]:
    """One document a comment; the title is the path of what it documents."""
    for name, code in archives["rust-src"].texts("*/library/*.rs", "*/compiler/*.rs"):
        if _HIDDEN.search(name):
            continue
        path = name.split("/library/")[-1].split("/compiler/")[-1].removesuffix(".rs")
        module = "::".join(part for part in path.split("/") if part not in ("src", "mod", "lib"))
        ends = [(found.start(), found[1] or found[2]) for found in _OWNER.finditer(code)]
        starts = [0, *(start for start, _ in ends), len(code)]
        for number, owner in enumerate(["", *(owner for _, owner in ends)]):
            part = code[starts[number] : starts[number + 1]]
            for declared, comment in comments.lines(part, "///", _DECLARED):
                title = "::".join(piece for piece in (module, owner, declared) if piece)
                yield comments.document(title, comment)


SOURCE = Source(
    name="rust",
    field="rust",
    licence="MIT OR Apache-2.0",
    packages=(Package("apt", "rust-src"),),
    documents=documents,
)
