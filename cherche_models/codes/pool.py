"""Token pooling: like tokens of a document become one (Clavié, Chaffin & Adams 2024)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cherche_models.types import Floats, TokenEmbeddings


def pool(embeddings: TokenEmbeddings, factor: int) -> TokenEmbeddings:
    """Cluster a document's tokens by Ward's method and keep the mean of each cluster, of unit length.

    Parameters
    ----------
    embeddings : TokenEmbeddings, shape (tokens, dim)
        Of a document; queries are never pooled.
    factor : int
        About so many tokens become one; 1 changes nothing.

    Returns
    -------
    TokenEmbeddings, shape (at most ceil(tokens / factor), dim)

    Raises
    ------
    ValueError
        If the factor is below 1.

    >>> pool(TokenEmbeddings(np.array([[1, 0], [0, 1], [1, 0]], np.float32)), 2).vectors.tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    if factor < 1:
        raise ValueError(f"pool factor {factor} is below 1")
    wanted = -(-len(embeddings) // factor)
    if wanted >= len(embeddings):
        return embeddings
    return TokenEmbeddings(_means(embeddings.vectors, _clusters(embeddings.vectors, wanted)))


def _clusters(vectors: Floats, wanted: int) -> NDArray[np.int64]:
    """Cluster of each token, numbered by first appearance.

    The tree is cut by the order of its merges: cut by height, merges of the same height
    would all be made, and tokens that are equally unlike would become one.
    """
    from scipy.cluster.hierarchy import linkage  # here, so that only who pools pays for it

    tree = linkage(vectors, "ward")
    tokens = len(vectors)
    # Equal tokens become one in any case: nothing is lost by it.
    merges = max(tokens - wanted, int((tree[:, 2] == 0).sum()))
    cluster = list(range(tokens + merges))
    for merged, (one, other) in reversed(list(enumerate(tree[:merges, :2].astype(np.int64).tolist(), tokens))):
        cluster[one] = cluster[other] = cluster[merged]
    _, first, numbers = np.unique(cluster[:tokens], return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[numbers].astype(np.int64)


def _means(vectors: Floats, clusters: NDArray[np.int64]) -> Floats:
    order = np.argsort(clusters, kind="stable")
    counts = np.bincount(clusters)
    sums = np.add.reduceat(vectors[order], np.concatenate(([0], np.cumsum(counts)[:-1])), axis=0)
    norms = np.linalg.norm(sums, axis=1, keepdims=True)
    means: Floats = (sums / np.maximum(norms, 1e-12)).astype(np.float32)
    return means
