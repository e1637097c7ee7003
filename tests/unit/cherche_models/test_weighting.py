"""Weights of query tokens: whatever scores takes them for lengths of vectors."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cherche_models import codec, hub, scores
from cherche_models.errors import CheckpointError, Unreadable
from cherche_models.layouts.digest import digest
from cherche_models.light.model import LightModel
from cherche_models.models import Joint
from cherche_models.types import Encoding, TokenEmbeddings
from cherche_models.weighting import Weighting

TEXT = "effects of vitamin d on bone density"
STORED = {"idf_power": 1.5, "special_share": 0.2}
IDF = {"of": 0.3, "on": 0.4, "effects": 3.0, "vitamin": 5.5, "bone": 5.0, "density": 4.5, "d": 2.0}
SPECIAL = frozenset({0, 1})
TABLE = np.array([0.0, 0.0, 0.1, 2.0, 7.0], np.float32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The tiny model, whose queries are weighed as stated here."""
    return weighed(tmp_path / "tiny", STORED)


def weighed(folder: Path, stored: object) -> Path:
    shutil.copytree(hub.PRETRAINED / "cherche-tiny", folder)
    (folder / "idf.json").write_text(json.dumps(IDF))
    path = folder / "cherche.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "query_weighting": stored}))
    return folder


def plain(folder: Path) -> Joint:
    """The same model, all of whose tokens count alike."""
    model = hub.load(folder, device="cpu", dtype="fp32")
    assert isinstance(model, Joint)
    model.query_weighting = None
    return model


@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=12),
    st.floats(0, 3),
    st.floats(0, 1),
)
def test_weights_are_1_on_average_and_never_negative(ids: list[int], power: float, share: float) -> None:
    found = Weighting(power, share).weights(ids, TABLE, SPECIAL)
    assert found.dtype == np.float32
    assert (found >= 0).all()
    np.testing.assert_allclose(found.mean(), 1, rtol=1e-5)


def test_a_special_token_weighs_its_share_of_the_others() -> None:
    found = Weighting(1.0, 0.25).weights([0, 3, 4, 1], TABLE, SPECIAL)
    np.testing.assert_allclose(found[[0, 3]], 0.25 * found[1:3].sum(), rtol=1e-6)
    np.testing.assert_allclose(found[2] / found[1], 3.5, rtol=1e-6)


def test_tokens_that_are_all_special_count_alike() -> None:
    assert Weighting(1.5, 0.2).weights([0, 1], TABLE, SPECIAL).tolist() == [1.0, 1.0]


def test_an_encoding_without_vectors_stays_as_it_is() -> None:
    nothing = Encoding(None, TokenEmbeddings(np.empty((0, 4), np.float32)))
    assert Weighting(1.5, 0.2).applied(nothing, [], TABLE, SPECIAL) is nothing


def test_a_model_is_trained_by_the_vectors_that_it_encodes(folder: Path) -> None:
    model = hub.load(folder, device="cpu", dtype="fp32")
    texts = [TEXT, "bone"]
    output = model(*model.collate(model.tokenize(texts, "query"), "query"), "query")
    for row, encoding in enumerate(model.encode(texts, "query")):
        assert encoding.embeddings is not None
        found = output.embeddings[row][output.mask[row]].detach().numpy()
        np.testing.assert_allclose(found, encoding.embeddings.vectors, rtol=1e-4, atol=1e-5)
    document = model(*model.collate(model.tokenize(texts, "document"), "document"), "document")
    np.testing.assert_allclose(document.embeddings.detach().norm(dim=-1).numpy(), 1, rtol=1e-5)


