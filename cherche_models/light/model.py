"""Term weights and token embeddings of a model whose encoder the kernel runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path

import numpy as np

from cherche_models.cutting import Kind
from cherche_models.errors import ItemError, Unreadable
from cherche_models.kernel import library, short
from cherche_models.kernel.encoder import Decoder, Encoder, Shape
from cherche_models.light import folder, place, weights
from cherche_models.light.weights import Weights
from cherche_models.types import Encoding, Floats, TermWeights, TokenEmbeddings, Tokens

PRETRAINED = Path(__file__).parents[1] / "pretrained"
_PLAIN = "plain"
_HEAD = "cls.predictions."
# What checkpoints of BERT may hold beside what is used.
_UNUSED = ("bert.embeddings.position_ids", "bert.pooler.", "cls.seq_relationship.")
_SMALLEST_NORMAL = np.finfo(np.float32).tiny
_BROKEN_WEIGHTS = "got NaN or infinite weights: the model or its type is broken"
_BROKEN_ROWS = "got NaN or infinite embeddings: the model or its type is broken"


def load(source: str | Path, *, device: str | None = None, dtype: str | None = None) -> LightModel:
    """A model without torch.

    Parameters
    ----------
    source : str or Path
        A folder, or the name of a model in the package.
    device, dtype : str or None
        None for the best there is.

    Raises
    ------
    Unreadable
        If torch is needed: for the device, the folder or its type, or since there is no kernel.
    """
    place.check(device)
    kernels = library.installed().kernels
    if kernels and kernels[-1].name == _PLAIN and place.torch_release():
        raise Unreadable("the kernel knows none of this processor's instructions, so that torch may be faster")
    found = next((one for one in (Path(source).expanduser(), PRETRAINED / str(source)) if one.is_dir()), None)
    if found is None:
        raise Unreadable("it is no folder here")
    return LightModel(found, dtype)


class LightModel:
    """As `cherche_models.models.Splade` or `Joint`, for inference on a CPU.

    Parameters
    ----------
    path : Path
        A folder.
    dtype : str or None
        Type of the weights: fp32 or bf16, None for what `place.dtype` chooses; the kernel computes in float32.

    Raises
    ------
    Unreadable
        If the folder holds anything that is not known here, or there is no kernel.
    """

    device = "cpu"
    sparse = True
    note = ""

    def __init__(self, path: Path, dtype: str | None = None) -> None:
        kernels = library.installed()
        if not kernels.kernels:
            raise Unreadable(kernels.reason)
        self._kernel = kernels.kernels[-1]
        self._folder = folder.read(path)
        self.dtype, self.dtype_reason = place.dtype(dtype, self._folder.shape.hidden)
        self.queries = f"kernel ({self._kernel.name}), without torch"
        self.architecture, self.digest = self._folder.architecture, self._folder.digest
        self.tokenizer, self.formats = self._folder.tokenizer, self._folder.formats
        self.sparse_boost, self.rerank_weight = self._folder.sparse_boost, self._folder.rerank_weight
        self.codebook, self.dim = self._folder.codebook, self._folder.dim
        known = self.tokenizer.vocabulary
        self.vocabulary = known + tuple(f"[id {i}]" for i in range(len(known), self._folder.shape.words))
        self._read()

    @property
    def late_interaction(self) -> bool:
        """Whether it gives token embeddings."""
        return self.dim > 0

    def tokenize(self, texts: Sequence[str], kind: Kind, max_length: int = 0) -> list[Tokens]:
        """As `cherche_models.models.Model.tokenize`.

        Raises
        ------
        ItemError, TypeError, ValueError
            As there.
        """
        most = self._folder.shape.positions
        if max_length > most:
            raise ValueError(f"max_length {max_length} is more than the {most} tokens that this model reads")
        return self.tokenizer.tokenize(texts, self.formats[kind], max_length)

    def encode(self, texts: Sequence[str], kind: Kind, max_length: int = 0) -> list[Encoding]:
        """Tokenize and encode texts; results in order."""
        return self.encode_tokens(self.tokenize(texts, kind, max_length), kind)

    def encode_tokens(self, tokens: Sequence[Tokens], kind: Kind) -> list[Encoding]:
        """Encode tokenized texts; results in order. A text's encoding depends on nothing but itself.

        Raises
        ------
        ItemError
            If the model answers NaN or infinity for a text.
        """
        empty = TokenEmbeddings(np.empty((0, self.dim), np.float32)) if self.late_interaction else None
        results = [Encoding(TermWeights.empty(), empty)] * len(tokens)
        weighting, table = self._folder.query_weighting, self._folder.query_table
        for positions in short.plan(tokens, self._folder.shape.positions):
            batch = [tokens[i] for i in positions]
            for i, encoding in zip(positions, self._encoded(batch, positions, kind), strict=True):
                results[i] = encoding
        if kind == "query" and weighting is not None and table is not None:
            special, pairs = self.tokenizer.special_ids, zip(results, tokens, strict=True)
            return [weighting.applied(encoding, own.ids, table, special) for encoding, own in pairs]
        return results

    def kept(self, tokens: Tokens, kind: Kind) -> list[int]:
        """Positions of the tokens that own a row of `Encoding.embeddings`."""
        if not self.late_interaction:
            return []
        skipped = self._folder.skip if kind == "document" else frozenset[int]()
        return [place for place, token in enumerate(tokens.ids) if token not in skipped]

    def idf(self, tokens: Tokens) -> dict[int, float] | None:
        """Vocabulary id → query weight from the model's own table; None without a table."""
        table = self._folder.query_table
        if table is None:
            return None
        own = sorted(i for i in set(tokens.ids) if i < len(table))
        return {i: weight for i, weight in zip(own, table[own].tolist(), strict=True) if weight > 0}

    def _read(self) -> None:
        stored, shape = weights.read(self._folder.path), self._folder.shape
        half = self.dtype == "bf16"
        parts = [_typed(part, half) for part in _parts(stored, shape, self._folder.types)]
        if left := [name for name in stored if not name.startswith(_UNUSED)]:
            raise Unreadable(f"it has the tensor {left[0]}")
        words, bias = parts[0], parts.pop()
        # Kept, as the kernel reads them where they lie.
        self._parts, self._bias = parts, bias
        try:
            self._encoder = Encoder(self._kernel, shape, [part.ctypes.data for part in parts], half)
            screen = weights.screen(weights.widened(words), weights.widened(bias))
            self._decoder = Decoder(self._kernel, words.ctypes.data, bias.ctypes.data, half, *screen)
        except ValueError as error:
            raise Unreadable(str(error)) from error
        if self.late_interaction:
            [(name, map_)] = weights.read(self._folder.path / folder.COLBERT).items()
            if name != "linear.weight" or map_.shape != (self.dim, shape.hidden):
                raise Unreadable(f"its {folder.COLBERT} is not one map of its hidden states")
            self._projection = weights.widened(_typed(map_, half))

    def _encoded(self, batch: Sequence[Tokens], positions: Sequence[int], kind: Kind) -> Iterator[Encoding]:
        sizes = [len(item) for item in batch]
        ids = np.fromiter((i for item in batch for i in item.ids), np.int64)
        hidden = self._encoder.hidden_states(ids, sizes)
        rows = self._encoder.transformed(hidden)
        _check_finite(rows.sum(axis=1), sizes, positions, _BROKEN_WEIGHTS)
        terms, logits, counts = self._decoder.positive_logits(rows, sizes)
        _check_finite(logits, counts, positions, _BROKEN_WEIGHTS)
        found = short.activated(logits, self._folder.activation)
        term_ids = terms.astype(np.uint32)
        sparse = [TermWeights(term_ids[part].copy(), found[part].copy()) for part in _slices(counts)]
        if not self.late_interaction:
            yield from (Encoding(one, None) for one in sparse)
            return
        vectors = short.unit_rows(hidden, sizes, self._projection)
        for one, item, part in zip(sparse, batch, _slices(sizes), strict=True):
            yield Encoding(one, TokenEmbeddings(vectors[part][self.kept(item, kind)]))


