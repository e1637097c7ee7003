"""Short queries in the compiled kernel, where it is faster than torch, as measured.

A query has a dozen tokens, so that most of torch's time is spent between its operations. The kernel reads the weights
where torch has them and computes in float32, also from bfloat16. Whether it runs a text depends on that text's length
alone: its encoding is the same beside any others.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from cherche_models.backbone import Backbone, is_exact_gelu
from cherche_models.kernel import library
from cherche_models.kernel.encoder import Decoder, Encoder, Shape
from cherche_models.kernel.library import Kernel
from cherche_models.runtime import packed, threads
from cherche_models.runtime.batches import Batch
from cherche_models.runtime.screen import Screen

LENGTHS = (16, 32, 64)
"""Tokens of the texts that are measured, shortest first."""
_ROUNDS = 2
_FAMILIES = frozenset({"BertForMaskedLM", "BertModel"})
_FIXED = {
    "hidden_act": "gelu",
    "position_embedding_type": "absolute",
    "is_decoder": False,
    "add_cross_attention": False,
    "chunk_size_feed_forward": 0,
}
"""Settings that change what is computed, and the values that the kernel knows."""
_TYPES = (torch.float32, torch.bfloat16)
_Parts: TypeAlias = Any
"""A transformers model, or a part of one."""
Pass = Callable[[Tensor], object]
"""One text's forward pass, given its ids."""
Gains = dict[int, float]
"""How many times faster the kernel is, by tokens of a text."""
Kept = dict[tuple[object, ...], Gains]
_MEASURED: Kept = {}


class Unknown(Exception):
    """Why the kernel cannot run an encoder, in a few words."""


class Native:
    """Runs what `choose` found that the kernel can run; as the methods of `protocol.Runtime`.

    Parameters
    ----------
    backbone : Backbone
    kernel : Kernel

    Raises
    ------
    Unknown
        If the kernel computes something else than this encoder does.
    """

    def __init__(self, backbone: Backbone, kernel: Kernel) -> None:
        self._backbone, self._kernel = backbone, kernel
        # Detached, so that this memory stays even where a parameter is given other memory.
        self._tensors = [tensor.detach() for tensor in _tensors(backbone)]
        self._addresses = [tensor.data_ptr() for tensor in self._tensors]
        self._modules, self._parameters = _tree(backbone)
        if any(tensor.dtype is not self._tensors[0].dtype or not tensor.is_contiguous() for tensor in self._tensors):
            raise Unknown("its weights are of several types, or not in order")
        self._half = self._tensors[0].dtype is torch.bfloat16
        shape = _shape(backbone)
        try:
            self._encoder = Encoder(kernel, shape, self._addresses[: _parts(backbone, shape)], self._half)
        except ValueError as error:
            raise Unknown(str(error)) from error
        self._screen = self._new_screen()
        self._decoder = self._new_decoder()

    def fits(self) -> bool:
        """Whether the weights are where they were, and those that are kept in another form as they were."""
        # Asked for each query, of a hundred parts: loops without a call for each.
        for of, name, module in self._modules:
            if of.get(name) is not module:
                return False
        for known, name, parameter, address in self._parameters:
            if known.get(name) is not parameter or parameter.data_ptr() != address:
                return False
        if self._screen is None:
            return True
        decoder = self._backbone.decoder
        return self._screen.fits(decoder.weight, decoder.bias)

    def hidden_states(self, batch: Batch) -> Tensor:
        """Last hidden states of a packed batch, float32, shape (tokens, hidden)."""
        return torch.from_numpy(self._encoder.hidden_states(batch.input_ids.numpy(), batch.lengths))

    def transformed(self, hidden: Tensor) -> Tensor:
        """Input of the vocabulary decoder, float32, shape (tokens, hidden)."""
        return torch.from_numpy(self._encoder.transformed(hidden.numpy()))

    def positive_logits(self, transformed: Tensor, lengths: Sequence[int]) -> tuple[Tensor, Tensor, list[int]]:
        """Terms whose largest logit is positive, see `screen.positive_logits`."""
        if self._decoder is None:
            raise ValueError("the encoder has no vocabulary")
        terms, logits, counts = self._decoder.positive_logits(transformed.numpy(), lengths)
        return torch.from_numpy(terms), torch.from_numpy(logits), counts

    def max_logits(self, transformed: Tensor, mask: Tensor) -> Tensor:
        """Of padded batches, which the kernel does not take."""
        raise ValueError("the kernel takes packed batches")

    def packs(self) -> bool:
        """It takes no others."""
        return True

    def run(self, ids: Tensor) -> list[Tensor]:
        """Everything that it computes of one text: hidden states, terms and logits."""
        found = [self.hidden_states(Batch(ids, torch.ones_like(ids), (len(ids),), (0,), packed=True))]
        if self._decoder is not None:
            found += self.positive_logits(self.transformed(found[0]), [len(ids)])[:2]
        return found

    def _new_screen(self) -> Screen | None:
        if not self._backbone.has_vocabulary:
            return None
        decoder = self._backbone.decoder
        made = Screen.of(decoder.weight, decoder.bias)
        if made is None:
            raise Unknown("its decoder is not finite")
        return made

    def _new_decoder(self) -> Decoder | None:
        if self._screen is None:
            return None
        weight, bias = self._tensors[-2:] if self._backbone.decoder.bias is not None else (self._tensors[-1], None)
        address = 0 if bias is None else bias.data_ptr()
        grid, table = self._screen.grid.numpy(), self._screen.table.numpy()
        made = Decoder(self._kernel, weight.data_ptr(), address, self._half, grid, table)
        self._screen.grid = torch.empty(0, dtype=torch.int8)  # the kernel's copy is enough
        return made


