"""Errors of checkpoints, texts and training data."""

from __future__ import annotations


class CheckpointError(ValueError):
    """A model cannot be loaded from a folder.

    Attributes
    ----------
    reason : str
        Naming the folder or file.
    next_step : str
        How to fix it.
    """

    def __init__(self, reason: str, next_step: str) -> None:
        super().__init__(f"{reason} — {next_step}")
        self.reason = reason
        self.next_step = next_step


class UnsafeCheckpointError(CheckpointError):
    """The weights are stored as a pickle, which can execute code when it is loaded."""


class ItemError(ValueError):
    """One text of a batch cannot be encoded.

    Attributes
    ----------
    position : int
        Of the text in the caller's list.
    """

    def __init__(self, position: int, reason: str) -> None:
        super().__init__(f"text {position} {reason}")
        self.position = position
        self.reason = reason


class DataError(ValueError):
    """A row of training data is invalid, or there are no examples.

    Attributes
    ----------
    where : str
        File and line, or the name of the data.
    reason : str
    next_step : str
        How to fix it.
    """

    def __init__(self, where: str, reason: str, next_step: str) -> None:
        super().__init__(f"{where}: {reason} — {next_step}")
        self.where = where
        self.reason = reason
        self.next_step = next_step


class Unreadable(ValueError):
    """Why a model is left to torch, in a few words; see `cherche_models.light`."""
