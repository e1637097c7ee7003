"""Loading and running encoders of the library transformers.

Only this module depends on how transformers structures its models. The models use
hidden states, the transform of the masked-LM head, and its decoder matrix.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    PretrainedConfig,
    PreTrainedModel,
)
from transformers.activations import GELUActivation
from transformers.utils import logging as transformers_logging

from cherche_models import quantized
from cherche_models.errors import CheckpointError, UnsafeCheckpointError

_Parts: TypeAlias = Any
"""A transformers model, whose sub-modules are named differently in each family."""
_Transform = Callable[[_Parts, Tensor], Tensor]

LOADING = threading.RLock()
"""Held while a model is made: transformers replaces torch's initializers in the whole process meanwhile."""


class Backbone(nn.Module):
    """An encoder, with its masked-LM head where the checkpoint has one.

    Parameters
    ----------
    model : PreTrainedModel
        A masked-LM model, or a bare encoder.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model
        self._transform = _transform_of(model)

    @property
    def has_vocabulary(self) -> bool:
        """Whether there is a masked-LM head."""
        return self._transform is not None

    @property
    def hidden_size(self) -> int:
        """Width of a hidden state."""
        return int(self.model.config.hidden_size)

    @property
    def tokens(self) -> int:
        """Token ids that have an embedding."""
        model: Any = self.model
        return int(model.get_input_embeddings().num_embeddings)

    @property
    def max_length(self) -> int:
        """Maximum length in tokens, including special tokens."""
        config = self.model.config
        known = int(getattr(config, "max_position_embeddings", 0) or 512)
        offset = int(config.pad_token_id or 0) + 1 if config.model_type in _OFFSET_POSITIONS else 0
        return known - offset

    @property
    def settings(self) -> frozenset[str]:
        """Names of the settings of ``config.json`` that this kind of encoder has."""
        kind = type(self.model.config)
        return frozenset(kind().to_dict()) | frozenset(kind.attribute_map)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.model.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """Type of the weights."""
        return next(self.model.parameters()).dtype

    @property
    def decoder(self) -> nn.Linear:
        """The matrix from transformed hidden states to vocabulary logits.

        Raises
        ------
        ValueError
            If the checkpoint has no masked-LM head.
        """
        model: Any = self.model
        decoder = model.get_output_embeddings() if self.has_vocabulary else None
        if isinstance(decoder, nn.Linear):
            return decoder
        raise ValueError(_NO_HEAD)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Last hidden states, without the masked-LM head.

        Parameters
        ----------
        input_ids, attention_mask : int64 tensors, shape (batch, length)

        Returns
        -------
        Tensor, shape (batch, length, hidden)
        """
        encoder = self.model.base_model
        output = encoder(input_ids=input_ids, attention_mask=attention_mask)
        hidden: Tensor = output.last_hidden_state
        return hidden

    def transform(self, hidden: Tensor) -> Tensor:
        """The masked-LM head's transform before its decoder; any leading shape."""
        if self._transform is None:
            raise ValueError(_NO_HEAD)
        return self._transform(self.model, hidden)

    def save(self, folder: Path, *, encoder_only: bool = False) -> None:
        """Write config.json and model.safetensors; a tied decoder is stored once."""
        model: Any = self.model.base_model if encoder_only else self.model
        architectures = self.model.config.architectures
        with _quiet():
            model.save_pretrained(str(folder))
        (folder / quantized.FILE).unlink(missing_ok=True)
        self.model.config.architectures = architectures


def load(
    folder: Path,
    *,
    vocabulary: bool,
    dtype: torch.dtype = torch.float32,
    allow_pickle: bool = False,
    new_vocabulary: bool = False,
) -> Backbone:
    """Load an encoder from a checkpoint folder, on the CPU and in eval mode.

    Parameters
    ----------
    folder : Path
    vocabulary : bool
        Load the masked-LM head too.
    dtype : torch.dtype
        Weights of another type, int8 too, are converted.
    allow_pickle : bool
        Accept ``pytorch_model.bin`` too; only for files you trust.
    new_vocabulary : bool
        A masked-LM head that the checkpoint lacks is initialised at random; see `train.vocabulary`.

    Raises
    ------
    CheckpointError
        If files are missing or damaged, or lack weights, which would be random.
    """
    needs = "use a masked-LM checkpoint for term weights, or force architecture='colbert'"
    kind = AutoModelForMaskedLM if vocabulary else AutoModel
    needs = needs if vocabulary else "use a complete checkpoint"
    backbone = Backbone(_load(folder, kind, dtype, allow_pickle, needs, new_vocabulary and vocabulary))
    backbone.eval()
    return backbone


