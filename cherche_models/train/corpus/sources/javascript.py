"""Documentation comments of TypeScript declarations: the language's own, the browser's, Node's, and libraries'."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from cherche_models.train.corpus import comments
from cherche_models.train.corpus.archive import Archive
from cherche_models.train.corpus.base import Document, Package, Source

PACKAGES = (
    Package("npm", "typescript", "5.8.3"),
    Package("npm", "@types/node", "26.6.7"),
    Package("npm", "@types/react", "19.3.3"),
    Package("npm", "@types/lodash", "4.17.27"),
    Package("npm", "@types/three", "0.187.0"),
    Package("npm", "@types/jquery", "4.0.1"),
    Package("npm", "@types/express", "5.0.6"),
    Package("npm", "@types/web", "0.0.359"),
    Package("npm", "@types/leaflet", "1.9.22"),
    Package("npm", "@types/google.maps", "3.66.9"),
    Package("npm", "@types/office-js", "1.0.612"),
    Package("npm", "rxjs", "7.8.2"),
)
_OWNER = re.compile(
    r"\b(?:interface|class|namespace|module|enum)\s+[\"']?(?:node:)?([\w$./-]+)|(/\*\*(?!\*|/).*?\*/)", re.DOTALL
)
_NAME = re.compile(
    r"^\s*(?:export\s+|declare\s+|default\s+|abstract\s+|static\s+|readonly\s+|public\s+|protected\s+|async\s+|get\s+|set\s+)*"
    r"(?:(?:function|class|interface|type|const|let|var|enum|namespace|module)\s+)?[\"']?(?:node:)?([A-Za-z_$][\w$]*)",
)


def documents(archives: Mapping[str, Archive]) -> Iterator[Document]:
    """One document a comment; the title is the declaration's name after that of its class or module."""
    for package, archive in archives.items():
        library = package.removeprefix("@types/")
        for name, code in archive.texts("*.d.ts"):
            if "/node_modules/" in name or (library == "typescript" and "/lib/lib." not in name):
                continue
            prefix = "" if library in ("typescript", "web") else f"{library} "
            yield from _of_file(code, prefix)


def _of_file(code: str, prefix: str) -> Iterator[Document]:
    owner = ""
    for found in _OWNER.finditer(code):
        if found[1]:
            owner = found[1]
            continue
        declared = _NAME.match(code[found.end() : found.end() + 300])
        name = declared[1] if declared else ""
        if name and name != "import":
            title = f"{prefix}{owner}.{name}" if owner and owner != name else f"{prefix}{name}"
            yield comments.document(title, re.sub(r"(?m)^[ \t]*\* ?", "", found[2][3:-2]))


SOURCE = Source(
    name="javascript",
    field="javascript",
    licence="MIT, Apache-2.0",
    packages=PACKAGES,
    documents=documents,
)