def _parts(stored: dict[str, Floats], shape: Shape, types: int) -> Iterator[Floats]:
    """The tensors in the order that the kernel's source says, the decoder's bias last; taken out of `stored`."""
    width, inner = shape.hidden, shape.inner

    def take(name: str, *sizes: int) -> Floats:
        found = stored.pop(name, None)
        if found is None or found.shape != sizes:
            raise Unreadable(f"it has no tensor {name} of the shape {sizes}")
        return found

    def linear(name: str, inputs: int, outputs: int) -> Iterator[Floats]:
        yield take(f"{name}.weight", outputs, inputs)
        yield take(f"{name}.bias", outputs)

    def norm(name: str) -> Iterator[Floats]:
        # Checkpoints of the time of TensorFlow have the other names.
        for one, other in (("weight", "gamma"), ("bias", "beta")):
            yield take(f"{name}.LayerNorm.{other if f'{name}.LayerNorm.{other}' in stored else one}", width)

    yield take("bert.embeddings.word_embeddings.weight", shape.words, width)
    yield take("bert.embeddings.position_embeddings.weight", shape.positions, width)
    yield take("bert.embeddings.token_type_embeddings.weight", types, width)
    yield from norm("bert.embeddings")
    for layer in range(shape.layers):
        own = f"bert.encoder.layer.{layer}"
        for name in ("self.query", "self.key", "self.value", "output.dense"):
            yield from linear(f"{own}.attention.{name}", width, width)
        yield from norm(f"{own}.attention.output")
        yield from linear(f"{own}.intermediate.dense", width, inner)
        yield from linear(f"{own}.output.dense", inner, width)
        yield from norm(f"{own}.output")
    yield from linear(f"{_HEAD}transform.dense", width, width)
    yield from norm(f"{_HEAD}transform")
    yield take(f"{_HEAD}bias", shape.words)


def _typed(part: Floats, half: bool) -> Weights:
    return weights.halved(part) if half else np.ascontiguousarray(part)


def _slices(counts: Sequence[int]) -> Iterator[slice]:
    ends = list(accumulate(counts))
    yield from (slice(start, end) for start, end in zip([0, *ends], ends, strict=False))


def _check_finite(values: Floats, counts: Sequence[int], positions: Sequence[int], reason: str) -> None:
    """Raise an error that names the text of the first value that is not finite; `counts` values are of each text."""
    finite = np.isfinite(values)
    if not bool(finite.all()):
        first = int(np.flatnonzero(~finite)[0])
        text = next(i for i, end in enumerate(accumulate(counts)) if first < end)
        raise ItemError(positions[text], reason)
