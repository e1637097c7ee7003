"""What can be wrong with a checkpoint or a text."""

from __future__ import annotations


class CheckpointError(ValueError):
    """A model cannot be loaded from a folder.

    Attributes
    ----------
    reason : str
        What is wrong, naming the folder or file.
    next_step : str
        What mends it.
    """

    def __init__(self, reason: str, next_step: str) -> None:
        super().__init__(f"{reason} — {next_step}")
        self.reason = reason
        self.next_step = next_step


class UnsafeCheckpointError(CheckpointError):
    """The weights are pickled, and unpickling can run code."""


class ItemError(ValueError):
    """One text of a batch cannot be encoded; the others can.

    Attributes
    ----------
    position : int
        Of the text, in the caller's list.
    """

    def __init__(self, position: int, reason: str) -> None:
        super().__init__(f"text {position} {reason}")
        self.position = position
        self.reason = reason


class DataError(ValueError):
    """A line of training data is no example, or there is none to train on.

    Attributes
    ----------
    where : str
        File and line, or what the data is called.
    reason : str
    next_step : str
        What mends it.
    """

    def __init__(self, where: str, reason: str, next_step: str) -> None:
        super().__init__(f"{where}: {reason} — {next_step}")
        self.where = where
        self.reason = reason
        self.next_step = next_step
