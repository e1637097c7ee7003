"""``make interop``: clients whose stubs are generated from ``protos`` alone, and tools that read it or reflection.

Everything that is generated, built or installed lies in the user's cache folder, beside the environment of
`tests.contract.peers`. The table of results becomes part of ``protos/README.md``.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from importlib import resources
from pathlib import Path
from typing import Any

from sidecar import config
from sidecar.engines.embedded import EmbeddedEngine
from sidecar.gateway.generate import filled
from sidecar.rpc.generate import PROTOS
from sidecar.testing import FakeModel, running_server
from tests.contract.peers import ROOT

HERE = Path(__file__).parent / "clients"
README = PROTOS / "README.md"
GO_TOOLS = (
    "google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.10",
    "google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.5.1",
    "github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.3",
)
NODE = ("@grpc/grpc-js", "@grpc/proto-loader")
BUF = "@bufbuild/buf"
QUERY = "red car"
DOCUMENTS = ["blue sky over the sea", "a red car on the road", "a car"]
TOKEN = "interop"
METHOD = "cherche.v1.RerankerService.Rerank"
LIMITS = config.Limits(request_bytes=4 << 20)
EXPECTED: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "rerank": ("`Rerank`", lambda answer: answer == [1, 2, 0]),
    "search": ("`SetupIndex`, `IndexDocuments` (a stream both ways), `Search`", lambda answer: answer == [1, 2]),
    "item error": (
        "`EncodeDocuments`, one document over the limit",
        lambda answer: answer.startswith("document 1 has 1,048,577 bytes, the limit is 1,048,576"),
    ),
    "call error": ("`GetModel` of an unknown name", lambda answer: answer.startswith("model 'unknown' is not served")),
    "too large": (
        "a message over the limit",
        lambda answer: "Received message larger than max (" in answer and f"vs. {LIMITS.request_bytes})" in answer,
    ),
}
"""What each client does, and what the sidecar must answer."""

Row = tuple[str, str, str, str]


def main() -> None:
    """Generate, build, call and write the table; fails if anything does."""
    rows = asyncio.run(_rows())
    lines = [f"| {' | '.join(row)} |\n" for row in rows]
    print("".join(lines))
    head = "| client | release | call | result |\n|---|---|---|---|\n"
    README.write_text(filled(README.read_text(encoding="utf-8"), "clients", [head, *lines]), encoding="utf-8")
    failed = [row for row in rows if row[-1] != "works"]
    if failed:
        raise SystemExit(f"{len(failed)} of {len(rows)} calls failed")


async def _rows() -> list[Row]:
    with tempfile.TemporaryDirectory() as scratch:
        engine = EmbeddedEngine(Path(scratch) / "index.sqlite")
        settings = config.Settings(token=TOKEN, limits=LIMITS)
        try:
            async with running_server(engine, [FakeModel()], settings=settings) as server:
                return await asyncio.to_thread(lambda: [*_made(server.address)])
        finally:
            await engine.aclose()


def _made(address: str) -> Iterable[Row]:
    for program, client in (("go", _go), ("npm", _node), ("mvn", _java)):
        if shutil.which(program):
            yield from client(address)
        else:
            print(f"no {program}: its clients are left out", file=sys.stderr)


def _go(address: str) -> Iterable[Row]:
    folder = _copied("go")
    tools = {tool.rpartition("/")[2].partition("@")[0]: tool for tool in GO_TOOLS}
    env = {"GOBIN": str(folder / "bin"), "GOFLAGS": "-mod=mod"}
    for name, tool in tools.items():
        if not (folder / "bin" / name).exists():
            _run(["go", "install", tool], env, cwd=folder)
    stubs = folder / "cherche"
    shutil.rmtree(stubs, ignore_errors=True)
    plugins = [f"--plugin={folder / 'bin' / name}" for name in tools if name.startswith("protoc-gen")]
    _protoc([*plugins, f"--go_out={folder}", f"--go-grpc_out={folder}"])
    (stubs / "go.mod").write_text("module cherche\n\ngo 1.24\n", encoding="utf-8")
    for module in (stubs, folder):
        _run(["go", "mod", "tidy"], env, cwd=module)
    _run(["go", "build", "-o", "client", "."], env, cwd=folder)
    listed = _run(["go", "list", "-m", "-f", "{{.Version}}", "google.golang.org/grpc"], env, cwd=folder)
    yield from _answered("grpc-go", listed.strip().removeprefix("v"), [str(folder / "client"), address])
    release = tools["grpcurl"].rpartition("@v")[2]
    options = ["-plaintext", "-H", f"authorization: Bearer {TOKEN}", address]
    described = _run([str(folder / "bin" / "grpcurl"), *options, "describe", METHOD])
    yield _row("grpcurl", release, "`describe`, by reflection", described, f"{METHOD} is a method" in described)


def _node(address: str) -> Iterable[Row]:
    folder = _copied("node", "interop-stubs-node")
    if not all((folder / "node_modules" / name).exists() for name in (*NODE, BUF)):
        _run(["npm", "install", "--silent", "--no-audit", "--ignore-scripts", *NODE, BUF], cwd=folder)
    releases = {
        name: json.loads((folder / "node_modules" / name / "package.json").read_text(encoding="utf-8"))["version"]
        for name in (*NODE, BUF)
    }
    client = ["node", str(folder / "client.mjs"), address]
    shown = ", ".join(f"{name.rpartition('/')[2]} {releases[name]}" for name in NODE)
    yield from _answered("node", shown, client, str(PROTOS))
    buf = str(folder / "node_modules" / ".bin" / "buf")
    said = _run([buf, "build"], cwd=PROTOS) + _run([buf, "lint"], cwd=PROTOS)
    yield _row("buf", releases[BUF], "`build` and `lint` in `protos`", said, not said)


def _java(address: str) -> Iterable[Row]:
    folder = _copied("java")
    maven = ["mvn", "-B", "-q", "-ntp", f"-Dprotos={PROTOS}"]
    _run([*maven, "compile"], cwd=folder)
    pom = (folder / "pom.xml").read_text(encoding="utf-8")
    release = pom.partition("<grpc.version>")[2].partition("<")[0]
    quoted = " ".join(f"'{one}'" for one in (address, TOKEN, QUERY, *DOCUMENTS))
    said = _run([*maven, "exec:java", f"-Dexec.args={quoted}"], cwd=folder)
    yield from _compared("grpc-java", release, said)


def _copied(name: str, folder: str = "") -> Path:
    """The sources of a client in a folder of the cache."""
    target = ROOT.with_name(folder or f"interop-{name}")
    shutil.copytree(HERE / name, target, dirs_exist_ok=True)
    return target


def _protoc(arguments: list[str]) -> None:
    bundled = resources.files("grpc_tools") / "_proto"
    files = sorted(str(path) for path in (PROTOS / "cherche").rglob("*.proto"))
    paths = [f"--proto_path={PROTOS}", f"--proto_path={bundled}"]
    _run([sys.executable, "-m", "grpc_tools.protoc", *paths, *arguments, *files])


def _answered(client: str, release: str, program: list[str], *further: str) -> Iterable[Row]:
    yield from _compared(client, release, _run([*program, TOKEN, QUERY, json.dumps(DOCUMENTS), *further]))


def _compared(client: str, release: str, said: str) -> Iterable[Row]:
    [line] = [line for line in said.splitlines() if "ANSWERS" in line]  # Maven may colour what precedes it
    answers: dict[str, Any] = json.loads(line.partition("ANSWERS")[2])
    for name, (call, is_right) in EXPECTED.items():
        yield _row(client, release, call, answers.get(name), is_right(answers.get(name)))


def _row(client: str, release: str, call: str, answer: object, is_right: bool) -> Row:
    shown = "works" if is_right else " ".join(str(answer).split())[:200].replace("|", "/")
    return client, release, call, shown or "nothing was answered"


def _run(program: list[str], env: dict[str, str] | None = None, cwd: Path | None = None) -> str:
    """What a program says; its errors if it fails."""
    done = subprocess.run(
        program, capture_output=True, text=True, check=False, timeout=1800, env={**os.environ, **(env or {})}, cwd=cwd
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(program)[:200]} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    main()
