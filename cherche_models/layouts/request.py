"""How to read a folder, and as which model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import torch

from cherche_models.errors import CheckpointError
from cherche_models.tokenizer import Kind


class Architecture(Protocol):
    """What a layout has to know of a model class; `models.Model` has these as class attributes."""

    @property
    def architecture(self) -> str:
        """Its name."""

    @property
    def sparse(self) -> bool:
        """Whether it gives term weights, for which it needs the masked-LM head."""

    @property
    def late_interaction(self) -> bool:
        """Whether it gives token embeddings, which may have a codebook."""

    @property
    def heads(self) -> tuple[str, ...]:
        """Names of the heads in its checkpoint, beside the encoder and the masked-LM head."""

    @property
    def from_scratch(self) -> bool:
        """Whether its heads may start from random weights."""

    @property
    def terms(self) -> Mapping[Kind, int]:
        """Most terms of a text where the checkpoint does not say; none for all."""


@dataclass(frozen=True, slots=True)
class Request:
    """How to read a folder.

    Attributes
    ----------
    architecture : Architecture or None
        Forces one; None takes what the folder holds.
    known : mapping of name to Architecture
    dtype : torch.dtype
    allow_pickle : bool
    new_head : bool
        Accept a random projection where the folder has none: for training.
    dim : int
        Width of such a projection.
    """

    architecture: Architecture | None = None
    known: Mapping[str, Architecture] = field(default_factory=dict)
    dtype: torch.dtype = torch.float32
    allow_pickle: bool = False
    new_head: bool = False
    dim: int = 128

    def choose(self, found: str, also: Iterable[str], folder: object) -> Architecture:
        """The forced architecture if the layout can give it, else the one found.

        Raises
        ------
        CheckpointError
            If the layout cannot give what was forced.
        """
        if self.architecture is None:
            return self.known[found]
        wanted, possible = self.architecture.architecture, list(dict.fromkeys((found, *also)))
        if wanted not in possible:
            raise CheckpointError(
                f"{folder} holds a {found} model and cannot be loaded as {wanted}",
                f"leave the architecture out, or use one of: {', '.join(possible)}",
            )
        return self.architecture

    def from_scratch(self) -> list[str]:
        """Names of the known architectures that any masked-LM checkpoint can become, with new heads."""
        return [name for name, one in self.known.items() if one.from_scratch]

    def require_new_head(self, folder: object) -> None:
        """Refuse a random projection unless it is requested.

        Raises
        ------
        CheckpointError
            Unless `new_head`.
        """
        if not self.new_head:
            raise CheckpointError(
                f"{folder} has no trained projection to token embeddings",
                "train one: load it with new_head=True",
            )
