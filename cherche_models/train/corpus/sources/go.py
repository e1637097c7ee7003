"""Doc comments of Go's standard library and of common modules."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from cherche_models.train.corpus import comments
from cherche_models.train.corpus.archive import Archive
from cherche_models.train.corpus.base import Document, Package, Source

_DECLARED = re.compile(
    r"func (?:\(\w*\s*\*?(?P<owner>\w+)[^)]*\) )?(?P<func>[A-Z]\w*)|(?:type|const|var) (?P<type>[A-Z]\w*)"
    r"|package (?P<package>\w+)|(?P<field>[A-Z]\w*)\s+[\w*\[\].{}]+"
)
_VERSION = re.compile(r"v\d\w*")
_HIDDEN = re.compile(r"_test\.go$|/(?:testdata|internal|vendor|cmd|zz_generated[^/]*|examples?)(?:/|$)|\.pb\.go$")


def documents(archives: Mapping[str, Archive]) -> Iterator[Document]:
    """One document a comment of something exported; the title is its name after that of its package."""
    for archive in archives.values():
        for name, code in archive.texts("*.go"):
            if _HIDDEN.search(name):
                continue
            folders = [part.partition("@")[0] for part in name.split("/")[:-1]]
            package = ".".join(folders[-2:] if _VERSION.fullmatch(folders[-1]) else folders[-1:])
            for declared, comment in comments.lines(code, "//", _DECLARED):
                title = package if package.endswith(declared) else f"{package}.{declared}"
                yield comments.document(title, comment)


SOURCE = Source(
    name="go",
    field="go",
    licence="BSD-3-Clause, Apache-2.0, MIT",
    packages=(
        Package("apt", "golang-1.19-src"),
        Package("go", "github.com/aws/aws-sdk-go-v2/service/ec2", "v1.347.0"),
        Package("go", "github.com/gin-gonic/gin", "v1.12.0"),
        Package("go", "github.com/prometheus/client_golang", "v1.25.0"),
        Package("go", "github.com/spf13/cobra", "v1.10.2"),
        Package("go", "go.etcd.io/etcd/client/v3", "v3.7.3"),
        Package("go", "golang.org/x/crypto", "v0.59.0"),
        Package("go", "golang.org/x/net", "v0.62.0"),
        Package("go", "golang.org/x/tools", "v0.52.0"),
        Package("go", "gonum.org/v1/gonum", "v0.17.0"),
        Package("go", "google.golang.org/grpc", "v1.85.0"),
        Package("go", "gorm.io/gorm", "v1.31.2"),
        Package("go", "k8s.io/api", "v0.37.2"),
        Package("go", "k8s.io/client-go", "v0.37.2"),
    ),
    documents=documents,
)
