"""Archives of packages and manual pages, made by hand."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from cherche_models.train.corpus.archive import Archive


def tar(path: Path, files: Mapping[str, bytes | str]) -> Archive:
    path.write_bytes(_tar(files, "w:gz"))
    return Archive(path, "1")


def deb(path: Path, files: Mapping[str, bytes | str]) -> Archive:
    members = {"debian-binary": b"2.0\n", "control.tar.xz": b"odd", "data.tar.xz": _tar(files, "w:xz")}
    content = b"!<arch>\n"
    for name, data in members.items():
        content += (
            f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode() + data + b"\n" * (len(data) % 2)
        )
    path.write_bytes(content)
    return Archive(path, "1")


def wheel(path: Path, files: Mapping[str, bytes | str]) -> Archive:
    with zipfile.ZipFile(path, "w") as members:
        for name, content in files.items():
            members.writestr(name, content)
    return Archive(path, "1")


def _tar(files: Mapping[str, bytes | str], mode: Literal["w:gz", "w:xz"]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            entry = tarfile.TarInfo(f"./{name}")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


MAN = r""".\" comment
.TH DUCK 1
.SH NAME
duck, drake \- make a \fInoise\fP
.SH SYNOPSIS
.B duck
.SH DESCRIPTION
The bird makes a noise that everybody can hear.
.nf
quack()
.fi
.SS Options in detail
.IP \-q 4
Be
.BR quiet (1)
for as long as you can be quiet.
.SH AUTHOR
Somebody who writes at least eight words about ducks.
"""

MDOC = r""".Dd May 1, 2020
.Sh NAME
.Nm duck
.Nd make a noise
.Sh DESCRIPTION
The
.Nm duck
utility makes noise unless
.Fl q
is given
.Pq see Xr goose 1 .
"""
