"""Public fakes: a model without torch, and a real server on a free port.

What the project tests itself with, and what its users may test with.
"""

from __future__ import annotations

import re
import threading
import time
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING

import numpy as np

from cherche_models.codes import codebook
from cherche_models.kernel.library import described
from cherche_models.types import Encoding, Floats, TermWeights, TokenEmbeddings, Tokens
from sidecar.protocols import Engine, Model
from sidecar.values.model import Kind, ModelDescription

if TYPE_CHECKING:
    from sidecar.client.client import Client
    from sidecar.config import Settings
    from sidecar.serve import Sidecar

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", ".", "##s")
POISON = "poison"
NAN = "notanumber"

_CLS, _SEP = 2, 3
_WORDS = re.compile(r"\w+|[^\w\s]")


@dataclass(slots=True)
class FakeModel:
    """A deterministic model of hashed words: equal words match, nothing else does.

    A text that holds the word ``poison`` breaks the pass it is in; one that
    holds ``notanumber`` gets NaN weights.

    Attributes
    ----------
    name : str
    sparse, late_interaction : bool
        Which heads it has.
    buckets : int
        Hashed entries of the vocabulary beside the special ones.
    dim : int
        Width of a token embedding.
    max_length : int
        Tokens, special ones included.
    synonyms : mapping
        Word → word it is expanded to, at half its weight.
    latency : float
        Seconds that each pass takes.
    memory : int
        Padded tokens beyond which a pass runs out of memory; 0 for no bound.
    gate : threading.Event
        A pass waits for it; set at first.
    batches : list of list of int
        Token counts of each pass so far.
    waiting : bool
        Whether a pass stands before the gate.
    codebook : bool
        Whether it brings one, so that its codes can be residuals.
    note : str
        What its files were taken for; see `ModelDescription`.
    concurrent_queries : bool
        See `sidecar.protocols.Model`.
    """

    name: str = "fake"
    sparse: bool = True
    late_interaction: bool = True
    buckets: int = 4096
    dim: int = 16
    max_length: int = 128
    synonyms: Mapping[str, str] = field(default_factory=dict)
    latency: float = 0.0
    memory: int = 0
    gate: threading.Event = field(default_factory=threading.Event)
    batches: list[list[int]] = field(default_factory=list)
    waiting: bool = False
    codebook: bool = False
    note: str = ""
    concurrent_queries: bool = False
    _info: ModelDescription = field(init=False)
    _vectors: Floats = field(init=False)

    def __post_init__(self) -> None:
        self.gate.set()
        vocabulary = (*SPECIAL, *(f"h{i}" for i in range(self.buckets)))
        vectors = np.random.default_rng(7).standard_normal((len(vocabulary), self.dim), dtype=np.float32)
        self._vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        book = codebook.register(codebook.train(self._vectors, 64)) if self.codebook else None
        self._info = ModelDescription(
            name=self.name,
            architecture=_architecture(self.sparse, self.late_interaction),
            digest=sha256(repr((self.name, self.sparse, self.late_interaction, self.dim)).encode()).hexdigest(),
            sparse=self.sparse,
            late_interaction=self.late_interaction,
            dim=self.dim if self.late_interaction else 0,
            max_document_length=self.max_length,
            max_query_length=self.max_length,
            device="cpu",
            dtype="float32",
            maxsim=described() if self.late_interaction else "",
            vocabulary_size=len(vocabulary) if self.sparse else 0,
            vocabulary=vocabulary if self.sparse else (),
            codebook=book.digest if book is not None else "",
            note=self.note,
        )

    @property
    def info(self) -> ModelDescription:
        """Its description."""
        return self._info

    def prepare(self, kind: Kind) -> Callable[[], None] | None:
        """Nothing."""
        return None

    def token_id(self, word: str) -> int:
        """Vocabulary id of a word."""
        if word in SPECIAL:
            return SPECIAL.index(word)
        return len(SPECIAL) + zlib.crc32(word.encode("utf-8", "surrogatepass")) % self.buckets

    def tokenize(self, texts: Sequence[str], kind: Kind, max_length: int = 0, *, beyond: bool = False) -> list[Tokens]:
        """Lower-cased words between ``[CLS]`` and ``[SEP]``."""
        return [self._tokenize(text, max_length or self.max_length) for text in texts]

    def encode(self, tokens: Sequence[Tokens], kind: Kind) -> list[Encoding]:
        """One pass; see the class for what makes it fail."""
        self.waiting = True
        self.gate.wait()
        self.waiting = False
        lengths = [len(one) for one in tokens]
        self.batches.append(lengths)
        time.sleep(self.latency)
        if self.memory and max(lengths) * len(lengths) > self.memory:
            raise MemoryError("out of memory")
        if any(POISON in one.texts for one in tokens):
            raise ValueError("a text is poisonous")
        return [self._encode(one, kind) for one in tokens]

    def kept(self, tokens: Tokens, kind: Kind) -> list[int]:
        """All but ``[CLS]`` and ``[SEP]``."""
        return [place for place, i in enumerate(tokens.ids) if i not in (_CLS, _SEP)]

    def idf(self, tokens: Tokens) -> dict[int, float] | None:
        """No table."""
        return None

    def _tokenize(self, text: str, max_length: int) -> Tokens:
        words = _WORDS.findall(text.lower())
        cut = words[: max(0, max_length - 2)]
        ids = (_CLS, *(self.token_id(word) for word in cut), _SEP)
        return Tokens(ids, ("[CLS]", *cut, "[SEP]"), len(words) + 2)

    def _encode(self, tokens: Tokens, kind: Kind) -> Encoding:
        words = [word for word in tokens.texts if word not in ("[CLS]", "[SEP]")]
        weights = self._weights(words, kind) if self.sparse else None
        if weights is not None and NAN in words:
            weights = TermWeights(weights.ids, np.full_like(weights.weights, np.nan))
        rows = [tokens.ids[place] for place in self.kept(tokens, kind)]
        return Encoding(weights, TokenEmbeddings(self._vectors[rows]) if self.late_interaction else None)

    def _weights(self, words: Sequence[str], kind: Kind) -> TermWeights:
        weights: dict[int, float] = {}
        for word, count in Counter(words).items():
            weight = float(np.log1p(count)) * (1.5 if kind == "query" else 1.0)
            expanded = [(word, weight)]
            if word in self.synonyms:
                expanded.append((self.synonyms[word], weight / 2))
            for term, value in expanded:
                i = self.token_id(term)
                weights[i] = max(weights.get(i, 0.0), value)
        return TermWeights.from_pairs(weights.items())


