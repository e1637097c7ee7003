"""Texts named on a command line: given as words, in files, or on stdin."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

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
            texts.extend(_lines(sys.stdin.buffer.read(), "stdin"))
        elif _is_file(argument):
            texts.extend(_lines(Path(argument).read_bytes(), argument))
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


def _lines(data: bytes, name: str) -> list[str]:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise invalid(f"{name} is not UTF-8 at byte {error.start}", "convert it with iconv") from error
    return [line for line in text.split("\n") if line.strip()]