@dataclass(frozen=True, slots=True)
class Choice:
    """What runs short queries, and why.

    Attributes
    ----------
    most : int
        Tokens of the longest text that the kernel runs; 0 for none.
    reason : str
    kernel : Kernel or None
    """

    most: int
    reason: str
    kernel: Kernel | None = None


def choose(
    backbone: Backbone, torchs: Pass, clock: Callable[[], float] = time.thread_time, kept: Kept = _MEASURED
) -> Choice:
    """Up to which length the kernel runs a text faster than torch does.

    Measured once in a process for models of a shape and type, so that all of these encode queries in the same way.

    Parameters
    ----------
    backbone : Backbone
        On the CPU, in eval mode; one that `packed.is_known`.
    torchs : callable
        What the kernel would replace.
    clock : callable
    kept : dict
        What was measured before.
    """
    kernels = library.installed()
    if not kernels.kernels:
        return Choice(0, f"torch, since {kernels.reason}")
    kernel = kernels.kernels[-1]
    try:
        native = Native(backbone, kernel)
    except Unknown as error:
        return Choice(0, f"torch, since {error}")
    if not _agrees(backbone, native):
        return Choice(0, "torch, since the kernel computes something else than this encoder does")
    key = (_shape(backbone), backbone.dtype, kernel.name)
    # Of two threads that measure at the same time the first counts for both.
    gains = kept.get(key) or kept.setdefault(key, dict(_gains(backbone, native.run, torchs, clock)))
    most = max((length for length, gain in gains.items() if gain >= 1), default=0)
    first = min(gains)
    compared = f"{gains[first]:.2f} times as fast as torch with {first}, as measured"
    if not most:
        return Choice(0, f"torch, since the kernel ({kernel.name}) is {compared}")
    return Choice(most, f"kernel ({kernel.name}) up to {most} tokens, {compared}", kernel)


def _gains(backbone: Backbone, kernels: Pass, torchs: Pass, clock: Callable[[], float]) -> Iterator[tuple[int, float]]:
    """Each length, and how many times faster the kernel is; up to the first at which it is slower."""
    with torch.inference_mode(), threads.one():
        for length in dict.fromkeys(min(length, backbone.max_length) for length in LENGTHS):
            ids, best = _ids(backbone, length), [math.inf, math.inf]
            for _ in range(_ROUNDS):
                for i, run in enumerate((kernels, torchs)):
                    started = clock()
                    run(ids)
                    best[i] = min(best[i], clock() - started)
            yield length, best[1] / max(best[0], 1e-9)
            if best[1] < best[0]:
                return


def _agrees(backbone: Backbone, native: Native) -> bool:
    """Whether hidden states and the head's transform are torch's, tried on a text."""
    ids = _ids(backbone, min(LENGTHS[0], backbone.max_length))
    with torch.inference_mode():
        own = packed.hidden_states(backbone, ids, [len(ids)])
        pairs = [(native.run(ids)[0], own)]
        if backbone.has_vocabulary:
            pairs.append((native.transformed(own.float()), backbone.transform(own)))
    tolerance = packed.TOLERANCE[backbone.dtype]
    return all(
        bool((ours - other).abs().max() <= tolerance * max(1.0, float(other.abs().max()))) for ours, other in pairs
    )


