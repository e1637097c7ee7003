"""Contrastive ranking losses with in-batch negatives.

Every document of the batch is a candidate for every query: the positives of other
queries and all hard negatives (Karpukhin et al. 2020, "Dense Passage Retrieval",
section 3.2), except documents known to be relevant to the query.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from cherche_models.models.base import Output


def ranking(scores: Tensor, positives: Tensor, masked: Tensor | None = None) -> Tensor:
    """Cross entropy of each query's positive against all other candidates.

    Parameters
    ----------
    scores : Tensor, shape (queries, documents)
    positives : int64 Tensor, shape (queries,)
        Column of each query's positive.
    masked : bool Tensor, shape (queries, documents), optional
        Candidates to leave out; see `known_relevant`. A query's own positive is always kept.

    Returns
    -------
    Tensor, scalar
        ``-log softmax(scores)[positive]``, mean over the queries.

    >>> round(float(ranking(torch.tensor([[1.0, 0.0]]), torch.tensor([0]))), 4)
    0.3133
    """
    return torch.nn.functional.cross_entropy(_hide(scores, positives, masked), positives)


def _hide(scores: Tensor, positives: Tensor, masked: Tensor | None) -> Tensor:
    if masked is None:
        return scores
    own = torch.zeros_like(masked).scatter(1, positives.unsqueeze(1), True)
    return scores.masked_fill(masked & ~own, -torch.inf)


def known_relevant(documents: Sequence[str], positives: Sequence[str], relevant: Sequence[Collection[str]]) -> Tensor:
    """Mask of the candidates that must not be negatives: copies of the positive, and other relevant documents.

    Parameters
    ----------
    documents : sequence of str
        Id of each column.
    positives : sequence of str
        Id of each query's positive.
    relevant : sequence of collections of str
        Ids of the documents known to be relevant to each query.

    Returns
    -------
    bool Tensor, shape (queries, documents)
        True also for the query's own positive, whose column alone `ranking` keeps.

    >>> known_relevant(["a", "b", "a"], ["a", "b"], [{"a"}, {"b", "a"}]).tolist()
    [[True, False, True], [True, True, True]]
    """
    return torch.tensor(
        [
            [document == positive or document in known for document in documents]
            for positive, known in zip(positives, relevant, strict=True)
        ]
    )


def sparse_scores(queries: Tensor, documents: Tensor) -> Tensor:
    """Dot products of term weights.

    Parameters
    ----------
    queries : Tensor, shape (queries, vocabulary)
    documents : Tensor, shape (documents, vocabulary)

    Returns
    -------
    Tensor, shape (queries, documents)

    >>> sparse_scores(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 0.5], [0.0, 1.0]])).tolist()
    [[4.0, 2.0]]
    """
    return queries @ documents.T


def maxsim_scores(queries: Tensor, query_mask: Tensor, documents: Tensor, document_mask: Tensor) -> Tensor:
    """MaxSim of every query with every document (Khattab & Zaharia 2020, eq. 3).

    Parameters
    ----------
    queries : Tensor, shape (queries, query tokens, dim)
    query_mask : bool Tensor, shape (queries, query tokens)
        Masked tokens contribute 0.
    documents : Tensor, shape (documents, document tokens, dim)
    document_mask : bool Tensor, shape (documents, document tokens)
        Masked tokens are never the maximum, even if all similarities are negative.

    Returns
    -------
    Tensor, shape (queries, documents)

    >>> tokens, mask = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]]), torch.ones(1, 2, dtype=torch.bool)
    >>> round(float(maxsim_scores(tokens, mask, torch.tensor([[[0.6, 0.8]]]), mask[:, :1])), 4)
    1.4
    """
    number, length, dim = documents.shape
    similarity = queries.reshape(-1, dim) @ documents.reshape(-1, dim).T
    similarity = similarity.masked_fill(~document_mask.reshape(1, -1), -torch.inf)
    best = similarity.view(*queries.shape[:2], number, length).amax(dim=-1)
    return best.masked_fill(~query_mask.unsqueeze(-1), 0.0).sum(dim=1)


def term_scores(queries: Output, documents: Output) -> Tensor:
    """Sum of the dot products of shared terms' vectors, of every query with every document (SparseEmbed).

    Returns
    -------
    Tensor, shape (queries, documents)

    Raises
    ------
    ValueError
        If the outputs have no term vectors.

    >>> one, yes = torch.ones(1, 1, 2), torch.ones(1, 1, dtype=torch.bool)
    >>> term = Output(None, one, yes, torch.tensor([[7]]))
    >>> term_scores(term, term).tolist(), term_scores(term, term._replace(terms=torch.tensor([[8]]))).tolist()
    ([[2.0]], [[0.0]])
    """
    query_vectors, query_mask, query_terms = _terms(queries)
    document_vectors, document_mask, document_terms = _terms(documents)
    dim = query_vectors.shape[-1]
    shared = query_terms.reshape(-1, 1) == document_terms.reshape(1, -1)
    shared = shared & query_mask.reshape(-1, 1) & document_mask.reshape(1, -1)
    products = (query_vectors.reshape(-1, dim) @ document_vectors.reshape(-1, dim).T) * shared
    return products.view(*query_vectors.shape[:2], *document_vectors.shape[:2]).sum(dim=(1, 3))


def late_scores(queries: Output, documents: Output) -> Tensor:
    """`term_scores` if the vectors belong to terms (SparseEmbed), else MaxSim.

    Returns
    -------
    Tensor, shape (queries, documents)

    Raises
    ------
    ValueError
        If the outputs have no vectors, or no mask of padding.
    """
    if queries.terms is not None:
        return term_scores(queries, documents)
    if queries.embeddings is None or documents.embeddings is None:
        raise ValueError("this model has no token embeddings: load a colbert model")
    if queries.mask is None or documents.mask is None:
        raise ValueError("the output has token embeddings but no mask of padding")
    return maxsim_scores(queries.embeddings, queries.mask, documents.embeddings, documents.mask)


def _terms(output: Output) -> tuple[Tensor, Tensor, Tensor]:
    if output.embeddings is None or output.mask is None or output.terms is None:
        raise ValueError("this model has no term vectors: load a sparse_embed model")
    return output.embeddings, output.mask, output.terms
