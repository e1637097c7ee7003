"""Small random checkpoints in the exact shape of published ones: their files, modules, settings and tensors."""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    DistilBertConfig,
    DistilBertForMaskedLM,
    ModernBertConfig,
    ModernBertModel,
    PreTrainedTokenizerFast,
    XLMRobertaConfig,
    XLMRobertaModel,
)

from tests import checkpoints
from tests.checkpoints import HIDDEN, POSITIONS, WORDS, write_modules

_PYLATE = "pylate.models.Dense.Dense"
_TRANSFORMER = "sentence_transformers.models.Transformer"
_SPARSE = "sentence_transformers.sparse_encoder.models"
IDENTITY = "torch.nn.modules.linear.Identity"
PROMPTS = {"prompts": {"query": "", "document": ""}, "default_prompt_name": None}


def modernbert(folder: Path, *, pad: str = "[PAD]") -> Path:
    """ModernBERT's encoder: byte-level BPE, and PyLate's two markers added at the end of the vocabulary."""
    folder.mkdir(parents=True, exist_ok=True)
    backend = Tokenizer(models.BPE(unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    special = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"]
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    backend.train_from_iterator([f"{a} {b}" for a in WORDS for b in WORDS], trainer)
    ids = {token: backend.token_to_id(token) for token in special}
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", ids["[CLS]"]), ("[SEP]", ids["[SEP]"])]
    )
    words = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        model_max_length=POSITIONS,
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        pad_token=pad,
        mask_token="[MASK]",
    )
    words.add_tokens(["[Q] ", "[D] "])
    words.save_pretrained(folder)
    torch.manual_seed(0)
    shape = ModernBertConfig(
        vocab_size=len(words) + 5,  # padded to a multiple of 64, as theirs
        hidden_size=HIDDEN,
        intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=2,
        max_position_embeddings=POSITIONS,
        local_attention=8,
        initializer_range=0.3,
        pad_token_id=words.pad_token_id,
        cls_token_id=words.cls_token_id,
        sep_token_id=words.sep_token_id,
        bos_token_id=words.cls_token_id,
        eos_token_id=words.sep_token_id,
        architectures=["ModernBertModel"],
    )
    ModernBertModel(shape).save_pretrained(folder)
    return folder


def pylate(folder: Path, dense: list[dict[str, Any]], **settings: object) -> Path:
    """PyLate's files on ModernBERT: one Dense module for each dict of its settings."""
    modules = [("", _TRANSFORMER)]
    torch.manual_seed(2)
    for number, own in enumerate(dense, 1):
        name = f"{number}_Dense"
        modules.append((name, _PYLATE))
        shape = {"bias": False, "activation_function": IDENTITY, "use_residual": False, **own}
        wide, narrow = shape["in_features"], shape["out_features"]
        tensors = {"linear.weight": torch.randn(narrow, wide) / wide**0.5}
        if shape["bias"]:
            tensors["linear.bias"] = torch.randn(narrow)
        if shape["use_residual"] and wide != narrow:
            tensors["residual.weight"] = torch.randn(narrow, wide) / wide**0.5
        _write(folder / name / "config.json", shape)
        save_file(tensors, folder / name / "model.safetensors")
    write_modules(folder, modules)
    _write(folder / "sentence_bert_config.json", {"max_seq_length": 29, "do_lower_case": False})
    stored = {
        "__version__": {"sentence_transformers": "4.0.2", "transformers": "4.48.2", "pytorch": "2.6.0"},
        "model_type": "ColBERT",
        **PROMPTS,
        "similarity_fn_name": "MaxSim",
        "query_prefix": "[Q] ",
        "document_prefix": "[D] ",
        "query_length": 10,
        "document_length": 30,
        "attend_to_expansion_tokens": False,
        "skiplist_words": list(string.punctuation),
        "do_query_expansion": True,
    }
    _write(folder / "config_sentence_transformers.json", stored | settings)
    return folder


def gte_modern_colbert(folder: Path) -> Path:
    """lightonai/GTE-ModernColBERT-v1 and LateOn: one projection, queries filled up with [MASK]."""
    return pylate(modernbert(folder), [{"in_features": HIDDEN, "out_features": 16}])


def mxbai_edge_colbert(folder: Path) -> Path:
    """mixedbread-ai/mxbai-edge-colbert-v0-17m and -32m: two projections, the first wider and residual; no filling."""
    dense = [
        {"in_features": HIDDEN, "out_features": 2 * HIDDEN, "use_residual": True},
        {"in_features": 2 * HIDDEN, "out_features": 12},
    ]
    return pylate(modernbert(folder, pad="[MASK]"), dense, do_query_expansion=False)


def answerai_colbert_small(folder: Path) -> Path:
    """answerdotai/answerai-colbert-small-v1: Stanford's files, their settings in full, exports beside them."""
    checkpoints.stanford(folder, dim=12)
    own = {
        "query_token": "[Q]",
        "doc_token": "[D]",
        "nbits": 1,
        "pool_factor": 1,
        "similarity": "cosine",
        "dim": 12,
        "interaction": "colbert",
        "checkpoint": "answerdotai/AnswerAI-ColBERTv2.5-small",
        "relu": False,
        "schedule_free": False,
        "kldiv_loss": True,
        "clustering_mode": "hierarchical",
    }
    path = folder / "artifact.metadata"
    _write(path, {**json.loads(path.read_text()), **own})
    (folder / "vespa_colbert.onnx").write_bytes(b"onnx")
    _write(folder / "onnx" / "config.json", {"model_type": "bert"})
    return folder


