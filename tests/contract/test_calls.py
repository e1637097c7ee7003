"""Every call of neural-cherche 1.4.3 is understood: its arguments by name, with its defaults.

``neural_cherche_calls.json`` lists its functions and methods with their arguments and defaults, read from
the published package.
"""

from __future__ import annotations

import importlib
import inspect
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from cherche_models.models import compat as by_name

CALLS: dict[str, dict[str, Any]] = json.loads(Path(__file__).with_name("neural_cherche_calls.json").read_text())
FASTER = {"batch_size"}  # ours are larger: no result depends on it
OTHERS = {
    "max_length_query": 64,
    "max_length_document": 256,
    "padding": "max_length",
    "truncation": True,
    "add_special_tokens": True,
    "n_mask_tokens": 3,
    "embedding_size": 128,
    "device": None,
    "freeze_layers_except_last_n": None,
}
DIFFERENT = {
    # bounds of the regulariser's gradient, off unless asked for
    **{f"train.{name}": {"threshold_flops", "max_flops_loss"} for name in ("train_splade", "train_sparse_embed")},
    "losses.Flops.__call__": {"threshold", "max_flops_loss"},
    "utils.evaluate": {"metrics"},  # the same, written out
}
SAID_ONLY_IF_ASKED = {"warn_duplicates", "desc"}


def target(name: str) -> Any:
    """What answers a call, the method where it is one."""
    module, *path = name.split(".")
    found = importlib.import_module(f"cherche_models.{module}")
    for part in path:
        found = getattr(found, part)
    return found


def accepted(name: str) -> dict[str, inspect.Parameter]:
    if name in ("losses.Flops.__call__", "losses.Ranking.__call__"):
        name = name.replace("__call__", "forward")
    return dict(inspect.signature(target(name)).parameters)


def opens_by_name(name: str) -> bool:
    return name.startswith("models.") and name.endswith("__init__")


@pytest.mark.parametrize("name", [name for name in CALLS if not opens_by_name(name)])
def test_arguments_and_defaults(name: str) -> None:
    ours = accepted(name)
    if name.startswith("models.") and name.endswith("__call__"):
        assert any(p.kind is p.VAR_KEYWORD for p in ours.values())  # texts or tensors, distinguished when called
        return
    for argument, default in CALLS[name].items():
        assert argument in ours, f"{name} has no {argument}"
        if argument in FASTER | SAID_ONLY_IF_ASKED | DIFFERENT.get(name, set()):
            continue
        own = ours[argument].default
        expected = {"required": inspect.Parameter.empty, "torch.sum": torch.sum}.get(str(default), default)
        assert own == expected, f"{name}({argument}={own!r}), not {expected!r}"


@pytest.mark.parametrize("name", [name for name in CALLS if opens_by_name(name)])
def test_options_of_models(name: str) -> None:
    known = {"model_name_or_path", "embedding_size", *by_name.Options.__annotations__}
    assert set(CALLS[name]) <= known
    for option, default in CALLS[name].items():
        if option in OTHERS:
            assert OTHERS[option] == default, "what `by_name` gives to a checkpoint that says nothing"


def test_the_list_is_whole() -> None:
    kinds = {name.rpartition(".")[0] for name in CALLS}
    assert {"models.ColBERT", "models.Splade", "models.SparseEmbed", "rank.ColBERT", "rank.SparseEmbed"} <= kinds
    assert {f"retrieve.{name}" for name in ("TfIdf", "BM25", "Splade", "SparseEmbed", "ColBERT")} <= kinds
    assert {f"train.train_{name}" for name in ("colbert", "splade", "sparse_embed")} <= set(CALLS)
