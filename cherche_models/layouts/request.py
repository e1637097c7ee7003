"""What is asked of a loader."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from cherche_models.errors import CheckpointError

Architecture = Literal["splade", "sparse_embed", "colbert", "joint", "inference_free"]
ARCHITECTURES: tuple[Architecture, ...] = ("splade", "sparse_embed", "colbert", "joint", "inference_free")


@dataclass(frozen=True, slots=True)
class Request:
    """How to load a folder.

    Attributes
    ----------
    architecture : str or None
        Forces one; None takes what the folder holds.
    dtype : torch.dtype
    allow_pickle : bool
    new_head : bool
        Accept a random projection where the folder has none: for training.
    dim : int
        Width of such a projection.
    """

    architecture: Architecture | None = None
    dtype: torch.dtype = torch.float32
    allow_pickle: bool = False
    new_head: bool = False
    dim: int = 128

    def choose(self, found: Architecture, also: tuple[Architecture, ...], folder: object) -> Architecture:
        """The forced architecture if the layout can give it, else the one found.

        Raises
        ------
        CheckpointError
            If the layout cannot give what was forced.
        """
        wanted = self.architecture or found
        if wanted != found and wanted not in also:
            raise CheckpointError(
                f"{folder} holds a {found} model and cannot be loaded as {wanted}",
                f"leave the architecture out, or use one of: {', '.join((found, *also))}",
            )
        return wanted

    def require_new_head(self, folder: object) -> None:
        """Refuse a random projection that nobody asked for.

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