def distilbert(folder: Path) -> Path:
    """DistilBERT with a masked-LM head, as most sparse encoders have it."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    shape = DistilBertConfig(
        vocab_size=len(checkpoints.vocabulary()),
        dim=HIDDEN,
        hidden_dim=64,
        n_layers=2,
        n_heads=2,
        max_position_embeddings=POSITIONS,
        initializer_range=0.3,
    )
    model = DistilBertForMaskedLM(shape)
    torch.nn.init.normal_(model.vocab_projector.bias, -2.0, 1.0)
    model.save_pretrained(folder)
    checkpoints.make_tokenizer(folder)
    return folder


def opensearch_v2_distill(folder: Path) -> Path:
    """opensearch-project/opensearch-neural-sparse-encoding-v2-distill: both sides through the model."""
    distilbert(folder)
    write_modules(folder, [("", f"{_SPARSE}.MLMTransformer"), ("1_SpladePooling", f"{_SPARSE}.SpladePooling")])
    _pooling(folder / "1_SpladePooling", "relu")
    return folder


def opensearch_doc(folder: Path, activation: str) -> Path:
    """…-encoding-doc-v2-distill (relu) and -doc-v3-distill (log1p_relu): the transformer at the root of a Router."""
    distilbert(folder)
    write_modules(folder, [("", "sentence_transformers.models.Router")])
    query, pooling = "query_0_SparseStaticEmbedding", "document_1_SpladePooling"
    types = {
        query: f"{_SPARSE}.SparseStaticEmbedding.SparseStaticEmbedding",
        "": f"{_SPARSE}.MLMTransformer.MLMTransformer",
        pooling: f"{_SPARSE}.SpladePooling.SpladePooling",
    }
    structure = {"query": [query], "document": ["", pooling]}
    parameters = {"default_route": "document", "allow_empty_key": True}
    _write(folder / "router_config.json", {"types": types, "structure": structure, "parameters": parameters})
    _pooling(folder / pooling, activation)
    torch.manual_seed(3)
    table = torch.rand(len(checkpoints.vocabulary()))
    _write(folder / query / "config.json", {"frozen": False})
    save_file({"weight": table}, folder / query / "model.safetensors")
    checkpoints.make_tokenizer(folder / query)
    weights = dict(zip(checkpoints.vocabulary(), table.tolist(), strict=True))
    _write(folder / "idf.json", weights)
    (folder / "query_token_weights.txt").write_text("".join(f"{w}\t{x}\n" for w, x in weights.items()))
    return folder


def splade_v3(folder: Path) -> Path:
    """naver/splade-v3 and -distilbert: BERT with its masked-LM head and the trainer's files; weights as a pickle."""
    checkpoints.masked_lm(folder)
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    for name in ("data_args", "model_args", "training_args"):
        _write(folder / f"{name}.json", {"max_length": 256})
    return folder


def bge_m3(folder: Path, dim: int = 12) -> Path:
    """BAAI/bge-m3: XLM-RoBERTa with a Unigram tokenizer, pooling of the first token, and two maps as pickles."""
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    backend = Tokenizer(models.Unigram())
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=120,
        special_tokens=[*special, "<mask>"],
        unk_token="<unk>",
        initial_alphabet=list(string.ascii_lowercase),
    )
    backend.train_from_iterator([f"{a} {b}" for a in WORDS for b in WORDS], trainer)
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    names = ("bos_token", "pad_token", "eos_token", "unk_token")
    tokens = {**dict(zip(names, special, strict=True)), "cls_token": "<s>", "sep_token": "</s>", "mask_token": "<mask>"}
    words = PreTrainedTokenizerFast(tokenizer_object=backend, model_max_length=POSITIONS, **tokens)
    words.save_pretrained(folder)
    torch.manual_seed(0)
    shape = XLMRobertaConfig(
        vocab_size=len(words),
        hidden_size=HIDDEN,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=POSITIONS + 2,
        type_vocab_size=1,
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
        initializer_range=0.3,
    )
    XLMRobertaModel(shape, add_pooling_layer=False).save_pretrained(folder)
    torch.save({"weight": torch.randn(dim, HIDDEN), "bias": torch.randn(dim)}, folder / "colbert_linear.pt")
    torch.save({"weight": torch.randn(1, HIDDEN) / 5, "bias": torch.full((1,), 0.2)}, folder / "sparse_linear.pt")
    kinds = {"": "Transformer", "1_Pooling": "Pooling", "2_Normalize": "Normalize"}
    write_modules(folder, [(path, f"sentence_transformers.models.{kind}") for path, kind in kinds.items()])
    _write(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": HIDDEN, "pooling_mode_cls_token": True})
    _write(folder / "sentence_bert_config.json", {"max_seq_length": 40, "do_lower_case": False})
    _write(folder / "config_sentence_transformers.json", {"__version__": {"sentence_transformers": "2.2.2"}})
    return folder


def _pooling(folder: Path, activation: str) -> None:
    own = {"pooling_strategy": "max", "activation_function": activation, "word_embedding_dimension": None}
    _write(folder / "config.json", own)
    about = {"model_type": "SparseEncoder", "similarity_fn_name": "dot", **PROMPTS}
    _write(folder.parent / "config_sentence_transformers.json", about)
    _write(folder.parent / "sentence_bert_config.json", {"max_seq_length": 40, "do_lower_case": False})


def _write(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
