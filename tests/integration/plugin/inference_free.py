"""An inference-free model: WordPiece over the contract's vocabulary, and an idf table for queries."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
from tokenizers import BertWordPieceTokenizer

from cherche_models.types import Encoding, TermWeights, Tokens
from sidecar.testing import FakeModel
from sidecar.values.model import Kind

CONTRACT = json.loads((Path(__file__).parents[2] / "contract" / "wordpieces.json").read_text(encoding="utf-8"))
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


class InferenceFreeModel(FakeModel):
    """Counts give the weights of documents, `table` those of queries."""

    def __init__(self) -> None:
        super().__init__(name="inference-free", late_interaction=False)
        vocabulary = tuple(CONTRACT["vocabulary"])
        self._info = replace(self._info, architecture="inference_free", vocabulary=vocabulary)
        self._words = BertWordPieceTokenizer({piece: i for i, piece in enumerate(vocabulary)}, lowercase=True)
        self._words.add_special_tokens(SPECIAL)
        self._words._tokenizer.encode_special_tokens = True  # as `cherche_models.tokenizer` reads a text
        table = np.random.default_rng(3).uniform(0.1, 4.0, len(vocabulary)).astype(np.float32)
        table[::9] = 0
        self.table: dict[int, float] = dict(enumerate(table.tolist()))

    def idf(self, tokens: Tokens) -> dict[int, float]:
        return {i: self.table[i] for i in sorted(set(tokens.ids)) if self.table[i] > 0}

    def _tokenize(self, text: str, max_length: int) -> Tokens:
        found = self._words.encode(text, add_special_tokens=False)
        kept = max_length - 2
        ids, texts = found.ids[:kept], found.tokens[:kept]
        return Tokens((2, *ids, 3), ("[CLS]", *texts, "[SEP]"), len(found.ids) + 2)

    def _encode(self, tokens: Tokens, kind: Kind) -> Encoding:
        counts = Counter(i for i in tokens.ids if i > 4)
        return Encoding(TermWeights.from_pairs((i, float(np.log1p(n))) for i, n in sorted(counts.items())), None)
