"""What a training or evaluation script needs besides models, retrievers and rankers."""

from cherche_models.utils.batches import batchify, iter
from cherche_models.utils.documents import Document, Filter, Key, Queries, Result

__all__ = ["Document", "Filter", "Key", "Queries", "Result", "batchify", "iter"]
