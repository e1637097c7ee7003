"""A library is compiled where there is a compiler, and the reason given where there is none."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import pytest

from cherche_models.kernel import build, library
from cherche_models.kernel.build import BuildError


def test_an_older_library_is_replaced_and_nothing_else_is_left(compiled: Path, tmp_path: Path) -> None:
    (tmp_path / build.LIBRARY).write_bytes(b"an older one")
    made = build.build(tmp_path)
    assert list(tmp_path.iterdir()) == [made]
    assert library.load(made).kernels


def test_a_machine_without_a_compiler(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="no C compiler: none of cc, gcc, clang is on the search path"):
        build.build(tmp_path, {"PATH": str(tmp_path)})
    with pytest.raises(BuildError, match="none of icx is"):
        build.build(tmp_path, {"PATH": str(tmp_path), "CC": "icx"})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("script", "reason"), [("echo no room >&2; exit 1", "no room"), ("exit 0", "it wrote nothing")]
)
def test_a_compiler_that_fails(tmp_path: Path, script: str, reason: str) -> None:
    compiler, folder = tmp_path / "badcc", tmp_path / "folder"
    compiler.write_text(f"#!/bin/sh\n{script}\n")
    compiler.chmod(0o755)
    folder.mkdir()
    with pytest.raises(BuildError, match=f"badcc failed: {reason}"):
        build.build(folder, {**os.environ, "CC": str(compiler)})
    assert not list(folder.iterdir())


def test_the_source_compiles_without_warnings(compiled: Path, tmp_path: Path) -> None:
    """With what finds mistakes, which other compilers' versions need not know."""
    script = tmp_path / "strictcc"
    script.write_text(
        f'#!/bin/sh\nexec {shlex.join(build.compiler())} -Wall -Wextra -Werror -Wno-unknown-pragmas "$@"\n'
    )
    script.chmod(0o755)
    assert build.build(tmp_path, {**os.environ, "CC": str(script)}).is_file()


def test_the_variable_may_hold_options(compiled: Path, tmp_path: Path) -> None:
    program, *options = build.compiler()
    assert build.compiler({**os.environ, "CC": f"{program} -pthread"}) == [program, *options, "-pthread"]
    assert build.build(tmp_path, {**os.environ, "CC": f"{program} -DNOTHING='two words'"}).is_file()


@pytest.mark.usefixtures("compiled")
def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"kernel\.so cannot be written"):
        build.build(tmp_path / "nowhere")
