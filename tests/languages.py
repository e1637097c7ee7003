"""Tiny random masked-LM checkpoints whose vocabularies are not 30,522 English word-pieces."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerFast

TEXTS = {
    "english": "neural search of the brain",
    "chinese": "深層学習による検索",
    "arabic": "مرحبا بالعالم العربي",
    "russian": "поиск по документам",
    "emoji": "🦆🔎👩🏽‍🔬",
    "mixed": "search 検索 🦆",
}
ENGLISH = tuple(
    "neural search of the brain and the heart, a cell in the document; queries find documents they weigh".split()  # noqa: SIM905
)
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
SYLLABLES = ("ka lo mi ne ru sta to vi wen zu", "пра сто ме ни до", "با لم نو سي در")
LETTERS = "abcdefghijklmnopqrstuvwxyz▁é"


def unigram(folder: Path, size: int = 4000, *, byte_fallback: bool = True) -> Path:
    """Sentencepiece as XLM-R has it: pieces of many scripts, their scores, bytes for the rest."""
    backend = Tokenizer(models.Unigram(_pieces(size, byte_fallback), unk_id=3, byte_fallback=byte_fallback))
    backend.normalizer = normalizers.NFKC()
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    return _checkpoint(folder, backend)


def byte_level(folder: Path) -> Path:
    """BPE over bytes as GPT-2 and RoBERTa have it, learned from English alone."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=600, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False, min_frequency=1
    )
    backend.train_from_iterator([" ".join(ENGLISH)] * 3, trainer)
    return _checkpoint(folder, backend)


def word_pieces(folder: Path) -> Path:
    """WordPiece with single letters of other scripts beside English words, as bert-base-uncased has them."""
    english = [*ENGLISH, *(f"{a}{b}" for a, b in itertools.product("bcdfgh", "aeiou"))]
    letters = [chr(c) for c in (*range(0x61, 0x7B), *range(0x30, 0x3A), *range(0x430, 0x450), *range(0x627, 0x64B))]
    names = [*SPECIAL, *english, *letters, *(f"##{letter}" for letter in letters), *",.;?", "習", "検"]
    backend = Tokenizer(models.WordPiece({token: i for i, token in enumerate(dict.fromkeys(names))}, unk_token="<unk>"))
    backend.normalizer = normalizers.BertNormalizer()
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    return _checkpoint(folder, backend)


def _pieces(size: int, byte_fallback: bool) -> list[tuple[str, float]]:
    """Words first, then characters, bytes, and made-up words up to the size."""
    words = [f"▁{word}" for text in [*TEXTS.values(), " ".join(ENGLISH)] for word in text.split()]
    signs = sorted({sign for text in TEXTS.values() for sign in text if sign != " "} | set(LETTERS))
    signs += [chr(0x4E00 + i) for i in range(size // 8)] + [chr(0x621 + i) for i in range(40)]
    own = [f"<0x{byte:02X}>" for byte in range(256)] if byte_fallback else []
    names = dict.fromkeys([*SPECIAL, *own, *words, *signs])
    names |= dict.fromkeys(itertools.islice((word for word in _words() if word not in names), size - len(names)))
    return [(name, 0.0 if name in SPECIAL else -2.0 - i / size) for i, name in enumerate(names)]


def _words() -> Iterator[str]:
    """Made-up words of each script in turn, as long as there are any."""
    scripts = [itertools.product(syllables.split(), repeat=6) for syllables in SYLLABLES]
    for turn in itertools.zip_longest(*scripts):
        yield from ("▁" + "".join(parts) for parts in turn if parts)


def _checkpoint(folder: Path, backend: Tokenizer) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    start, end = backend.token_to_id("<s>"), backend.token_to_id("</s>")
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", start), ("</s>", end)]
    )
    names = {"bos_token": "<s>", "cls_token": "<s>", "eos_token": "</s>", "sep_token": "</s>"}
    names |= {"pad_token": "<pad>", "unk_token": "<unk>", "mask_token": "<mask>"}
    PreTrainedTokenizerFast(tokenizer_object=backend, model_max_length=64, **names).save_pretrained(folder)
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    torch.manual_seed(0)
    model = BertForMaskedLM(
        BertConfig(vocab_size=backend.get_vocab_size(), max_position_embeddings=64, initializer_range=0.3, **shape)
    )
    torch.nn.init.normal_(model.cls.predictions.bias, -2.0, 1.0)
    model.save_pretrained(folder)
    return folder
