"""What lies in a folder is known, or it is left to torch with the reason."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cherche_models import hub
from cherche_models.errors import Unreadable
from cherche_models.light import folder
from tests import checkpoints

Change = Callable[[Path], object]


def changed(name: str, **values: Any) -> Change:
    """Sets keys of a JSON file; None removes one."""

    def change(path: Path) -> None:
        stored = json.loads((path / name).read_text()) | values
        (path / name).write_text(json.dumps({key: value for key, value in stored.items() if value is not None}))

    return change


def test_what_is_read_is_what_hub_reads(saved: Path) -> None:
    found, torchs = folder.read(saved), hub.load(saved, device="cpu", dtype="fp32")
    assert found.formats == torchs.formats
    assert (found.digest, found.dim, found.architecture) == (torchs.digest, torchs.dim, "joint")
    assert found.shape.words == len(torchs.vocabulary)


def test_tuned_weights_prompts_and_tables_are_read(saved: Path) -> None:
    changed("cherche.json", sparse_boost=0.5, rerank_weight=0.25, query={"max_length": 9, "prompt": "query: "})(saved)
    (saved / "idf.json").write_text('{"neural": 2.5, "unheard-of": 1.0}')
    found, torchs = folder.read(saved), hub.load(saved, device="cpu", dtype="fp32")
    assert (found.sparse_boost, found.rerank_weight) == (0.5, 0.25)
    assert found.formats == torchs.formats
    assert found.formats["query"].prompt == "query: "
    assert torchs.query_table is not None
    assert found.query_table is not None
    assert found.query_table.tolist() == torchs.query_table.tolist()


@pytest.mark.parametrize("name", ["README.md", "LICENSE", "curve.svg", ".gitattributes"])
def test_what_lies_beside_a_model_does_not_matter(saved: Path, name: str) -> None:
    (saved / name).write_text("")
    folder.read(saved)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (changed("config.json", hidden_act="gelu_new"), "its hidden_act is 'gelu_new'"),
        (changed("config.json", model_type="roberta"), "its model_type is 'roberta'"),
        (changed("config.json", rope_theta=3), "config.json has rope_theta"),
        (changed("config.json", vocab_size=None), "lacks a size"),
        (changed("config.json", layer_norm_eps=0), "lacks a size"),
        (changed("cherche.json", architecture="colbert"), "no layout"),
        (changed("cherche.json", rerank_weight=2), "rerank_weight is 2"),
        (changed("cherche.json", document={"max_length": 4096}), "maximum length of a document is 4096"),
        (changed("cherche.json", document={"max_length": 8, "terms": 3}), "cuts its terms"),
        (changed("cherche.json", query={"max_length": 8, "expand": True}), "nothing attends to"),
        (changed("sentence_bert_config.json", do_lower_case=True), "more than a length"),
        (changed("sentence_bert_config.json", query_length=3), "more than a length"),
        (changed("config_sentence_transformers.json", max_active_dims=9), "has max_active_dims"),
        (changed("config_sentence_transformers.json", similarity_fn_name="cosine"), "no dot product"),
        (changed("1_SpladePooling/config.json", pooling_strategy="sum"), "not the maximum"),
        (changed("1_SpladePooling/config.json", activation_function="softplus"), "activation is 'softplus'"),
        (changed("1_SpladePooling/config.json", chunk_size=3), "has chunk_size"),
        (changed("colbert/config.json", bias=True), "not one map"),
        (changed("colbert/config.json", layers=["Tanh"]), "has layers"),
        (changed("colbert/config.json", skiplist_words="!"), "no list of texts"),
        (lambda path: (path / "idf.json").write_text('{"neural": -1}'), "weighs -1"),
        (lambda path: (path / "colbert" / "codebook.safetensors").write_bytes(b"no"), "is no codebook"),
        (lambda path: (path / "special_tokens_map.json").write_text("{}"), "it has special_tokens_map.json"),
        (lambda path: (path / "sparse_embed").mkdir(), "it has sparse_embed"),
        (lambda path: (path / "config.json").write_text("{"), "is not JSON"),
        (lambda path: (path / "modules.json").unlink(), "no layout"),
        (lambda path: shutil.rmtree(path / "colbert"), "not one map"),
    ],
)
def test_what_is_not_known_is_left_to_torch(saved: Path, change: Change, reason: str) -> None:
    change(saved)
    with pytest.raises(Unreadable, match=reason):
        folder.read(saved)


@pytest.mark.parametrize("make", [checkpoints.masked_lm, checkpoints.encoder, checkpoints.sentence_encoder])
def test_layouts_of_other_libraries_are_left_to_torch(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    with pytest.raises(Unreadable, match="no layout"):
        folder.read(make(tmp_path))
