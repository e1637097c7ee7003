"""Transformers, loaded safely and run without what is not needed.

The one module that knows how transformers builds its encoders: the models see
hidden states, the transform before the vocabulary, and the decoder's matrix.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoModelForMaskedLM, PreTrainedModel
from transformers.utils import logging as transformers_logging


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
    def max_length(self) -> int:
        """Positions that the encoder knows, special tokens included."""
        config = self.model.config
        known = int(getattr(config, "max_position_embeddings", 0) or 512)
        offset = int(config.pad_token_id or 0) + 1 if config.model_type in _OFFSET_POSITIONS else 0
        return known - offset

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
        decoder = self.model.get_output_embeddings() if self.has_vocabulary else None
        if not isinstance(decoder, nn.Linear):
            raise ValueError("this checkpoint has no masked-LM head: it cannot weigh vocabulary terms")
        return decoder

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Last hidden states; no vocabulary head is run.

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
        """What the masked-LM head does before its decoder; any leading shape."""
        if self._transform is None:
            raise ValueError("this checkpoint has no masked-LM head: it cannot weigh vocabulary terms")
        return self._transform(hidden)


_OFFSET_POSITIONS = frozenset({"roberta", "xlm-roberta", "camembert", "mpnet"})


def load(
    folder: Path,
    *,
    vocabulary: bool,
    dtype: torch.dtype = torch.float32,
    allow_pickle: bool = False,
) -> Backbone:
    """Load an encoder from a checkpoint folder, on the CPU and in eval mode.

    Parameters
    ----------
    folder : Path
    vocabulary : bool
        Whether the masked-LM head is needed.
    dtype : torch.dtype
    allow_pickle : bool
        Accept ``pytorch_model.bin`` too; only for files you trust.

    Raises
    ------
    ValueError
        If weights that are needed are missing: they would be random.
    OSError
        If the folder lacks the configuration or the weights.
    """
    config = AutoConfig.from_pretrained(str(folder), trust_remote_code=False)
    kind = AutoModelForMaskedLM if vocabulary or _is_masked_lm(config) else AutoModel
    kwargs: dict[str, Any] = {} if kind is AutoModelForMaskedLM else _without_pooler(config)
    with _quiet():
        model, info = kind.from_pretrained(
            str(folder),
            config=config,
            dtype=dtype,
            trust_remote_code=False,
            use_safetensors=None if allow_pickle else True,
            output_loading_info=True,
            **kwargs,
        )
    missing = sorted(set(info["missing_keys"]) | {key for key, *_ in info["mismatched_keys"]})
    if missing:
        raise ValueError(
            f"{folder} lacks {len(missing)} of the model's tensors ({', '.join(missing[:3])}): "
            "they would be random. Is it a checkpoint of this architecture?"
        )
    return Backbone(model.eval())


def _is_masked_lm(config: Any) -> bool:
    return any(str(name).endswith("ForMaskedLM") for name in config.architectures or [])


def _without_pooler(config: Any) -> dict[str, Any]:
    return {"add_pooling_layer": False} if config.model_type in _POOLED else {}


_POOLED = frozenset({"bert", "roberta", "xlm-roberta", "camembert", "mpnet"})


@contextmanager
def _quiet() -> Iterator[None]:
    """Loading reports go through our own errors, not to the terminal."""
    verbosity, bar = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bar:
            transformers_logging.enable_progress_bar()


def _transform_of(model: PreTrainedModel) -> Callable[[Tensor], Tensor] | None:
    """The part of a masked-LM head that comes before its decoder, by family."""
    parts: Any = model
    if hasattr(model, "cls") and hasattr(model.cls, "predictions"):
        return _as_function(parts.cls.predictions.transform)
    if hasattr(model, "vocab_transform"):
        return lambda hidden: parts.vocab_layer_norm(parts.activation(parts.vocab_transform(hidden)))
    if hasattr(model, "lm_head") and hasattr(model.lm_head, "layer_norm"):
        return lambda hidden: parts.lm_head.layer_norm(nn.functional.gelu(parts.lm_head.dense(hidden)))
    if hasattr(model, "generator_predictions"):
        return _as_function(parts.generator_predictions)
    if hasattr(model, "head") and hasattr(model, "decoder"):
        return _as_function(parts.head)
    return None


def _as_function(module: nn.Module) -> Callable[[Tensor], Tensor]:
    def call(hidden: Tensor) -> Tensor:
        output: Tensor = module(hidden)
        return output

    return call
