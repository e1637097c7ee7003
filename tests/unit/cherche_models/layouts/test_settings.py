"""``cherche.json``: damaged files are refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from cherche_models import hub
from cherche_models.errors import CheckpointError
from tests import checkpoints
from tests.unit.cherche_models.layouts.peers import load


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"sparse_boost": "much"}', "sparse_boost is 'much'"),
        ('{"document": {"lenght": 3}}', "unknown settings lenght"),
        ('{"sparse_bost": 2}', "unknown settings sparse_bost"),
        ('{"document": [1]}', r"document is \[1\] — give an object"),
        ('{"document": {"max_length": "512"}}', "document.max_length is '512' — give a whole number"),
        ('{"query": {"max_length": 12.5}}', "query.max_length is 12.5"),
        ('{"query": {"expand": 1}}', "query.expand is 1 — give true or false"),
        ('{"query": {"marker": 7}}', "query.marker is 7 — give a string"),
        ('{"architecture": "foo"}', "names the architecture 'foo', but the files beside it are those of 'splade'"),
        ('{"sparse_boost": NaN}', "sparse_boost is nan — give a number of at least 0"),
        ('{"sparse_boost": Infinity}', "sparse_boost is inf"),
        ('{"rerank_weight": 5}', "rerank_weight is 5 — give a number from 0 to 1"),
        ('{"document": {"max_length": -1}}', "document.max_length is -1 — give a number of at least 0"),
        ('{"document": {"max_length": 2}}', "maximum length of a document is 2 tokens, and of 3 to"),
        ('{"query": {"max_length": 9999}}', "maximum length of a query is 9999 tokens, and of 3 to"),
        ("[]", "no JSON object"),
        ("{", "not JSON"),
    ],
)
def test_damaged_settings(text: str, reason: str, tmp_path: Path) -> None:
    folder = checkpoints.masked_lm(tmp_path)
    (folder / "cherche.json").write_text(text)
    with pytest.raises(CheckpointError, match=reason):
        load(folder)


def test_a_model_that_lost_the_files_of_a_head_is_not_loaded_as_another(tmp_path: Path) -> None:
    folder = tmp_path / "joint"
    shutil.copytree(hub.PRETRAINED / "cherche-tiny", folder)
    assert load(folder).architecture == "joint"
    shutil.rmtree(folder / "colbert")
    with pytest.raises(CheckpointError, match="'joint', but the files beside it are those of 'splade'") as refused:
        load(folder)
    assert "architecture='splade'" in refused.value.next_step
    assert hub.load(folder, device="cpu", architecture="splade").sparse
