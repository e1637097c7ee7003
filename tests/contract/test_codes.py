"""Stored bytes stay what they are: indices of every release hold them."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cherche_models import codec
from cherche_models.codes import codebook
from cherche_models.codes.codebook import Codebook
from cherche_models.types import TermWeights, TokenEmbeddings

CONTRACT: dict[str, Any] = json.loads(Path(__file__).with_name("codes.json").read_text(encoding="utf-8"))
CODES: list[dict[str, Any]] = CONTRACT["codes"]


def array(text: str, dtype: str, dim: int) -> np.ndarray:
    flat = np.frombuffer(base64.b64decode(text), dtype).astype(np.float32)
    return flat.reshape(-1, dim)


@pytest.fixture(scope="module")
def book() -> Codebook:
    held = CONTRACT["codebook"]
    levels = {int(bits): np.array(values, np.float32) for bits, values in held["levels"].items()}
    return codebook.register(Codebook(array(held["centroids"], "<f2", held["dim"]), levels))


def document(name: str) -> TokenEmbeddings:
    held = CONTRACT["documents"][name]
    return TokenEmbeddings(array(held["vectors"], "<f4", held["dim"]))


def title(one: dict[str, Any]) -> str:
    return f"{one['document']}, {one['codec']}, {len(one['chunks']) or 1} chunks".replace(" ", "_")


def test_a_codebook_keeps_its_digest(book: Codebook) -> None:
    assert book.digest == CONTRACT["codebook"]["digest"]


def test_both_header_versions_and_all_wire_numbers_are_held() -> None:
    held = {(data[2], data[3]) for data in (base64.b64decode(one["codes"]) for one in CODES)}
    assert held == {(version, number) for version in (1, 2) for number in (1, 2, 3, 4)}


@pytest.mark.parametrize("one", CODES, ids=title)
def test_codes_are_packed_to_the_same_bytes(one: dict[str, Any], book: Codebook) -> None:
    data = codec.pack_codes(document(one["document"]), one["codec"], one["chunks"], book)
    assert base64.b64encode(data).decode() == one["codes"]


@pytest.mark.parametrize("one", CODES, ids=title)
@pytest.mark.usefixtures("book")
def test_codes_are_read_as_ever(one: dict[str, Any]) -> None:
    data = base64.b64decode(one["codes"])
    header, expected = codec.codes_header(data), one["header"]
    found = (header.codec, data[3], header.dim, header.tokens, list(header.chunks), header.codebook)
    assert found == tuple(expected[name] for name in ("codec", "number", "dim", "tokens", "chunks", "codebook"))
    decoded = array(one["decoded"], "<f4", header.dim)
    np.testing.assert_allclose(codec.unpack_codes(data).vectors, decoded, rtol=0, atol=1e-6)


@pytest.mark.parametrize("one", CONTRACT["transcoded"], ids=lambda one: f"{one['codes']}_to_{one['codec']}")
def test_codes_are_transcoded_to_the_same_bytes(one: dict[str, Any], book: Codebook) -> None:
    data = codec.transcode(base64.b64decode(CODES[one["codes"]]["codes"]), one["codec"], book)
    assert base64.b64encode(data).decode() == one["transcoded"]


@pytest.mark.parametrize("one", CONTRACT["terms"], ids=lambda one: f"{len(one['pairs'])}_terms")
def test_terms_keep_their_bytes(one: dict[str, Any]) -> None:
    weights = TermWeights.from_pairs([(term, weight) for term, weight in one["pairs"]])
    data = base64.b64decode(one["packed"])
    assert codec.pack_terms(weights) == data
    assert codec.unpack_terms(data) == weights
