from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from cherche_models import hub
from cherche_models.models import Model
from cherche_models.train import Example, data
from tests import checkpoints

WORDS = ("brain", "index", "token", "heart", "cell", "protein", "search", "weight")
EXAMPLES = [
    Example(
        f"the {word}", f"{word} of the document {word}", tuple(f"neural {other}" for other in WORDS if other != word)
    )
    for word in WORDS
]

Load = Callable[..., Model]


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoints.masked_lm(tmp_path_factory.mktemp("base"))


@pytest.fixture
def load(base: Path) -> Load:
    """A model of an architecture, the same at each call; dropout left out unless asked for."""

    def loaded(architecture: str, *, dropout: bool = False) -> Model:
        torch.manual_seed(0)
        head = {} if architecture == "splade" else {"new_head": True, "dim": 8}
        model = hub.load(base, device="cpu", dtype="fp32", architecture=architecture, **head)
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout) and not dropout:
                module.p = 0.0
        return model

    return loaded


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.jsonl"
    data.write(path, EXAMPLES * 3)
    with path.open("a") as lines:
        lines.write('{"query": "no positive"}\n')
    return tmp_path
