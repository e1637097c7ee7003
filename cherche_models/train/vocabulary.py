"""A masked-LM head for an encoder that has none, such as a sentence encoder: the start of its term weights.

The head is trained on the frozen encoder to find each token from its own hidden state. Its logits of other terms
then follow the similarity of word embeddings, which is where a SPLADE model's expansion starts.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cherche_models import backbone, tokenizer
from cherche_models.backbone import Backbone
from cherche_models.runtime.batches import collate, plan
from cherche_models.runtime.head import max_logits
from cherche_models.tokenizer import TextFormat, Tokenizer

_READ = 128
_BATCH = 512
_PEAK_RATE = 2e-3
_FREQUENT = 4.0
"""Lower start of the most frequent term's logit: its weight in a document says little of it."""


def add_vocabulary(
    base: Path, texts: Sequence[str], out: Path, *, steps: int = 400, terms: int = 400, seed: int = 0
) -> list[float]:
    """Write a checkpoint of the encoder with a new masked-LM head, tied to its word embeddings.

    Parameters
    ----------
    base : Path
        An encoder without that head.
    texts : sequence of str
        Documents, of which the first 128 tokens are read.
    out : Path
    steps : int
        Batches of 512 tokens.
    terms : int
        Terms of a document whose logit is above 0 at the start of training, on average.
    seed : int

    Returns
    -------
    list of float
        Cross entropy of each step.

    Raises
    ------
    CheckpointError
        If the encoder cannot be loaded.
    ValueError
        If the encoder's family has no masked-LM head, or there is no text.
    """
    torch.manual_seed(seed)
    model = backbone.load(base, vocabulary=True, new_vocabulary=True)
    words = tokenizer.load(base)
    states, ids, ends = _hidden_states(model, words, texts)
    losses = _train(model, states, ids, steps, seed)
    _set_bias(model, states, ids, ends, terms)
    out.mkdir(parents=True, exist_ok=True)
    model.save(out)
    words.save(out, model.max_length)
    return losses


def _hidden_states(model: Backbone, words: Tokenizer, texts: Sequence[str]) -> tuple[Tensor, Tensor, list[int]]:
    """Hidden states of all tokens, shape (tokens, hidden), their ids, and the end of each text among them."""
    form = TextFormat(min(_READ, model.max_length))
    tokens = words.tokenize(texts, form)
    states, ids, ends = [], [], [0]
    with torch.inference_mode():
        for positions in plan(tokens, budget=4096):
            batch = collate([tokens[i] for i in positions], words, form, model.device, positions)
            hidden = model(batch.input_ids, batch.attention_mask)
            for row, mask, own in zip(hidden, batch.attention_mask.bool(), batch.input_ids, strict=True):
                inner = mask.nonzero().squeeze(1)[1:-1]  # without the special tokens at both ends
                states.append(row[inner].half())
                ids.append(own[inner])
                ends.append(ends[-1] + len(inner))
    if not states:
        raise ValueError("there is no text to train the head on: give documents")
    return torch.cat(states).clone(), torch.cat(ids).clone(), ends


def _train(model: Backbone, states: Tensor, ids: Tensor, steps: int, seed: int) -> list[float]:
    decoder = model.decoder
    assert decoder.bias is not None
    words = decoder.weight
    encoder: Any = model.model.base_model
    frozen = {id(parameter) for parameter in encoder.parameters()}  # the decoder is tied to its word embeddings
    trained = [parameter for parameter in model.parameters() if id(parameter) not in frozen]
    optimizer = torch.optim.AdamW(trained, lr=_PEAK_RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.02, total_iters=steps)
    draw = torch.Generator().manual_seed(seed)
    losses = []
    for _ in range(steps):
        rows = torch.randint(len(ids), (_BATCH,), generator=draw)
        logits = nn.functional.linear(model.transform(states[rows].float()), words.detach(), decoder.bias)
        loss = nn.functional.cross_entropy(logits, ids[rows])
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        schedule.step()
        losses.append(float(loss.detach()))
    return losses


def _set_bias(model: Backbone, states: Tensor, ids: Tensor, ends: Sequence[int], terms: int) -> None:
    """Start with sparse weights: a document has `terms` logits above 0, fewer of them of frequent terms."""
    decoder = model.decoder
    frequency = torch.bincount(ids, minlength=decoder.out_features).float().log1p()
    share = frequency / frequency.max()
    share[frequency == 0] = 1.0  # training has not learned where these terms do not belong
    with torch.no_grad():
        decoder.bias.copy_(-_FREQUENT * share)
        kth = []
        for start, end in pairwise(ends[:201]):
            hidden = model.transform(states[start:end].float()).unsqueeze(0)
            kth.append((max_logits(hidden, decoder.weight) + decoder.bias)[0].topk(min(terms, len(share))).values[-1])
        decoder.bias.sub_(torch.stack(kth).mean())
