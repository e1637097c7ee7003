"""``idf.json``: query weights of a model's terms, for queries without a forward pass.

A JSON object token → weight at the root of the folder, as OpenSearch's doc-only models have it. sentence-transformers'
Router has such a file in the folder of its query module, and nothing at the root.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from cherche_models.cutting import Cutter
from cherche_models.errors import CheckpointError
from cherche_models.layouts.files import read_json
from cherche_models.types import Floats

FILE = "idf.json"
_DIGITS = 6


class Table(Protocol):
    """A weight for each term: an array or a tensor."""

    def tolist(self) -> Any:  # noqa: ANN401  # numpy's and torch's own
        """The weights."""
        ...


def read_table(path: Path, words: Cutter, size: int) -> Floats | None:
    """Query weight of each term; 0 for those that the file does not name, None where there is no such file.

    Tokens that the tokenizer does not know are passed over.

    Raises
    ------
    CheckpointError
        If it holds no object, or a weight is no number of at least 0.
    """
    if not path.is_file():
        return None
    table = np.zeros(size, np.float32)
    for token, weight in read_json(path).items():
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < math.inf:
            raise CheckpointError(f"{path}: {token!r} weighs {weight!r}", "give a number of at least 0")
        found = words.id_of(token)
        if found is not None and found < size:
            table[found] = weight
    return table


def write_table(table: Table, vocabulary: Sequence[str], folder: Path) -> Path:
    """Write ``idf.json``; terms of weight 0 are left out."""
    weights = {token: round(w, _DIGITS) for token, w in zip(vocabulary, table.tolist(), strict=False) if w > 0}
    path = folder / FILE
    path.write_text(json.dumps(weights, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def remove_table(folder: Path) -> None:
    """Remove the table of another model that lay in the folder, if there is one."""
    (folder / FILE).unlink(missing_ok=True)
