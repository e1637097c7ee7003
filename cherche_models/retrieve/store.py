"""Index files: safetensors with a JSON header in the metadata; no pickle."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from cherche_models.utils.documents import Key

VERSION = 1


@dataclass(frozen=True, slots=True)
class Header:
    """The header of an index file.

    Attributes
    ----------
    kind : str
        Of retriever.
    key : str
    on : tuple of str
    settings : dict
        Of the retriever, as JSON values.
    ids : list of str or int
    """

    kind: str
    key: str
    on: tuple[str, ...]
    settings: dict[str, Any]
    ids: list[Key]


def write(path: Path, header: Header, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write a file atomically: to a temporary file in the same folder, which then replaces `path`."""
    text = json.dumps(
        {
            "version": VERSION,
            "kind": header.kind,
            "key": header.key,
            "on": header.on,
            "settings": header.settings,
            "ids": header.ids,
        }
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, scratch = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(descriptor)
    try:
        tensors = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        save_file(tensors, scratch, metadata={"cherche": text})
        os.replace(scratch, path)
    except BaseException:
        Path(scratch).unlink(missing_ok=True)
        raise


def read(path: Path, kind: str, *, mapped: bool = False) -> tuple[Header, dict[str, NDArray[Any]]]:
    """Read a file.

    Parameters
    ----------
    path : Path
    kind : str
        Of retriever.
    mapped : bool
        Memory-map the arrays, read-only.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is not an index, of another kind, or of another version.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            text = (file.metadata() or {}).get("cherche")
            names = list(file.keys())
            arrays = _mapped(path) if mapped else {name: file.get_tensor(name) for name in names}
    except SafetensorError as error:
        raise ValueError(f"{path} is not an index: {error}") from error
    if text is None:
        raise ValueError(f"{path} is not an index: it is a safetensors file without an index header")
    return _header(path, json.loads(text), kind), arrays


_TYPES = {"U8": "<u1", "U16": "<u2", "I32": "<i4", "I64": "<i8", "F16": "<f2", "F32": "<f4"}


def _mapped(path: Path) -> dict[str, NDArray[Any]]:
    """Memory-mapped arrays of a safetensors file: a u64 length, a JSON header, then the bytes."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
    data = np.memmap(path, np.uint8, "r")[8 + length :]
    found = {}
    for name, tensor in header.items():
        if name != "__metadata__":
            start, end = tensor["data_offsets"]
            found[name] = data[start:end].view(_TYPES[tensor["dtype"]]).reshape(tensor["shape"])
    return found


def _header(path: Path, found: dict[str, Any], kind: str) -> Header:
    if found["version"] != VERSION:
        raise ValueError(
            f"{path} has version {found['version']}, this release reads {VERSION}: encode the documents again, "
            "or load it with the release that wrote it"
        )
    if found["kind"] != kind:
        raise ValueError(f"{path} is an index of kind {found['kind']!r}, not {kind!r}: load it with that class")
    return Header(kind, found["key"], tuple(found["on"]), found["settings"], found["ids"])