def test_maxsim_is_the_weighted_sum(folder: Path) -> None:
    model, unit = hub.load(folder, device="cpu", dtype="fp32"), plain(folder)
    [query], [plain_query], [document] = (
        model.encode([TEXT], "query"),
        unit.encode([TEXT], "query"),
        model.encode(["Vitamin D and the density of bones."], "document"),
    )
    assert query.embeddings is not None
    assert plain_query.embeddings is not None
    assert document.embeddings is not None
    assert query.weights == plain_query.weights
    weights = np.linalg.norm(query.embeddings.vectors, axis=1)
    expected = (weights * scores.align(plain_query.embeddings, document.embeddings).similarities).sum()
    np.testing.assert_allclose(
        scores.maxsim(query.embeddings, scores.pack([document.embeddings]))[0], expected, rtol=1e-5
    )
    [coded] = codec.maxsim(query.embeddings, [codec.pack_codes(document.embeddings)])
    np.testing.assert_allclose(coded, expected, rtol=0.01)


def test_documents_and_the_digest_are_the_same_without_weights(folder: Path) -> None:
    [one] = hub.load(folder, device="cpu", dtype="fp32").encode([TEXT], "document")
    [other] = plain(folder).encode([TEXT], "document")
    assert one.embeddings is not None
    assert other.embeddings is not None
    np.testing.assert_array_equal(one.embeddings.vectors, other.embeddings.vectors)
    before = digest(folder, "joint")
    stored = json.loads((folder / "cherche.json").read_text())
    (folder / "cherche.json").write_text(json.dumps({k: v for k, v in stored.items() if k != "query_weighting"}))
    assert digest(folder, "joint") == before


def test_a_model_without_torch_weighs_alike(folder: Path) -> None:
    light, unit = LightModel(folder, "fp32"), plain(folder)
    [one], [other] = light.encode([TEXT], "query"), unit.encode([TEXT], "query")
    assert one.embeddings is not None
    assert other.embeddings is not None
    [ids] = [tokens.ids for tokens in unit.tokenize([TEXT], "query")]
    assert unit.query_table is not None
    weights = Weighting(**STORED).weights(ids, unit.query_table.float().numpy(), unit.tokenizer.special_ids)
    np.testing.assert_allclose(one.embeddings.vectors, other.embeddings.vectors * weights[:, None], atol=1e-5)


def test_it_is_saved_with_the_model(folder: Path, tmp_path: Path) -> None:
    model = hub.load(folder, device="cpu", dtype="fp32")
    hub.save(model, tmp_path / "saved")
    again = hub.load(tmp_path / "saved", device="cpu", dtype="fp32")
    assert isinstance(again, Joint)
    assert again.query_weighting == Weighting(**STORED)
    again.query_table = None
    hub.save(again, tmp_path / "without")
    assert "query_weighting" not in json.loads((tmp_path / "without" / "cherche.json").read_text())


@pytest.mark.parametrize(
    ("stored", "reason"),
    [
        ({"idf_power": 1.5}, "give an object of idf_power and special_share"),
        ([1], "query_weighting is [1]"),
        ({**STORED, "idf": 1}, "give an object of idf_power and special_share"),
        ({**STORED, "idf_power": -1}, "idf_power is -1 — give a number from 0 to 8"),
        ({**STORED, "special_share": "much"}, "special_share is 'much'"),
    ],
)
def test_a_damaged_weighting_is_refused(stored: object, reason: str, tmp_path: Path) -> None:
    folder = weighed(tmp_path / "tiny", stored)
    with pytest.raises(CheckpointError, match=re.escape(reason)):
        hub.load(folder, device="cpu")
    with pytest.raises(Unreadable):
        LightModel(folder)


def test_without_the_table_of_idf_it_is_refused(folder: Path) -> None:
    (folder / "idf.json").unlink()
    with pytest.raises(CheckpointError, match=r"there is no idf\.json — restore that file, or remove query_weighting"):
        hub.load(folder, device="cpu")
    with pytest.raises(Unreadable, match="without a table"):
        LightModel(folder)


def test_queries_that_are_filled_up_have_no_weights(folder: Path) -> None:
    path = folder / "cherche.json"
    stored = json.loads(path.read_text())
    path.write_text(json.dumps({**stored, "query": {"max_length": 32, "expand": True, "attend_expansion": True}}))
    with pytest.raises(CheckpointError, match="fills queries up — remove query_weighting, or expand"):
        hub.load(folder, device="cpu")
    with pytest.raises(Unreadable, match="more vectors than tokens"):
        LightModel(folder)
