"""The compiled encoder is BERT's forward pass, and refuses whatever it cannot read."""

from __future__ import annotations

import ctypes
import math

import numpy as np
import pytest

from cherche_models.kernel.encoder import Decoder, Encoder, Shape
from cherche_models.kernel.library import Kernel
from cherche_models.types import Floats

SHAPE = Shape(hidden=32, layers=2, heads=4, inner=48, words=50, positions=20, epsilon=1e-12)


def parts(shape: Shape, head: bool = True) -> list[Floats]:
    """Random weights in the order that the source says."""
    width, inner = shape.hidden, shape.inner
    sizes: list[tuple[int, ...]] = [(shape.words, width), (shape.positions, width), (2, width), (width,), (width,)]
    for _ in range(shape.layers):
        sizes += [(width, width), (width,)] * 4 + [(width,)] * 2
        sizes += [(inner, width), (inner,), (width, inner), (width,), (width,), (width,)]
    sizes += [(width, width), (width,), (width,), (width,)] if head else []
    random = np.random.default_rng(0)
    return [random.standard_normal(size).astype(np.float32) * np.float32(0.4) for size in sizes]


def norm(rows: Floats, gain: Floats, shift: Floats) -> Floats:
    """As BERT's LayerNorm."""
    centred = rows - rows.mean(axis=1, keepdims=True)
    found: Floats = centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + SHAPE.epsilon) * gain + shift
    return found


def gelu(x: Floats) -> Floats:
    """x Phi(x)."""
    erf = np.vectorize(math.erf)
    found: Floats = x / 2 * (1 + erf(x / np.sqrt(2)))
    return found


def expected(weights: list[Floats], ids: list[int], shape: Shape = SHAPE) -> Floats:
    """Last hidden states of one text, in float64."""
    words, places, kinds, *rest = (part.astype(np.float64) for part in weights)
    hidden = norm(words[ids] + places[: len(ids)] + kinds[0], *rest[:2])
    for at in range(2, 2 + 16 * shape.layers, 16):
        own = rest[at : at + 16]
        queries, keys, values = (
            (hidden @ own[2 * i].T + own[2 * i + 1]).reshape(len(ids), shape.heads, -1).transpose(1, 0, 2)
            for i in range(3)
        )
        scores = queries @ keys.transpose(0, 2, 1) / np.sqrt(queries.shape[2])
        shares = np.exp(scores - scores.max(axis=2, keepdims=True))
        context = (shares / shares.sum(axis=2, keepdims=True) @ values).transpose(1, 0, 2).reshape(len(ids), -1)
        hidden = norm(context @ own[6].T + own[7] + hidden, own[8], own[9])
        inner = gelu(hidden @ own[10].T + own[11])
        hidden = norm(inner @ own[12].T + own[13] + hidden, own[14], own[15])
    return hidden


def halved(weights: list[Floats]) -> list[np.ndarray]:
    """Upper halves of float32: bfloat16."""
    return [(part.view(np.uint32) >> 16).astype(np.uint16) for part in weights]


def addresses(weights: list[np.ndarray]) -> list[int]:
    return [part.ctypes.data for part in weights]


@pytest.mark.parametrize("length", [1, 2, 3, 5, 7, 11, 16, 20])
def test_hidden_states_are_those_of_bert(kernels: tuple[Kernel, ...], length: int) -> None:
    weights = parts(SHAPE)
    ids = np.random.default_rng(length).integers(0, SHAPE.words, length)
    for kernel in kernels:
        encoder = Encoder(kernel, SHAPE, addresses(weights), half=False)
        found = encoder.hidden_states(ids, [length])
        np.testing.assert_allclose(found, expected(weights, ids.tolist()), atol=5e-6, err_msg=kernel.name)
        head = gelu(found.astype(np.float64) @ weights[-4].T + weights[-3])
        np.testing.assert_allclose(encoder.transformed(found), norm(head, *weights[-2:]), atol=5e-6)


def test_bfloat16_weights_are_read_as_they_are(kernels: tuple[Kernel, ...]) -> None:
    short = halved(parts(SHAPE))
    wide = [(part.astype(np.uint32) << 16).view(np.float32) for part in short]
    ids = np.arange(9)
    for kernel in kernels:
        found = Encoder(kernel, SHAPE, addresses(short), half=True).hidden_states(ids, [9])
        same = Encoder(kernel, SHAPE, addresses(wide), half=False).hidden_states(ids, [9])
        assert found.tobytes() == same.tobytes(), kernel.name


def test_a_text_has_the_same_bits_beside_any_others(kernels: tuple[Kernel, ...]) -> None:
    weights, ids, lengths = parts(SHAPE), np.random.default_rng(1).integers(0, 50, 41), [7, 1, 20, 13]
    ends = np.cumsum(lengths)
    grid, decoder = screened(weights[0], None)
    for kernel in kernels:
        encoder = Encoder(kernel, SHAPE, addresses(weights), half=False)
        terms = decoder(kernel)
        together = encoder.hidden_states(ids, lengths)
        found, logits, counts = terms.positive_logits(together, lengths)
        for i, length in enumerate(lengths):
            own = slice(ends[i] - length, ends[i])
            alone = encoder.hidden_states(ids[own], [length])
            assert alone.tobytes() == together[own].tobytes(), kernel.name
            at = sum(counts[:i])
            one = terms.positive_logits(alone, [length])
            assert one[0].tolist() == found[at : at + counts[i]].tolist()
            assert one[1].tobytes() == logits[at : at + counts[i]].tobytes()
    assert len(grid) == SHAPE.words


