"""Javadoc comments of the JDK and of common libraries."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator, Mapping

from cherche_models.train.corpus import comments
from cherche_models.train.corpus.archive import Archive
from cherche_models.train.corpus.base import Document, Package, Source

_MODIFIERS = r"(?:(?:public|protected|static|final|abstract|default|synchronized|native|sealed|strictfp)\s+)*"
_DECLARED = re.compile(
    r"\A(?:@\w+(?:\([^)]*\))?\s+)*" + _MODIFIERS + r"(?:<[^>]*>\s+)?"
    r"(?:(?:class|@?interface|enum|record)\s+(\w+)|package\s+([\w.]+)|[\w.<>\[\]?, ]*?(\w+)\s*[(=;])"
)
_MODULES = ("java.base", "java.desktop", "java.sql", "java.net.http", "java.logging", "java.xml", "java.management")


def documents(archives: Mapping[str, Archive]) -> Iterator[Document]:
    """One document a comment; the title is the class and the member."""
    for package, archive in archives.items():
        files = _jdk(archive) if package == "openjdk-17-source" else archive.texts("*.java")
        for name, code in files:
            owner = name.rsplit("/", 1)[-1].removesuffix(".java")
            for declared, comment in comments.blocks(code, _DECLARED):
                if owner == "package-info":
                    yield comments.document(declared, comment)
                else:
                    yield comments.document(owner if declared == owner else f"{owner}.{declared}", comment)


def _jdk(archive: Archive) -> Iterator[tuple[str, str]]:
    """The public packages in the archive within the package."""
    for _, content in archive.files("*/src.zip"):
        with zipfile.ZipFile(io.BytesIO(content)) as members:
            for name in members.namelist():
                module, _, rest = name.partition("/")
                if module in _MODULES and rest.startswith(("java/", "javax/")) and name.endswith(".java"):
                    yield name, members.read(name).decode("utf-8", "replace")


SOURCE = Source(
    name="java",
    field="java",
    licence="GPL-2.0-only WITH Classpath-exception-2.0, Apache-2.0",
    packages=(
        Package("apt", "openjdk-17-source"),
        Package("mvn", "com.google.guava:guava", "33.4.8-jre"),
        Package("mvn", "org.apache.commons:commons-lang3", "3.17.0"),
        Package("mvn", "org.apache.commons:commons-math3", "3.6.1"),
        Package("mvn", "org.apache.lucene:lucene-core", "10.2.1"),
        Package("mvn", "org.springframework:spring-context", "6.2.7"),
        Package("mvn", "org.springframework:spring-core", "6.2.7"),
    ),
    documents=documents,
)