def _ids(backbone: Backbone, length: int) -> Tensor:
    return (torch.arange(length) + 1) * 7919 % min(backbone.tokens, 30_000)


def _shape(backbone: Backbone) -> Shape:
    config = backbone.model.config
    return Shape(
        *(int(config.hidden_size), int(config.num_hidden_layers), int(config.num_attention_heads)),
        *(int(config.intermediate_size), int(config.vocab_size), int(config.max_position_embeddings)),
        float(config.layer_norm_eps),
    )


def _parts(backbone: Backbone, shape: Shape) -> int:
    """How many of the tensors are the encoder's and its head's."""
    return 5 + 16 * shape.layers + (4 if backbone.has_vocabulary else 0)


def _tree(backbone: Backbone) -> tuple[list[tuple[_Parts, str, _Parts]], list[tuple[_Parts, str, Tensor, int]]]:
    """Where each module and each parameter hangs, and where the parameter's memory is."""
    modules = list(backbone.modules())
    edges = [(one._modules, name, child) for one in modules for name, child in one._modules.items()]
    leaves = [(one._parameters, name, leaf) for one in modules for name, leaf in one._parameters.items()]
    return edges, [(known, name, leaf, leaf.data_ptr()) for known, name, leaf in leaves if leaf is not None]


def _tensors(backbone: Backbone) -> Iterator[Tensor]:
    """The weights, in the order that the kernel's source says; those of the decoder last.

    Raises
    ------
    Unknown
        If a part is not what the kernel takes it for.
    """
    model: _Parts = backbone.model
    config, encoder = model.config, model.base_model
    if type(model).__name__ not in _FAMILIES:
        raise Unknown(f"the kernel knows BERT, not {type(model).__name__}")
    for name, value in _FIXED.items():
        if getattr(config, name, value) != value:
            raise Unknown(f"the kernel knows {name} {value!r}, not {getattr(config, name)!r}")
    if backbone.dtype not in _TYPES:
        raise Unknown(f"the kernel has no {backbone.dtype}")
    shape = _shape(backbone)
    width, inner, epsilon = shape.hidden, shape.inner, shape.epsilon
    embeddings = encoder.embeddings
    yield _table(embeddings.word_embeddings, shape.words, width)
    yield _table(embeddings.position_embeddings, shape.positions, width)
    yield _table(embeddings.token_type_embeddings, int(config.type_vocab_size), width)
    yield from _norm(embeddings.LayerNorm, width, epsilon)
    if len(encoder.encoder.layer) != shape.layers:
        raise Unknown("it has other layers than its config.json says")
    for layer in encoder.encoder.layer:
        attention = layer.attention
        for linear in (attention.self.query, attention.self.key, attention.self.value, attention.output.dense):
            yield from _linear(linear, width, width)
        yield from _norm(attention.output.LayerNorm, width, epsilon)
        yield from _linear(layer.intermediate.dense, width, inner)
        _check_gelu(layer.intermediate.intermediate_act_fn)
        yield from _linear(layer.output.dense, inner, width)
        yield from _norm(layer.output.LayerNorm, width, epsilon)
    if backbone.has_vocabulary:
        transform = model.cls.predictions.transform
        yield from _linear(transform.dense, width, width)
        _check_gelu(transform.transform_act_fn)
        yield from _norm(transform.LayerNorm, width, epsilon)
        yield backbone.decoder.weight
        if backbone.decoder.bias is not None:
            yield backbone.decoder.bias


def _table(module: _Parts, rows: int, width: int) -> Tensor:
    if type(module) is not nn.Embedding or module.weight.shape != (rows, width):
        raise Unknown("its embeddings are not those of BERT")
    weight: Tensor = module.weight
    return weight


def _linear(module: _Parts, inputs: int, outputs: int) -> tuple[Tensor, Tensor]:
    if type(module) is not nn.Linear or module.bias is None or module.weight.shape != (outputs, inputs):
        raise Unknown("its linear layers are not those of BERT")
    return module.weight, module.bias


def _norm(module: _Parts, width: int, epsilon: float) -> tuple[Tensor, Tensor]:
    sound = type(module) is nn.LayerNorm and module.normalized_shape == (width,) and module.eps == epsilon
    if not sound or module.weight is None or module.bias is None:
        raise Unknown("its norms are not those of BERT")
    return module.weight, module.bias


def _check_gelu(activation: object) -> None:
    if not is_exact_gelu(activation):
        raise Unknown("its activation is not the exact GELU")
