"""The card of a model that is pushed without one of its own."""

from __future__ import annotations

from cherche_models.layouts.checkpoint import COLBERT, LINEAR, Checkpoint

_TAGS = {
    "splade": ("sparse-encoder", "splade"),
    "inference_free": ("sparse-encoder", "splade", "inference-free"),
    "colbert": ("ColBERT", "late-interaction", "PyLate"),
    "m3": ("sparse-encoder", "ColBERT", "late-interaction", "multilingual"),
    "joint": ("sparse-encoder", "splade", "ColBERT", "late-interaction"),
}


def card(checkpoint: Checkpoint, name: str) -> str:
    """What the checkpoint itself says: heads, lengths, how to load it.

    Licence, data and figures only its author knows: a card without a licence says that it has none.
    """
    document, query = checkpoint.formats["document"], checkpoint.formats["query"]
    heads, book = " and ".join(_heads(checkpoint)), checkpoint.codebook
    return "\n".join(
        [
            "---",
            "library_name: sentence-transformers",
            "pipeline_tag: feature-extraction",
            f"tags: [{', '.join(_TAGS.get(checkpoint.architecture, (checkpoint.architecture,)))}]",
            "---",
            f"# {name.rpartition('/')[2]}",
            "",
            f"A {checkpoint.architecture} model: {heads}. It reads {document.max_length} tokens of a",
            f"document and {query.max_length} of a query.",
            *([f"A codebook of {len(book.centroids):,} centroids lies beside them."] if book else []),
            "",
            *_use(checkpoint, name),
            "",
            "Its author has not said yet what it was trained on, what it measures, and under which licence",
            "it may be used.",
            "",
        ]
    )


def _heads(checkpoint: Checkpoint) -> list[str]:
    found = []
    if checkpoint.sparse:
        found.append(f"term weights over {checkpoint.backbone.decoder.out_features:,} tokens")
    if COLBERT in checkpoint.heads:
        found.append(f"token embeddings of {len(checkpoint.heads[COLBERT].tensor(LINEAR))} dimensions")
    return found


def _use(checkpoint: Checkpoint, name: str) -> list[str]:
    lines = ["```python", "from cherche_models import hub", "", f'model = hub.load("{name}")', "```"]
    if checkpoint.sparse:
        lines += ["", "Its term weights load in sentence-transformers too:", ""]
        lines += ["```python", "from sentence_transformers import SparseEncoder", "", f'SparseEncoder("{name}")', "```"]
    elif COLBERT in checkpoint.heads:
        lines += ["", "It loads in PyLate too:", ""]
        lines += ["```python", "from pylate import models", "", f'models.ColBERT("{name}")', "```"]
    return lines
