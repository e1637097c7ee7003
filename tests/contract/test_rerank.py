"""MaxSim over stored codes and the fusion after it: the vectors that the plugin's shards are held to."""

from __future__ import annotations

import json
from base64 import b64decode
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cherche_models import codec, fuse, scores
from cherche_models.types import TokenEmbeddings

FOLDER = Path(__file__).parent
MAXSIM = json.loads((FOLDER / "maxsim.json").read_text(encoding="utf-8"))
FUSION = json.loads((FOLDER / "fusion.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("vector", MAXSIM["vectors"], ids=lambda vector: f"{vector['tokens']}x{vector['dim']}")
def test_maxsim(vector: dict[str, Any]) -> None:
    query = np.frombuffer(b64decode(vector["query"]), "<f4").reshape(vector["tokens"], vector["dim"])
    packed, failures = codec.unpack_many([b64decode(vector["codes"])], vector["dim"])
    assert failures == {}
    [score] = scores.maxsim(TokenEmbeddings(query.astype(np.float32)), packed)
    assert score == pytest.approx(vector["maxsim"], abs=1e-5)
    [score] = codec.maxsim(TokenEmbeddings(query.astype(np.float32)), [b64decode(vector["codes"])])
    assert score == pytest.approx(vector["maxsim"], abs=1e-5)


@pytest.mark.parametrize("data", MAXSIM["refused"])
def test_refused_codes(data: str) -> None:
    _, failures = codec.unpack_many([b64decode(data)], 8)
    assert "token codes" in str(failures[0])
    assert codec.maxsim(TokenEmbeddings(np.ones((3, 8), np.float32)), [b64decode(data)]).tolist() == [-np.inf]


@pytest.mark.parametrize("vector", FUSION["vectors"])
def test_fusion(vector: dict[str, Any]) -> None:
    maxsim = np.array([-np.inf if one is None else one for one in vector["maxsim"]])
    fused = fuse.convex(np.array(vector["first"]), maxsim, vector["weight"])
    assert fused.tolist() == pytest.approx(vector["scores"], abs=1e-15)
    assert fuse.order(fused, vector["ids"]) == vector["order"]


@pytest.mark.parametrize("vector", FUSION["below"])
def test_below_the_window(vector: dict[str, float]) -> None:
    assert fuse.below(vector["first"]) == pytest.approx(vector["score"], abs=1e-15)
