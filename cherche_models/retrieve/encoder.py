"""From documents and queries to what a retriever or a ranker stores."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Generic, TypeVar

from cherche_models.errors import ItemError
from cherche_models.models import Model
from cherche_models.tokenizer import Kind
from cherche_models.types import Encoding
from cherche_models.utils.batches import batchify
from cherche_models.utils.documents import (
    Document,
    Key,
    Queries,
    duplicates_queries_warning,
    fields,
    id_of,
    one_by_one,
    texts_by_id,
)

E = TypeVar("E")

BATCH = 512
"""Texts encoded at a time. The model cuts its own batches out of them by length and a token budget."""


class Encoder(ABC, Generic[E]):
    """Encodes documents by id and queries by text.

    Parameters
    ----------
    key : str
        Field that holds a document's id: text or a whole number.
    on : str or sequence of str
        Fields that hold its text; joined by one space.
    """

    def __init__(self, key: str, on: str | Sequence[str]) -> None:
        self.key = key
        self.on = fields(on)

    def encode_documents(
        self,
        documents: Iterable[Document] | Iterable[Sequence[Document]],
        batch_size: int = BATCH,
        tqdm_bar: bool = True,
        query_mode: bool = False,
        desc: str = "documents",
    ) -> dict[Key, E]:
        """Encode documents.

        Parameters
        ----------
        documents : iterable of dict, or of lists of dict
            A field that is missing counts as empty. In lists, as candidates come, a document may be repeated.
        batch_size : int
            Texts between two steps of the progress bar.
        tqdm_bar : bool
            Shows only on a terminal.
        query_mode : bool
            Encode them as queries.
        desc : str
            What the bar says.

        Returns
        -------
        dict of id → embedding
            What `add` takes.

        Raises
        ------
        ValueError
            If an id is missing or repeated, or a text cannot be encoded (`ItemError`).
        """
        texts = texts_by_id(one_by_one(documents, self.key), self.key, self.on)
        encoded = self._encode_all(
            list(texts.values()), "query" if query_mode else "document", batch_size, tqdm_bar, desc
        )
        return dict(zip(texts, encoded, strict=True))

    def encode_candidates_documents(
        self,
        documents: Iterable[Document],
        candidates: Sequence[Sequence[Document]],
        batch_size: int = BATCH,
        tqdm_bar: bool = True,
        query_mode: bool = False,
    ) -> dict[Key, E]:
        """Encode each distinct candidate once.

        Parameters
        ----------
        documents : iterable of dict
            Hold the text.
        candidates : sequence of lists of dict
            May hold ids alone.
        batch_size, tqdm_bar, query_mode
            As in `encode_documents`.

        Raises
        ------
        KeyError
            If a candidate is not among the documents.
        """
        wanted = {id_of(candidate, self.key, i) for found in candidates for i, candidate in enumerate(found)}
        known = {id_of(document, self.key, i): document for i, document in enumerate(documents)}
        if missing := [key for key in wanted if key not in known]:
            raise KeyError(f"the candidate {missing[0]!r} is not among the documents ({len(missing)} are missing)")
        return self.encode_documents(
            [document for key, document in known.items() if key in wanted], batch_size, tqdm_bar, query_mode
        )

    def encode_queries(
        self,
        queries: str | Sequence[str],
        batch_size: int = BATCH,
        tqdm_bar: bool = True,
        query_mode: bool = True,
        desc: str = "queries",
        warn_duplicates: bool = False,
    ) -> Queries[E]:
        """Encode queries, repeated ones once.

        Parameters
        ----------
        queries : str or sequence of str
        batch_size, tqdm_bar, query_mode, desc
            As in `encode_documents`.
        warn_duplicates : bool
            Repeated queries are all answered, so that there is nothing to warn of unless asked.

        Returns
        -------
        Queries
            A dict of text → embedding that remembers every query asked.
        """
        asked = [queries] if isinstance(queries, str) else list(queries)
        distinct = list(dict.fromkeys(asked))
        if warn_duplicates and len(distinct) < len(asked):
            duplicates_queries_warning(len(asked) - len(distinct))
        encoded = self._encode_all(distinct, "query" if query_mode else "document", batch_size, tqdm_bar, desc)
        return Queries(dict(zip(distinct, encoded, strict=True)), asked)

    def _encode_all(self, texts: list[str], kind: Kind, batch_size: int, tqdm_bar: bool, desc: str) -> list[E]:
        encoded: list[E] = []
        for batch in batchify(texts, batch_size, desc, tqdm_bar):
            try:
                encoded.extend(self._encode(batch, kind))
            except ItemError as error:
                raise ItemError(len(encoded) + error.position, error.reason) from error
        return encoded

    @abstractmethod
    def _encode(self, texts: Sequence[str], kind: Kind) -> list[E]:
        """Embeddings of one batch, in order."""


class ModelEncoder(Encoder[E]):
    """An encoder that runs a model.

    Parameters
    ----------
    key : str
    on : str or sequence of str
    model : Model
    device : str or None
        Moves the model there.
    """

    def __init__(self, key: str, on: str | Sequence[str], model: Model, device: str | None = None) -> None:
        super().__init__(key, on)
        self._check(model)
        self.model = model if device is None else model.to(device)

    def _encode(self, texts: Sequence[str], kind: Kind) -> list[E]:
        return [self._embedding(encoding) for encoding in self.model.encode(texts, kind)]

    @abstractmethod
    def _check(self, model: Model) -> None:
        """Refuse a model without the head that is needed: ValueError."""

    @abstractmethod
    def _embedding(self, encoding: Encoding) -> E:
        """What is stored of one text."""
