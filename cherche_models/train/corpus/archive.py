"""The files of a package's archive or of a folder, read without unpacking."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

_AR_MAGIC, _AR_HEADER = b"!<arch>\n", 60
_ZIPPED = (".whl", ".jar", ".zip")


@dataclass(frozen=True, slots=True)
class Archive:
    """A .deb, wheel, jar, zip or tar file, a folder, or one plain file.

    Attributes
    ----------
    path : Path
    version : str
        Of the package.
    """

    path: Path
    version: str = ""

    def files(self, *patterns: str) -> Iterator[tuple[str, bytes]]:
        """Name and content of each regular file whose name matches one of the shell patterns, in archive order.

        Files that end in ``.gz`` or ``.dz`` are decompressed and lose that ending; ``*`` matches ``/`` too.

        Raises
        ------
        ValueError
            If the archive is damaged.
        """
        for name, content in self._members(patterns):
            if name.endswith((".gz", ".dz")):
                yield name[:-3], gzip.decompress(content)
            else:
                yield name, content

    def texts(self, *patterns: str) -> Iterator[tuple[str, str]]:
        """As `files`, decoded as UTF-8, or as Latin-1 where it is not."""
        for name, content in self.files(*patterns):
            try:
                yield name, content.decode("utf-8")
            except UnicodeDecodeError:
                yield name, content.decode("latin-1")

    def _members(self, patterns: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
        def wanted(name: str) -> bool:
            return any(fnmatch(name, pattern) or fnmatch(name, f"{pattern}.[gd]z") for pattern in patterns)

        if self.path.is_dir():
            for path in sorted(self.path.rglob("*")):
                name = path.relative_to(self.path).as_posix()
                if wanted(name) and path.is_file():
                    yield name, path.read_bytes()
        elif self.path.name.endswith(_ZIPPED):
            with zipfile.ZipFile(self.path) as members:
                for entry in members.infolist():
                    if not entry.is_dir() and wanted(entry.filename):
                        yield entry.filename, members.read(entry)
        elif self.path.suffix == ".deb" or tarfile.is_tarfile(self.path):
            opened = tarfile.open(fileobj=_data(self.path)) if self.path.suffix == ".deb" else tarfile.open(self.path)  # noqa: SIM115
            with opened as tar:
                for member in tar:
                    name = member.name.removeprefix("./")
                    if member.isfile() and wanted(name):
                        file = tar.extractfile(member)
                        assert file is not None
                        yield name, file.read()
        elif wanted(self.path.name):
            yield self.path.name, self.path.read_bytes()


def _data(deb: Path) -> io.BytesIO:
    """The ``data.tar`` member of a Debian package, which is an ar archive (deb(5))."""
    with deb.open("rb") as file:
        if file.read(len(_AR_MAGIC)) != _AR_MAGIC:
            raise ValueError(f"{deb.name} is not a Debian package")
        while header := file.read(_AR_HEADER):
            name, size = header[:16].decode().strip().rstrip("/"), int(header[48:58])
            if name.startswith("data.tar"):
                return io.BytesIO(file.read(size))
            file.seek(size + size % 2, io.SEEK_CUR)
    raise ValueError(f"{deb.name} has no data.tar")
