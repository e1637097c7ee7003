"""Whatever the shape of a small BERT and of its texts, the compiled kernel computes what torch does."""

from __future__ import annotations

import numpy as np
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from cherche_models.backbone import Backbone
from cherche_models.kernel.library import Kernel
from cherche_models.runtime import packed, screen
from cherche_models.runtime.batches import Batch
from cherche_models.runtime.native import Native

SHAPES = st.fixed_dictionaries(
    {
        "hidden_size": st.sampled_from([16, 32, 48, 80]),
        "num_attention_heads": st.sampled_from([1, 2, 4, 8, 16]),
        "intermediate_size": st.sampled_from([16, 64, 144]),
        "num_hidden_layers": st.integers(1, 3),
        "vocab_size": st.integers(1, 140),
        "max_position_embeddings": st.integers(24, 40),
        "layer_norm_eps": st.sampled_from([1e-12, 1e-5]),
        "initializer_range": st.sampled_from([0.02, 0.3]),
    }
)
LENGTHS = st.lists(st.integers(1, 24), min_size=1, max_size=6)


@settings(max_examples=40, deadline=None)
@given(shape=SHAPES, lengths=LENGTHS, dtype=st.sampled_from([torch.float32, torch.bfloat16]), seed=st.integers(0, 99))
def test_it_computes_what_torch_does(
    kernels: tuple[Kernel, ...], shape: dict[str, float], lengths: list[int], dtype: torch.dtype, seed: int
) -> None:
    torch.manual_seed(seed)
    model = transformers.BertForMaskedLM(transformers.BertConfig(**shape, pad_token_id=None)).eval().to(dtype)
    ids = torch.randint(0, int(shape["vocab_size"]), (sum(lengths),))
    natives = [Native(Backbone(model), kernel) for kernel in kernels]
    batch = Batch(ids, torch.ones_like(ids), tuple(lengths), tuple(range(len(lengths))), packed=True)
    with torch.inference_mode():
        outputs = [[found := native.hidden_states(batch), native.transformed(found)] for native in natives]
        logits = [native.positive_logits(rows, lengths) for native, (_, rows) in zip(natives, outputs, strict=True)]
        exact = Backbone(model.float())
        hidden = packed.hidden_states(exact, ids, lengths)
        rows = exact.transform(hidden)
        terms, wanted, counts = screen.positive_logits(rows, lengths, exact.decoder.weight, exact.decoder.bias, None)
    dense = dense_of(terms, wanted, counts, exact)
    for found, (own, transformed) in zip(logits, outputs, strict=True):
        # The sharp attention of random weights multiplies the rounding of both; of a norm's outputs most are below 3.
        torch.testing.assert_close(own, hidden, atol=2e-4, rtol=1e-4)
        torch.testing.assert_close(transformed, rows, atol=1e-3, rtol=1e-3)
        np.testing.assert_allclose(dense_of(*found, exact), dense, atol=5e-3, rtol=1e-3)


def dense_of(terms: torch.Tensor, logits: torch.Tensor, counts: list[int], model: Backbone) -> torch.Tensor:
    """One row for each text; 0 for terms that have no positive logit."""
    found = torch.zeros(len(counts), model.decoder.out_features)
    found[torch.repeat_interleave(torch.tensor(counts)), terms.long()] = logits
    return found