def _architecture(sparse: bool, late_interaction: bool) -> str:
    if sparse and late_interaction:
        return "joint"
    return "splade" if sparse else "colbert"


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A sidecar under test, and a client of it."""

    sidecar: Sidecar
    client: Client

    @property
    def address(self) -> str:
        """host:port."""
        return self.sidecar.address


@asynccontextmanager
async def running_server(
    engine: Engine,
    models: Sequence[Model] = (),
    *,
    settings: Settings | None = None,
    warm: bool = True,
    authorization: str = "",
) -> AsyncIterator[RunningServer]:
    """A real gRPC server on a free loopback port, with a gateway on another where `settings.gateway.port` is 0.

    Parameters
    ----------
    engine : Engine
    models : sequence of Model
        Served under their own names, the first by default; a `FakeModel` where none is given.
    settings : Settings
        Limits, token and the like; host, port, models and metrics are set here.
    warm : bool
        Wait until the models are loaded.
    authorization : str
        Cluster credentials that the client forwards.
    """
    from sidecar.client.client import Client
    from sidecar.config import Metrics, Settings
    from sidecar.serve import running

    served = {model.info.name: model for model in models or (FakeModel(),)}
    settings = (settings or Settings()).model_copy(
        update={"host": "127.0.0.1", "port": 0, "models": {name: name for name in served}, "metrics": Metrics(port=-1)}
    )
    async with running(settings, engine=engine, loader=lambda _, source: served[source]) as sidecar:
        if warm:
            await sidecar.warm()
        token, limits = settings.secret("token"), settings.limits
        async with Client(
            sidecar.address, token=token, authorization=authorization, timeout=limits.deadline, limits=limits
        ) as client:
            yield RunningServer(sidecar, client)
