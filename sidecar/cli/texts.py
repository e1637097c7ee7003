"""Texts named on a command line: given as words, in files, or on stdin."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from cherche_models.evaluate import formats
from sidecar.errors import invalid


def read_texts(arguments: Sequence[str]) -> list[str]:
    """One text per argument; a file's name stands for its lines, "-" or nothing for those of stdin.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT where a file is not UTF-8, or there is no text at all.
    """
    texts: list[str] = []
    for argument in arguments or ("-",):
        if argument == "-":
            texts.extend(lines_of(sys.stdin.buffer.read(), "stdin"))
        elif _is_file(argument):
            texts.extend(lines_of(Path(argument).read_bytes(), argument))
        else:
            texts.append(argument)
    if not texts:
        raise invalid("there is no text", "give texts, a file with one text per line, or - for stdin")
    return texts


def _is_file(argument: str) -> bool:
    try:
        return Path(argument).is_file()
    except (OSError, ValueError):  # too long or too odd for a file name: a text
        return False


def lines_of(data: bytes, name: str) -> list[str]:
    """The lines of a file of texts that are not blank; `name` is the file's, for errors.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT where it is not UTF-8, naming its format if that is known.
    """
    if other := formats.of_text(data[: formats.START]):
        raise invalid(f"{name} is {other.name}, not text in UTF-8", other.next_step)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise invalid(f"{name} is not UTF-8 at byte {error.start}", "convert it with iconv") from error
    return [line for line in text.split("\n") if line.strip()]
