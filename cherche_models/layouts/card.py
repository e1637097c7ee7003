"""The card of a model that is pushed without one of its own."""

from __future__ import annotations

from cherche_models.models import ColBERT, Joint, Model

_TAGS = {
    "splade": ("sparse-encoder", "splade"),
    "inference_free": ("sparse-encoder", "splade", "inference-free"),
    "colbert": ("ColBERT", "late-interaction", "PyLate"),
    "joint": ("sparse-encoder", "splade", "ColBERT", "late-interaction"),
}


def card(model: Model, name: str) -> str:
    """What can be told from the model itself: heads, lengths, how to load it.

    Licence, data and figures only its author knows: a card without a licence says that it has none.
    """
    document, query = (model.formats[kind] for kind in ("document", "query"))
    heads = [f"term weights over {len(model.vocabulary):,} tokens"] if model.sparse else []
    heads += [f"token embeddings of {model.dim} dimensions"] if model.late_interaction else []
    books = [f"A codebook of {len(model.codebook.centroids):,} centroids lies beside them."] if model.codebook else []
    return "\n".join(
        [
            "---",
            "library_name: sentence-transformers",
            "pipeline_tag: feature-extraction",
            f"tags: [{', '.join(_TAGS.get(model.architecture, (model.architecture,)))}]",
            "---",
            f"# {name.rpartition('/')[2]}",
            "",
            f"A {model.architecture} model: {' and '.join(heads)}. It reads {document.max_length} tokens of a",
            f"document and {query.max_length} of a query.",
            *books,
            "",
            *_use(model, name),
            "",
            "Its author has not said yet what it was trained on, what it measures, and under which licence",
            "it may be used.",
            "",
        ]
    )


def _use(model: Model, name: str) -> list[str]:
    lines = ["```python", "from cherche_models import hub", "", f'model = hub.load("{name}")', "```"]
    if model.sparse:
        lines += ["", "Its term weights load in sentence-transformers too:", ""]
        lines += ["```python", "from sentence_transformers import SparseEncoder", "", f'SparseEncoder("{name}")', "```"]
    if isinstance(model, ColBERT) and not isinstance(model, Joint):
        lines += ["", "It loads in PyLate too:", ""]
        lines += ["```python", "from pylate import models", "", f'models.ColBERT("{name}")', "```"]
    return lines
