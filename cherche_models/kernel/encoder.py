"""A BERT encoder's forward pass over short texts in the compiled kernel; its weights stay where they are."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from ctypes import POINTER, c_float, c_int32, c_int64, c_void_p
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cherche_models.types import Floats

PANEL, MULTIPLE = 32, 16
"""Terms that the kernel screens at once, and what widths are multiples of."""
FEWEST_PARTS, OF_A_LAYER, OF_A_HEAD = 5, 16, 4
"""Parts of an encoder: of its embeddings, of each layer, and of a masked-LM head."""
Ids = NDArray[np.int64]


class Calls(Protocol):
    """What is required of `library.Kernel`."""

    def call(self, name: str, *arguments: object) -> int:
        """Call a function of the library by its name."""
        ...


@dataclass(frozen=True, slots=True)
class Shape:
    """Of an encoder.

    Attributes
    ----------
    hidden, layers, heads, inner : int
    words, positions : int
        Token ids and places that have an embedding.
    epsilon : float
        Of its norms.
    """

    hidden: int
    layers: int
    heads: int
    inner: int
    words: int
    positions: int
    epsilon: float


class _Encoder(ctypes.Structure):
    """`Encoder` in the source."""

    _fields_ = (
        *((name, c_int64) for name in ("hidden", "layers", "heads", "inner", "words", "positions")),
        ("epsilon", c_float),
        ("half", c_int32),
        ("parts", c_void_p),
    )


class _Decoder(ctypes.Structure):
    """`Decoder` in the source."""

    _fields_ = (
        *(("terms", c_int64), ("width", c_int64)),
        *((name, c_void_p) for name in ("weight", "bias", "grid", "table")),
        ("half", c_int32),
    )


class Encoder:
    """Reads weights where they lie: whoever made it keeps them there.

    Parameters
    ----------
    kernel : library.Kernel
    shape : Shape
    parts : sequence of int
        Addresses, in the order that the source says.
    half : bool
        Whether they are bfloat16, not float32.

    Raises
    ------
    ValueError
        If the kernel has no place for such a shape, or parts are missing.
    """

    def __init__(self, kernel: Calls, shape: Shape, parts: Sequence[int], half: bool) -> None:
        least = FEWEST_PARTS + OF_A_LAYER * shape.layers
        if len(parts) not in (least, least + OF_A_HEAD) or not all(parts):
            raise ValueError(f"an encoder of {shape.layers} layers has not {len(parts)} parts")
        if min(shape.hidden, shape.inner, shape.heads) < 1 or shape.hidden % MULTIPLE or shape.inner % MULTIPLE:
            raise ValueError(f"widths of {shape.hidden} and {shape.inner} are no multiples of {MULTIPLE}")
        if shape.hidden % shape.heads:
            raise ValueError(f"{shape.hidden} components cannot be shared by {shape.heads} heads")
        self.width, self.has_head = shape.hidden, len(parts) > least
        self._kernel = kernel
        self._addresses = (c_void_p * len(parts))(*parts)
        counts = (shape.hidden, shape.layers, shape.heads, shape.inner, shape.words, shape.positions)
        self._encoder = _Encoder(*counts, shape.epsilon, half, ctypes.addressof(self._addresses))

    def hidden_states(self, ids: Ids, lengths: Sequence[int]) -> Floats:
        """Last hidden states of texts, one after another, shape (tokens, hidden).

        Raises
        ------
        ValueError
            If an id or a place has no embedding, or the lengths are not those of the ids.
        """
        sizes, tokens = np.array(lengths, np.int64), np.ascontiguousarray(ids, np.int64)
        found = np.empty((len(tokens), self.width), np.float32)
        failed = int(sizes.sum()) != len(tokens) or self._kernel.call(
            "cherche_hidden_states",
            ctypes.byref(self._encoder),
            tokens.ctypes.data,
            sizes.ctypes.data,
            len(sizes),
            found.ctypes.data,
        )
        if failed:
            raise ValueError(f"{len(tokens)} tokens in texts of {list(lengths)} are not what this encoder reads")
        return found

    def transformed(self, hidden: Floats) -> Floats:
        """Input of the vocabulary's decoder, as `hidden`.

        Raises
        ------
        ValueError
            If there is no masked-LM head, or `hidden` has another width.
        """
        if not self.has_head or hidden.ndim != 2 or hidden.shape[1] != self.width:
            raise ValueError(f"hidden states of shape {hidden.shape} are not what this head reads")
        rows, found = np.ascontiguousarray(hidden, np.float32), np.empty(hidden.shape, np.float32)
        arguments = ctypes.byref(self._encoder), rows.ctypes.data, len(rows), found.ctypes.data
        if self._kernel.call("cherche_transformed", *arguments):
            raise ValueError(f"hidden states of shape {hidden.shape} are not what this head reads")
        return found


class Decoder:
    """A vocabulary's decoder, and its screen of 8 bits: what `runtime.screen.Screen` has, in the kernel's order.

    Parameters
    ----------
    kernel : library.Kernel
    weight, bias : int
        Addresses; 0 for no bias. Whoever made it keeps them there.
    half : bool
        Whether they are bfloat16, not float32.
    grid : int8 array, shape (terms, width)
    table : float32 array, shape (3, terms)
    """

    def __init__(
        self, kernel: Calls, weight: int, bias: int, half: bool, grid: NDArray[np.int8], table: Floats
    ) -> None:
        terms, width = grid.shape
        if width % MULTIPLE or table.shape != (3, terms):
            raise ValueError(f"a decoder of shape {grid.shape} with bounds of shape {table.shape}")
        rows = np.zeros((-(-terms // PANEL) * PANEL, width), np.int8)
        rows[:terms] = grid
        panels = rows.view(np.uint8).reshape(-1, PANEL, width // 4, 4) ^ 0x80  # plus 128
        self._grid = np.ascontiguousarray(panels.transpose(0, 2, 1, 3))
        self._table = np.ascontiguousarray(table, np.float32)
        self._kernel, self.terms, self.width = kernel, terms, width
        self._decoder = _Decoder(
            terms, width, weight, bias or None, self._grid.ctypes.data, self._table.ctypes.data, half
        )

    def positive_logits(self, rows: Floats, lengths: Sequence[int]) -> tuple[NDArray[np.int32], Floats, list[int]]:
        """Terms with a positive largest logit, ascending in each text, their logits, and how many each text has.

        Raises
        ------
        ValueError
            If `rows` are not finite, of another width, or as many as the lengths say.
        """
        sizes, counts = np.array(lengths, np.int64), np.zeros(len(lengths), np.int64)
        hidden = np.ascontiguousarray(rows, np.float32)
        terms, logits = (np.empty(len(sizes) * self.terms, kind) for kind in (np.int32, np.float32))
        failed = hidden.shape != (int(sizes.sum()), self.width) or self._kernel.call(
            "cherche_positive_logits",
            ctypes.byref(self._decoder),
            hidden.ctypes.data,
            sizes.ctypes.data,
            len(sizes),
            terms.ctypes.data,
            logits.ctypes.data,
            counts.ctypes.data,
        )
        if failed:
            raise ValueError(f"rows of shape {rows.shape} of {list(lengths)} tokens are not what this decoder reads")
        found = int(counts.sum())
        return terms[:found].copy(), logits[:found].copy(), counts.tolist()


def declare(library: ctypes.CDLL) -> None:
    """Tell ctypes the types of the library's functions."""
    rest: dict[str, Sequence[Callable[..., object]]] = {
        "cherche_hidden_states": (POINTER(_Encoder), c_void_p, c_void_p, c_int64, c_void_p),
        "cherche_transformed": (POINTER(_Encoder), c_void_p, c_int64, c_void_p),
        "cherche_positive_logits": (
            *(POINTER(_Decoder), c_void_p, c_void_p, c_int64),
            *(c_void_p, c_void_p, c_void_p),
        ),
    }
    for name, types in rest.items():
        function = getattr(library, name)
        function.restype = c_int32
        function.argtypes = [c_int32, *types]
