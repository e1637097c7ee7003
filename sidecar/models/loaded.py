"""A model of `cherche_models` as the sidecar asks for one, and what encodes its documents."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol, TypeVar

from cherche_models.types import Encoding, Tokens
from sidecar.errors import ChercheError, Code
from sidecar.observe import logs
from sidecar.values.model import Kind, ModelDescription

R = TypeVar("R")

_NOTHING = Tokens((), (), 0)


class Encodes(Protocol):
    """What is required of a model, be it one of `cherche_models.models` or of `cherche_models.light`."""

    @property
    def formats(self) -> Mapping[Kind, Any]:
        """How texts of each kind are read."""
        ...

    @property
    def tokenizer(self) -> Any:  # noqa: ANN401  # a `cherche_models.cutting.Cutter`
        """What cuts texts."""
        ...

    def tokenize(self, texts: Sequence[str], kind: Kind, max_length: int = 0) -> list[Tokens]:
        """Cut texts into tokens; 0 for the model's own maximum."""
        ...

    def encode_tokens(self, tokens: Sequence[Tokens], kind: Kind) -> list[Encoding]:
        """Encode tokenized texts; results in order."""
        ...

    def kept(self, tokens: Tokens, kind: Kind) -> list[int]:
        """Positions of the tokens that own a row of `Encoding.embeddings`."""
        ...

    def idf(self, tokens: Tokens) -> dict[int, float] | None:
        """Vocabulary id → query weight from the model's own table; None without a table."""
        ...


class LoadedModel:
    """A model to serve; see `sidecar.protocols.Model`.

    Parameters
    ----------
    info : ModelDescription
    model : Encodes
    later : callable or None
        Loads what encodes documents instead of `model`, once the first of them comes: their bits are those that it
        gives, and it is slow to load.
    concurrent_queries : bool
        See `sidecar.protocols.Model`.

    Attributes
    ----------
    on_prepared : callable
        Called once that is loaded.
    """

    def __init__(
        self,
        info: ModelDescription,
        model: Encodes,
        later: Callable[[], Encodes] | None = None,
        *,
        concurrent_queries: bool = False,
    ) -> None:
        self._info, self._model, self._later = info, model, later
        self._concurrent_queries = concurrent_queries
        self._documents = model
        self._preparing = threading.Lock()
        self.on_prepared: Callable[[], None] = lambda: None

    @property
    def info(self) -> ModelDescription:
        """What the model is."""
        return self._info

    @property
    def concurrent_queries(self) -> bool:
        """See `sidecar.protocols.Model`."""
        return self._concurrent_queries

    def prepare(self, kind: Kind) -> Callable[[], None] | None:
        """What must be done before texts of a kind are encoded; None for nothing. See `sidecar.protocols.Model`."""
        return self._prepare if kind == "document" and self._later is not None else None

    def tokenize(self, texts: Sequence[str], kind: Kind, max_length: int = 0, *, beyond: bool = False) -> list[Tokens]:
        """Cut texts into tokens; 0 for the model's own maximum, and see `sidecar.protocols.Model.tokenize`.

        Raises
        ------
        ChercheError
            INVALID_ARGUMENT for a lone surrogate, or a maximum that the model does not have.
        """
        if beyond:
            # `[MASK]` tokens that fill a text up would be taken for text of a window.
            style = replace(self._model.formats[kind], masks=0, expand=False)
            cut = self._model.tokenizer.tokenize
            return self._guarded(lambda: list(cut(texts, style, max_length)), Code.INVALID_ARGUMENT)
        return self._guarded(lambda: self._model.tokenize(texts, kind, max_length), Code.INVALID_ARGUMENT)

    def encode(self, tokens: Sequence[Tokens], kind: Kind) -> list[Encoding]:
        """Encode one batch; results in order. A text of a language that the model does not know gets nothing.

        Raises
        ------
        ChercheError
            INTERNAL where the model answers NaN, naming the text's position.
        """
        prepare = self.prepare(kind)
        if prepare is not None:
            prepare()
        model = self._documents if kind == "document" else self._model
        style = self._model.formats[kind]
        unknown_language = [self._model.tokenizer.is_unknown_language(item, style) for item in tokens]
        readable = [_NOTHING if skip else item for item, skip in zip(tokens, unknown_language, strict=True)]
        found = self._guarded(lambda: model.encode_tokens(readable, kind), Code.INTERNAL)
        late = self._info.late_interaction
        return [
            Encoding(item.weights, item.embeddings if late else None, skip)
            for item, skip in zip(found, unknown_language, strict=True)
        ]

    def kept(self, tokens: Tokens, kind: Kind) -> list[int]:
        """Positions of the tokens that have a row in `Encoding.embeddings`."""
        return self._model.kept(tokens, kind)

    def idf(self, tokens: Tokens) -> dict[int, float] | None:
        """Vocabulary id → idf from the model's own table; None without a table."""
        return self._model.idf(tokens)

    def _prepare(self) -> None:
        with self._preparing:
            if self._later is None:
                return
            try:
                self._documents = self._later()
            except Exception as error:  # whatever torch raises; what answers queries can encode documents as well
                logs.get("models").error(
                    "documents are encoded as queries are",
                    model=self._info.name,
                    reason=f"{type(error).__name__}: {error}",
                )
            self._later = None
        self.on_prepared()

    def _guarded(self, work: Callable[[], R], code: Code) -> R:
        try:
            return work()
        except ValueError as error:
            step = "correct the text" if code is Code.INVALID_ARGUMENT else "serve the model with --dtype fp32"
            raise ChercheError(code, f"model {self._info.name!r}: {error}", step) from error
