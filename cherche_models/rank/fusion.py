"""Fusion of several rankers over the same candidates."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cherche_models.retrieve.encoder import BATCH
from cherche_models.retrieve.pipeline import RanksCandidates, reciprocal_ranks
from cherche_models.utils.documents import Document, Result


class FusedRankers:
    """Rankers fused by reciprocal ranks, as ``ranker * ranker`` creates them.

    Parameters
    ----------
    members : sequence of rankers
        With the same `key`.

    Raises
    ------
    ValueError
        If their keys differ.
    """

    def __init__(self, members: Sequence[RanksCandidates]) -> None:
        self.members: list[RanksCandidates] = []
        for member in members:
            self.members += member.members if isinstance(member, FusedRankers) else [member]
        if len(keys := {member.key for member in self.members}) > 1:
            raise ValueError(f"the rankers have different keys ({', '.join(sorted(keys))}): use the same key")
        self.key = self.members[0].key

    def __repr__(self) -> str:
        return f"({' * '.join(map(repr, self.members))})"

    def __mul__(self, other: RanksCandidates) -> FusedRankers:
        """Add a ranker."""
        return FusedRankers([*self.members, other])

    __or__ = __and__ = __mul__

    def add_documents(
        self, documents: Iterable[Document], batch_size: int = BATCH, tqdm_bar: bool = True
    ) -> FusedRankers:
        """Encode and store documents in each ranker."""
        found = list(documents)
        for member in self.members:
            member.add_documents(found, batch_size, tqdm_bar)
        return self

    def rank(self, queries: list[str], candidates: list[list[Result]], k: int | None = None) -> list[list[Result]]:
        """Order the candidates of each query; the similarity is the sum of reciprocal ranks."""
        orders = [member.rank(queries, candidates) for member in self.members]
        return [self._fused(lists)[:k] for lists in zip(*orders, strict=True)]

    def _fused(self, lists: Sequence[list[Result]]) -> list[Result]:
        scores = reciprocal_ranks([[result[self.key] for result in results] for results in lists])
        known = {result[self.key]: result for result in lists[0]}
        return [{**known[key], "similarity": score} for key, score in sorted(scores.items(), key=lambda one: -one[1])]
