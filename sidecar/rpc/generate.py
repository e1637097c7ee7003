"""Writes `sidecar/pb` from `protos`: ``python -m sidecar.rpc.generate [FOLDER]``.

Plain protoc output would import a package named `cherche`, which this
distribution does not own; the imports are rewritten to `sidecar.pb.cherche`.
"""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from importlib import resources
from pathlib import Path

from sidecar.errors import precondition

ROOT = Path(__file__).resolve().parents[2]
PROTOS = ROOT / "protos"
TARGET = ROOT / "sidecar" / "pb"

_OUTPUTS = ("python", "mypy", "grpc_python", "mypy_grpc")
_IMPORT = re.compile(r"^from cherche\b", re.MULTILINE)
# Classes of messages have this module's name, by which pickle finds them.
_MODULE = re.compile(r"(?<=BuildTopDescriptorsAndMessages\(DESCRIPTOR, ')cherche\b")


def generate(target: Path = TARGET, protos: Path = PROTOS) -> list[Path]:
    """Compile every contract file; the paths written.

    Raises
    ------
    ChercheError
        FAILED_PRECONDITION where the compiler is missing or refuses a file.
    """
    sources = sorted(str(path) for path in (protos / "cherche").rglob("*.proto"))
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder)
        _compile([f"--proto_path={protos}", *(f"--{kind}_out={fresh}" for kind in _OUTPUTS), *sources])
        names = [path.relative_to(fresh) for path in (*_finish(fresh), *_packages(fresh))]
        # Only now: where the compiler refuses a file, the code of the last contract stays.
        for old in target.rglob("*_pb2*.py*"):
            old.unlink()
        for name in names:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(fresh / name, target / name)
    return [target / name for name in names]


def _compile(arguments: list[str]) -> None:
    try:
        from grpc_tools import protoc
    except ImportError as error:
        raise precondition("grpcio-tools is not installed", "pip install --group dev") from error
    bundled = resources.files("grpc_tools") / "_proto"
    if protoc.main(["protoc", f"--proto_path={bundled}", *_plugins(), *arguments]):
        raise precondition("protoc refused the contract", "mend what it printed above")


def _plugins() -> list[str]:
    """Where this environment's plugins are: it need not be on the PATH."""
    commands = [Path(sys.executable).with_name(f"protoc-gen-{name}") for name in ("mypy", "mypy_grpc")]
    return [f"--plugin={command.name}={command}" for command in commands if command.exists()]


def _finish(target: Path) -> list[Path]:
    """Rewrite imports; drop the stubs of files without a service."""
    written = []
    for path in sorted(target.rglob("*_pb2*.py*")):
        text = path.read_text()
        if "_pb2_grpc" in path.name and "ServiceStub" not in text:
            path.unlink()
            continue
        text = _MODULE.sub("sidecar.pb.cherche", _IMPORT.sub("from sidecar.pb.cherche", text))
        path.write_text(text)
        written.append(path)
    return written


def _packages(target: Path) -> list[Path]:
    folders = {target} | {target / part for path in target.rglob("*_pb2.py") for part in _above(path, target)}
    markers = [folder / "__init__.py" for folder in sorted(folders)]
    for marker in markers:
        marker.write_text('"""Generated from `protos`; `make proto` writes it anew."""\n')
    return markers


def _above(path: Path, target: Path) -> list[Path]:
    return [parent for parent in path.relative_to(target).parents if parent.name]


def main() -> None:
    """Generate into the folder named on the command line, or in place."""
    for path in generate(Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET):
        sys.stderr.write(f"{path}\n")


if __name__ == "__main__":
    main()
