"""Encoding of documents and queries for retrievers and rankers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Generic, TypeVar

from cherche_models.errors import ItemError
from cherche_models.models import Model
from cherche_models.texts import check_texts
from cherche_models.tokenizer import Kind
from cherche_models.types import Encoding
from cherche_models.utils.batches import batchify
from cherche_models.utils.documents import (
    Document,
    Key,
    Queries,
    duplicates_queries_warning,
    fields,
    flattened,
    id_of,
    texts_by_id,
)

E = TypeVar("E")

BATCH = 512
"""Texts passed to the model at a time; it forms its own batches of them by length and a token budget."""


class Encoder(ABC, Generic[E]):
    """Encodes documents by id and queries by text.

    Parameters
    ----------
    key : str
        Field of a document's id, a string or an integer.
    on : str or sequence of str
        Fields of its text; joined by one space.
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
            Missing fields count as empty. In lists of candidates, a document may be repeated.
        batch_size : int
            Texts per step of the progress bar.
        tqdm_bar : bool
            Shown on a terminal only.
        query_mode : bool
            Encode them as queries.
        desc : str
            Label of the progress bar.

        Returns
        -------
        dict of id → embedding
            For `add`.

        Raises
        ------
        ValueError
            If an id is missing or repeated, or a text cannot be encoded (`ItemError`).
        """
        texts = texts_by_id(flattened(documents, self.key), self.key, self.on)
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
            With the text.
        candidates : sequence of lists of dict
            Only the ids are needed.
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
        """Encode queries; repeated queries are encoded once.

        Parameters
        ----------
        queries : str or sequence of str
        batch_size, tqdm_bar, query_mode, desc
            As in `encode_documents`.
        warn_duplicates : bool
            Warn about repeated queries. Off by default, as each of them gets its results.

        Raises
        ------
        ItemError
            If a query is no string, or holds a lone surrogate.
        TypeError
            If `queries` is neither a text nor a list.

        Returns
        -------
        Queries
            A dict of text → embedding that keeps the list of all queries.
        """
        texts = [queries] if isinstance(queries, str) else queries
        check_texts(texts)
        texts = list(texts)
        distinct = list(dict.fromkeys(texts))
        if warn_duplicates and len(distinct) < len(texts):
            duplicates_queries_warning(len(texts) - len(distinct))
        encoded = self._encode_all(distinct, "query" if query_mode else "document", batch_size, tqdm_bar, desc)
        return Queries(dict(zip(distinct, encoded, strict=True)), texts)

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
        """Raise a ValueError if the model lacks the required head."""

    @abstractmethod
    def _embedding(self, encoding: Encoding) -> E:
        """The embedding to store for one text."""
