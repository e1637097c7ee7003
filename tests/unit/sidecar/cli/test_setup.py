"""`cherche setup`: its plan, and the codecs that it offers, those of new files included."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from cherche_models.codec import CODECS
from sidecar.cli import cherche
from tests.unit.sidecar.cli.conftest import Command

ROOT = Path(__file__).parents[4]

PLANTED = """
import numpy as np

from cherche_models.codes.base import Codec
from cherche_models.codes.header import CodecError


class Half(Codec):
    def size(self, dim, tokens):
        return 2 * dim * tokens

    def encode(self, vectors, book):
        return vectors.astype("<f2").tobytes()

    def decode(self, bodies, dim):
        return np.frombuffer(b"".join(body.data for body in bodies), "<f2").astype(np.float32).reshape(-1, dim)

    def check(self, body):
        if not np.isfinite(np.frombuffer(body.data, "<f2")).all():
            raise CodecError("token codes are damaged: a value is infinite or NaN")


CODECS = (Half("half", 200, "2 bytes per dimension"),)
"""

USED = """
import json, sys
import numpy as np
from cherche_models import codec
from cherche_models.types import TokenEmbeddings
from sidecar.pipeline.fingerprint import codes_fingerprint
from sidecar.testing import FakeModel

eye = TokenEmbeddings(np.eye(4, dtype=np.float32))
half = codec.transcode(codec.pack_codes(eye), "pool2+half")
info = FakeModel().info
prints = {codes_fingerprint(info, max_length=8, codec=name) for name in codec.CODECS}
print(json.dumps([half[3], codec.unpack_codes(half).vectors.shape, len(prints) - len(codec.CODECS)]))
"""


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    """A copy of the packages with a codec more, in a file of its own."""
    weights = shutil.ignore_patterns("__pycache__", "pretrained")
    for package in ("cherche_models", "sidecar"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=weights)
    (tmp_path / "cherche_models" / "codes" / "codecs" / "half.py").write_text(PLANTED, encoding="utf-8")
    return tmp_path


def output(root: Path, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(root), "COLUMNS": "100"}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=True).stdout


def test_every_codec_is_offered_and_described() -> None:
    text = " ".join(CliRunner().invoke(cherche, ["setup", "--help"], terminal_width=100).output.split())
    assert f"--codec [{'|'.join(CODECS)}|none]" in text
    assert all(f"{codec.name} ({codec.summary})" in text for codec in CODECS.values())
    trained = ", ".join(codec.name for codec in CODECS.values() if codec.needs_codebook)
    assert f"A codebook (cherche codebook) is needed for {trained}." in text


def test_a_codec_of_a_new_file_is_offered_and_works(planted: Path) -> None:
    shown = " ".join(output(planted, "-m", "sidecar.cli", "setup", "--help").split())
    assert f"--codec [{'|'.join(CODECS)}|half|none]" in shown
    assert "half (2 bytes per dimension)" in shown
    assert json.loads(output(planted, "-c", USED)) == [200, [2, 4], 0]


def test_a_codec_whose_number_is_taken_is_refused_where_it_is_imported(planted: Path) -> None:
    file = planted / "cherche_models" / "codes" / "codecs" / "half.py"
    file.write_text(PLANTED.replace("200", "3"), encoding="utf-8")
    with pytest.raises(subprocess.CalledProcessError) as caught:
        output(planted, "-c", "from cherche_models import codec")
    assert "share a name or a number: give the new one another" in caught.value.stderr


def test_setup_prints_what_it_would_do_and_does_nothing(command: Command) -> None:
    plan = command.json("setup", "articles", "--dry-run", "--prune", "top_k:2", "--fields", "title:0.5^2,text")
    assert plan["applied"] is False
    assert plan["requests"]
    assert plan["fingerprint"]["sparse"]
    assert "cherche setup articles" in command("search", "articles", "x", code=1).stderr


@pytest.mark.parametrize("option", [["--prune", "most"], ["--max-length", "100000"], ["--model", "unheard-of"]])
def test_setup_refuses_what_makes_no_sense_and_says_what_would(command: Command, option: list[str]) -> None:
    error = json.loads(command("setup", "articles", *option, "--json", code=1).stderr)["error"]
    assert option[1] in error["reason"]
    assert error["next_step"] or "not one of" in error["reason"]


def test_setup_projects_the_size_for_the_documents_there_are(articles: Command) -> None:
    plan = articles.json("setup", "articles", "--dry-run")
    assert plan["documents"] == 3
    stored = sum(len(line) > 0 for line in articles("dump", "articles").stdout.splitlines())
    assert stored == 3
    assert plan["projected_bytes"] > 0
