"""Makes tiny checkpoints with random weights, in the layouts that people have on disk."""

from __future__ import annotations

import json
import string
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertForMaskedLM, BertForSequenceClassification, BertModel, PreTrainedTokenizerFast

WORDS = (
    *("neural", "sparse", "search", "index", "query", "document", "token", "weight"),
    *("the", "of", "and", "in", "brain", "cell", "protein", "heart"),
)
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[unused0]", "[unused1]", "[Q] ", "[D] "]
HIDDEN, POSITIONS = 32, 64


def vocabulary() -> list[str]:
    letters = list(string.ascii_lowercase + string.digits)
    return [*SPECIAL, *string.punctuation, *letters, *(f"##{letter}" for letter in letters), *WORDS]


def make_tokenizer(folder: Path) -> None:
    ids = {token: i for i, token in enumerate(vocabulary())}
    backend = Tokenizer(models.WordPiece(ids, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer()
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", ids["[CLS]"]), ("[SEP]", ids["[SEP]"])],
    )
    names = {
        name: f"[{name[:-6].upper()}]" for name in ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    }
    PreTrainedTokenizerFast(tokenizer_object=backend, model_max_length=POSITIONS, **names).save_pretrained(folder)


def config() -> BertConfig:
    return BertConfig(
        vocab_size=len(vocabulary()),
        hidden_size=HIDDEN,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=POSITIONS,
        initializer_range=0.3,
    )


def masked_lm(folder: Path, seed: int = 0) -> Path:
    """A BERT with a masked-LM head and a tokenizer."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    model = BertForMaskedLM(config())
    torch.nn.init.normal_(model.cls.predictions.bias, -2.0, 1.0)
    model.save_pretrained(folder)
    make_tokenizer(folder)
    return folder


def encoder(folder: Path, seed: int = 0) -> Path:
    """The same without a head."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    BertModel(config(), add_pooling_layer=False).save_pretrained(folder)
    make_tokenizer(folder)
    return folder


def sentence_encoder(folder: Path, inside: str = "", seed: int = 0) -> Path:
    """The same with mean pooling, its transformer in a folder of its own as old checkpoints have it."""
    encoder(folder / inside, seed)
    modules = [
        (inside, "sentence_transformers.models.Transformer"),
        ("1_Pooling", "sentence_transformers.models.Pooling"),
    ]
    write_modules(folder, modules)
    _write(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": HIDDEN, "pooling_mode_mean_tokens": True})
    return folder


def write_modules(folder: Path, modules: list[tuple[str, str]]) -> None:
    """``modules.json``, from the sub-folder and the type of each module."""
    listed = [{"idx": i, "name": str(i), "path": path, "type": kind} for i, (path, kind) in enumerate(modules)]
    _write(folder / "modules.json", listed)


def classifier(folder: Path, labels: int = 1, *, types: bool = True) -> Path:
    """A sequence classification model with a tokenizer: a cross-encoder."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(4)
    shape = config()
    shape.num_labels = labels
    BertForSequenceClassification(shape).save_pretrained(folder)
    make_tokenizer(folder)
    if types:
        stored = json.loads((folder / "tokenizer_config.json").read_text())
        names = ["input_ids", "token_type_ids", "attention_mask"]
        _write(folder / "tokenizer_config.json", {**stored, "model_input_names": names})
    return folder


def old_layer_norms(folder: Path) -> Path:
    """Rename LayerNorm's tensors to gamma and beta, as early BERT checkpoints have them."""
    path = folder / "model.safetensors"
    names = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
    tensors = load_file(path)
    for new, old in names.items():
        tensors = {name.replace(new, old): tensor for name, tensor in tensors.items()}
    save_file(tensors, path, metadata={"format": "pt"})
    return folder


def neural_cherche(folder: Path, *, projection: int = 0, masks: int | None = None) -> Path:
    """neural-cherche's files: with a projection and no masks ColBERT's, with both SparseEmbed's."""
    masked_lm(folder)
    metadata: dict[str, object] = {"max_length_query": 12, "max_length_document": 24}
    metadata |= {"query_prefix": "q: " if projection else "", "document_prefix": "d: " if projection else ""}
    if masks is not None:
        metadata["n_mask_tokens"] = masks
    (folder / "metadata.json").write_text(json.dumps(metadata))
    if projection:
        torch.manual_seed(1)
        torch.save({"weight": torch.randn(projection, HIDDEN)}, folder / "linear.pt")
    return folder


def pylate(folder: Path, *, dim: int = 16, residual: bool = False, **settings: object) -> Path:
    """PyLate's files, written by hand."""
    encoder(folder)
    modules = [("", "sentence_transformers.models.Transformer"), ("1_Dense", "pylate.models.Dense.Dense")]
    write_modules(folder, modules)
    _write(folder / "sentence_bert_config.json", {"max_seq_length": 29, "do_lower_case": False})
    stored = {
        "model_type": "ColBERT",
        "query_prefix": "[Q] ",
        "document_prefix": "[D] ",
        "query_length": 10,
        "document_length": 30,
        "do_query_expansion": True,
        "attend_to_expansion_tokens": False,
        "skiplist_words": list(string.punctuation),
    }
    _write(folder / "config_sentence_transformers.json", {**stored, **settings})
    torch.manual_seed(2)
    tensors = {"linear.weight": torch.randn(dim, HIDDEN)}
    if residual:
        tensors["residual.weight"] = torch.randn(dim, HIDDEN)
    shape = {"in_features": HIDDEN, "out_features": dim, "bias": False, "use_residual": residual}
    _write(folder / "1_Dense" / "config.json", {**shape, "activation_function": "torch.nn.modules.linear.Identity"})
    save_file(tensors, folder / "1_Dense" / "model.safetensors")
    return folder


def stanford(folder: Path, *, dim: int = 16) -> Path:
    """Stanford's files: the encoder under ``bert.``, the projection beside it."""
    encoder(folder)
    path = folder / "model.safetensors"
    tensors = {f"bert.{name}": tensor for name, tensor in load_file(path).items()}
    torch.manual_seed(2)
    save_file({**tensors, "linear.weight": torch.randn(dim, HIDDEN)}, path, metadata={"format": "pt"})
    stored = json.loads((folder / "config.json").read_text())
    _write(folder / "config.json", {**stored, "architectures": ["HF_ColBERT"]})
    metadata = {"query_token_id": "[unused0]", "doc_token_id": "[unused1]", "query_maxlen": 10, "doc_maxlen": 30}
    _write(folder / "artifact.metadata", {**metadata, "attend_to_mask_tokens": False, "mask_punctuation": True})
    return folder


def _write(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