def screened(weight: Floats, bias: Floats | None):  # type: ignore[no-untyped-def]
    """A decoder's int8 grid, and what makes it in a kernel; bounds as `runtime.screen.Screen` has them."""
    scale = np.abs(weight).max(axis=1) / 127
    scale[scale == 0] = 1
    grid = np.rint(weight / scale[:, None])
    left = np.linalg.norm(weight - grid * scale[:, None], axis=1)
    none = np.zeros(len(weight), np.float32) if bias is None else bias
    table = (np.stack([-none, np.linalg.norm(weight, axis=1), left]) / scale).astype(np.float32)
    whole = grid.astype(np.int8)
    address = 0 if bias is None else bias.ctypes.data
    return whole, lambda kernel: Decoder(kernel, weight.ctypes.data, address, False, whole, table)


@pytest.mark.parametrize("terms", [1, 31, 32, 33, 500])
@pytest.mark.parametrize("biased", [False, True])
def test_positive_logits_are_all_that_are_positive(kernels: tuple[Kernel, ...], terms: int, biased: bool) -> None:
    random = np.random.default_rng(terms)
    weight = random.standard_normal((terms, 48)).astype(np.float32)
    weight[0] = 0
    bias = random.standard_normal(terms).astype(np.float32) - 2 if biased else None
    _, made = screened(weight, bias)
    for tokens in (1, 2, 4, 5, 12, 17):
        rows = random.standard_normal((tokens, 48)).astype(np.float32)
        logits = (rows.astype(np.float64) @ weight.T).max(axis=0) + (0 if bias is None else bias)
        wanted = np.flatnonzero(logits > 1e-5)
        for kernel in kernels:
            found, values, counts = made(kernel).positive_logits(rows, [tokens])
            assert set(wanted) <= set(found.tolist()) <= set(np.flatnonzero(logits > -1e-5)), kernel.name
            assert counts == [len(found)]
            assert found.tolist() == sorted(found.tolist())
            np.testing.assert_allclose(values, logits[found], atol=1e-5)


def test_shapes_that_it_has_no_place_for_are_refused(kernels: tuple[Kernel, ...]) -> None:
    weights = addresses(parts(SHAPE))
    for wrong in ({"hidden": 24}, {"inner": 20}, {"heads": 5}, {"layers": 3}, {"hidden": 0}):
        changed = {**{name: getattr(SHAPE, name) for name in SHAPE.__dataclass_fields__}, **wrong}
        with pytest.raises(ValueError, match=r"parts|multiples|shared"):
            Encoder(kernels[0], Shape(**changed), weights, half=False)
    with pytest.raises(ValueError, match="parts"):
        Encoder(kernels[0], SHAPE, [0, *weights[1:]], half=False)
    with pytest.raises(ValueError, match="shape"):
        Decoder(kernels[0], 1, 0, False, np.zeros((4, 24), np.int8), np.zeros((3, 4), np.float32))
    with pytest.raises(ValueError, match="shape"):
        Decoder(kernels[0], 1, 0, False, np.zeros((4, 32), np.int8), np.zeros((3, 5), np.float32))


def test_ids_and_lengths_out_of_range_are_errors(kernels: tuple[Kernel, ...]) -> None:
    weights = parts(SHAPE, head=False)
    _, made = screened(weights[0], None)
    rows = np.zeros((3, SHAPE.hidden), np.float32)
    for kernel in kernels:
        encoder = Encoder(kernel, SHAPE, addresses(weights), half=False)
        wrong: tuple[tuple[list[int], list[int]], ...] = (
            *(([50], [1]), ([-1], [1]), ([0] * 21, [21]), ([1, 2], [1]), ([1], [2])),
            *(([1, 2], [2, 0]), ([1, 2], [3, -1]), ([], [])),
        )
        for ids, lengths in wrong:
            with pytest.raises(ValueError, match="not what this encoder reads"):
                encoder.hidden_states(np.array(ids, np.int64), lengths)
        with pytest.raises(ValueError, match="not what this head reads"):
            encoder.transformed(rows)
        for other in (rows[:, 1:], rows[:2], np.full_like(rows, np.nan), np.full_like(rows, np.inf)):
            with pytest.raises(ValueError, match="not what this decoder reads"):
                made(kernel).positive_logits(other, [3])


def test_a_path_that_there_is_not_is_an_error(kernels: tuple[Kernel, ...]) -> None:
    weights = parts(SHAPE)
    for path in (-1, 3, 1 << 20):
        other = Kernel("none", path, kernels[0]._library)
        with pytest.raises(ValueError, match="not what this encoder reads"):
            Encoder(other, SHAPE, addresses(weights), half=False).hidden_states(np.arange(3), [3])


def test_structures_are_those_of_the_source(kernels: tuple[Kernel, ...]) -> None:
    encoder = Encoder(kernels[0], SHAPE, addresses(parts(SHAPE)), half=True)
    assert ctypes.sizeof(encoder._encoder) == 6 * 8 + 4 + 4 + 8