def load_classifier(folder: Path, dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    """Load a cross-encoder: a sequence classification checkpoint with one label; safetensors only.

    Raises
    ------
    CheckpointError
        If files are missing or damaged, lack the head, or it has several labels.
    """
    model = _load(folder, AutoModelForSequenceClassification, dtype, False, "use a cross-encoder's checkpoint")
    if model.config.num_labels != 1:
        raise CheckpointError(
            f"{folder} has {model.config.num_labels} labels, a cross-encoder has one",
            "use a cross-encoder's checkpoint",
        )
    return model


def is_exact_gelu(activation: object) -> bool:
    """Whether a model's activation is ``x Phi(x)``, not one of its approximations."""
    return type(activation) is GELUActivation and activation.act is nn.functional.gelu


def _load(
    folder: Path, kind: _Parts, dtype: torch.dtype, allow_pickle: bool, needs: str, new_head: bool = False
) -> PreTrainedModel:
    _check_files(folder, allow_pickle)
    try:
        with LOADING:
            config = AutoConfig.from_pretrained(str(folder), trust_remote_code=False, local_files_only=True)
            model, info = _from_pretrained(folder, config, kind, dtype, allow_pickle)
    except Exception as error:  # a setting of a wrong type or value is found anywhere, by a division by zero too
        _check_code(folder)
        raise CheckpointError(
            f"{folder} cannot be loaded: {' '.join(str(error).split()) or type(error).__name__}",
            "check that it is a complete checkpoint of an architecture that transformers knows",
        ) from error
    _check_sizes(folder, info["mismatched_keys"])
    missing = sorted(key for key in info["missing_keys"] if not (new_head and _is_head(model, key)))
    if missing:
        _check_code(folder)
        raise CheckpointError(
            f"{folder} lacks {len(missing)} of the tensors it needs ({', '.join(missing[:3])}), which would be random",
            needs,
        )
    _check_layers(folder, info["unexpected_keys"])
    return model


def _check_sizes(folder: Path, mismatched: Collection[tuple[str, Sequence[int], Sequence[int]]]) -> None:
    """Refuse tensors of other sizes than ``config.json`` says."""
    if mismatched:
        name, stored, wanted = min(mismatched)
        raise CheckpointError(
            f"{folder} has {name} of the shape {tuple(stored)}, but the sizes in its config.json (vocab_size, "
            f"hidden_size, intermediate_size, max_position_embeddings, …) make it {tuple(wanted)}",
            "correct config.json, or restore the weights that belong to it",
        )


def _check_layers(folder: Path, unexpected: Iterable[str]) -> None:
    """Refuse layers that ``config.json`` does not count."""
    beyond = [(int(found[1]), key) for key in unexpected if (found := _LAYER.search(key))]
    if beyond:
        last, name = max(beyond)
        raise CheckpointError(
            f"{folder} has the tensors of {last + 1} layers ({name}), but its config.json has fewer "
            "(num_hidden_layers): the others would be left out",
            f"set num_hidden_layers to {last + 1}, or save the model without the layers that it does not use",
        )


def _check_code(folder: Path) -> None:
    """Name its author's code as the reason why a checkpoint cannot be loaded, if it asks for some."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except ValueError:
        return
    asked = config.get("auto_map") if isinstance(config, dict) else None
    if asked:
        named = ", ".join(str(one) for one in (asked.values() if isinstance(asked, dict) else [asked]))
        raise CheckpointError(
            f"{folder} needs code of its author ({named}), which is never run here",
            f"use a model of an architecture that transformers has itself; {config.get('model_type')!r} with this code "
            "is none",
        )


def _is_head(model: PreTrainedModel, key: str) -> bool:
    """Whether a tensor is outside the encoder."""
    return not key.startswith(f"{model.base_model_prefix}.")


_NO_HEAD = (
    "this checkpoint has no masked-LM head of a known kind (BERT, DistilBERT, RoBERTa, ALBERT, ELECTRA, ModernBERT "
    "and similar ones), which term weights need"
)
_LAYER = re.compile(r"(?:^|\.)\w*(?:layers?|blocks?)\.(\d+)\.")
_OFFSET_POSITIONS = frozenset({"roberta", "xlm-roberta", "camembert", "mpnet"})
_POOLED = frozenset({"bert", "roberta", "xlm-roberta", "camembert", "mpnet"})


def _check_files(folder: Path, allow_pickle: bool) -> None:
    if not (folder / "config.json").is_file():
        raise CheckpointError(f"{folder} has no config.json", "name the folder that holds the checkpoint")
    if any(folder.glob("*.safetensors")):
        return
    if not any(folder.glob("pytorch_model*.bin")):
        raise CheckpointError(
            f"{folder} has no model.safetensors",
            "complete the checkpoint; one that has a pickle instead: cherche models export --allow-pickle",
        )
    if not allow_pickle:
        raise UnsafeCheckpointError(
            f"{folder} has its weights only as a pickle (pytorch_model.bin)",
            "if you trust its author, pass allow_pickle=True, or convert it: cherche models export --allow-pickle",
        )


def _from_pretrained(
    folder: Path, config: PretrainedConfig, kind: _Parts, dtype: torch.dtype, allow_pickle: bool
) -> tuple[PreTrainedModel, dict[str, Any]]:
    unused = {"add_pooling_layer": False} if kind is AutoModel and config.model_type in _POOLED else {}
    source: dict[str, Any] = {"pretrained_model_name_or_path": str(folder)}
    if (folder / quantized.FILE).is_file() and not (folder / "model.safetensors").is_file():
        source = {"pretrained_model_name_or_path": None, "state_dict": quantized.load(folder, dtype)}
        # transformers takes tensors in place of a folder, but not through its Auto classes, which (5.24) want a folder.
        with torch.device("meta"):
            kind = type(kind.from_config(config, trust_remote_code=False))
    with _quiet():
        model, info = kind.from_pretrained(
            **source,
            config=config,
            # Of another type it would be the process's default meanwhile, also for models that are encoding.
            dtype=torch.float32,
            trust_remote_code=False,
            local_files_only=True,
            use_safetensors=None if allow_pickle else True,
            ignore_mismatched_sizes=True,  # they are named by `_check_sizes`
            output_loading_info=True,
            **unused,
        )
    # Not the buffers: a cast of ModernBERT's rotary frequencies changes its encodings.
    for parameter in model.parameters():
        parameter.data = parameter.data.to(dtype)
    return model, info


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress transformers' logs and progress bars; load problems are raised as errors."""
    reports: Any = transformers_logging
    verbosity, bar = reports.get_verbosity(), reports.is_progress_bar_enabled()
    reports.set_verbosity_error()
    reports.disable_progress_bar()
    try:
        yield
    finally:
        reports.set_verbosity(verbosity)
        if bar:
            reports.enable_progress_bar()


def _transform_of(model: PreTrainedModel) -> _Transform | None:
    """The transform of a masked-LM head before its decoder, by model family."""
    if hasattr(model, "cls") and hasattr(model.cls, "predictions"):
        return _bert
    if hasattr(model, "vocab_transform"):
        return _distilbert
    if hasattr(model, "predictions") and hasattr(model.predictions, "LayerNorm"):
        return _albert
    if hasattr(model, "lm_head") and hasattr(model.lm_head, "layer_norm"):
        return _roberta
    if hasattr(model, "generator_predictions"):
        return _electra
    return _modernbert if hasattr(model, "head") and hasattr(model, "decoder") else None


def _bert(model: _Parts, hidden: Tensor) -> Tensor:
    transformed: Tensor = model.cls.predictions.transform(hidden)
    return transformed


def _distilbert(model: _Parts, hidden: Tensor) -> Tensor:
    transformed: Tensor = model.vocab_layer_norm(model.activation(model.vocab_transform(hidden)))
    return transformed


def _albert(model: _Parts, hidden: Tensor) -> Tensor:
    head = model.predictions
    transformed: Tensor = head.LayerNorm(head.activation(head.dense(hidden)))
    return transformed


def _roberta(model: _Parts, hidden: Tensor) -> Tensor:
    transformed: Tensor = model.lm_head.layer_norm(nn.functional.gelu(model.lm_head.dense(hidden)))
    return transformed


def _electra(model: _Parts, hidden: Tensor) -> Tensor:
    transformed: Tensor = model.generator_predictions(hidden)
    return transformed


def _modernbert(model: _Parts, hidden: Tensor) -> Tensor:
    transformed: Tensor = model.head(hidden)
    return transformed
