"""Load and save models: one door for all layouts, and the only one to a hub."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import torch
from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

from cherche_models import backbone, tokenizer
from cherche_models.codes import codebook
from cherche_models.errors import CheckpointError
from cherche_models.layouts import (
    multi_vector,
    neural_cherche,
    plain,
    pylate,
    router,
    settings,
    sparse_encoder,
    stanford,
)
from cherche_models.layouts.card import card as made_card
from cherche_models.layouts.digest import PICKLES, WEIGHTS, digest
from cherche_models.layouts.request import ARCHITECTURES, Architecture, Request
from cherche_models.models import ColBERT, CrossEncoder, InferenceFree, Joint, Model, SparseEmbed, Splade
from cherche_models.runtime.device import named_dtype, pick_device, pick_dtype

PRETRAINED = Path(__file__).parent / "pretrained"
"""Folder of the models that ship with the library."""

Format = Literal["sentence-transformers", "pylate", "neural-cherche", "onnx"]
Loader = Callable[[Path, Request], Model]

_LAYOUTS: tuple[tuple[Callable[[Path], bool], Loader], ...] = (
    (router.matches, router.load),
    (neural_cherche.matches, neural_cherche.load),
    (sparse_encoder.matches, sparse_encoder.load),
    (multi_vector.matches, multi_vector.load),
    (pylate.matches, pylate.load),
    (stanford.matches, stanford.load),
)
_TEXTS = ("*.json", "*.txt", "*.model", "artifact.metadata")
_PUSHED = (
    *("*.safetensors", *_TEXTS, "README.md", "LICENSE*", "*.svg", "*.png"),
    *("*/*.safetensors", "*/*.json", "*/*.txt", "onnx/model.onnx*"),
)


def load(
    source: str | Path,
    *,
    device: str | None = None,
    dtype: str | None = None,
    architecture: Architecture | None = None,
    revision: str | None = None,
    allow_pickle: bool = False,
    new_head: bool = False,
    dim: int = 128,
    runtime: Literal["torch", "onnx"] = "torch",
) -> Model:
    """Load a model, whatever library saved it.

    Known are sentence-transformers' SparseEncoder (with a Router too) and MultiVectorEncoder,
    PyLate's, Stanford's and neural-cherche's ColBERT, neural-cherche's SPLADE and
    SparseEmbed, our own joint layout, and any masked-LM checkpoint, which is
    taken for SPLADE.

    Parameters
    ----------
    source : str or Path
        A folder, or the id of a repository on the hub, such as ``naver/splade-v3``.
    device : str or None
        ``cpu``, ``cuda``, ``cuda:1``, ``mps``; None for the best there is.
    dtype : str or None
        ``fp32``, ``bf16``, ``fp16``; None for bf16 where the device has it, else fp32.
    architecture : str or None
        Forces one of `ARCHITECTURES`.
    revision : str or None
        Branch, tag or commit on the hub.
    allow_pickle : bool
        Accept ``pytorch_model.bin``; only for files you trust.
    new_head : bool
        Accept a random projection where the checkpoint has none: for training.
    dim : int
        Width of such a projection.
    runtime : {"torch", "onnx"}
        What multiplies the encoder's matrices; onnx reads ``onnx/model.onnx``, which
        `export` writes, on the CPU and in float32.

    Raises
    ------
    CheckpointError
        If there is no such model, or it cannot be loaded.
    UnsafeCheckpointError
        If loading it could run its author's code.
    ValueError
        If the device, type or architecture is unknown here.
    """
    if architecture is not None and architecture not in ARCHITECTURES:
        raise ValueError(f"unknown architecture {architecture!r}: use one of {', '.join(ARCHITECTURES)}")
    target = pick_device(device)
    wanted = "fp32" if runtime == "onnx" and dtype is None else dtype
    request = Request(architecture, pick_dtype(wanted, target), allow_pickle, new_head, dim)
    folder = resolve(source, revision, allow_pickle=allow_pickle, onnx=runtime == "onnx")
    model = _loader(folder)(folder, request)
    settings.apply_tuned(model, folder)
    model.digest = digest(folder, model.architecture)
    model.codebook = load_codebook(folder) if model.late_interaction else None
    model.eval()
    if runtime == "onnx":
        _use_onnx(model, folder)
    return model.to(target)


def load_cross_encoder(
    source: str | Path,
    *,
    device: str | None = None,
    dtype: str | None = None,
    max_length: int = 0,
    revision: str | None = None,
) -> CrossEncoder:
    """Load a cross-encoder that sentence-transformers or transformers saved; safetensors only.

    Parameters
    ----------
    source : str or Path
        A folder, or the id of a repository on the hub.
    device, dtype : str or None
        None for the best there is.
    max_length : int
        Tokens of a pair; 0 for the longest that the checkpoint reads.
    revision : str or None
        Branch, tag or commit on the hub.

    Raises
    ------
    CheckpointError
        If there is no such checkpoint, it cannot be loaded, or it has several labels.
    ValueError
        If the device or type is unknown here, or `max_length` more than the checkpoint reads.
    """
    target = pick_device(device)
    folder = resolve(source, revision)
    model, words = backbone.load_classifier(folder, pick_dtype(dtype, target)), tokenizer.load(folder)
    longest = min(backbone.Backbone(model).max_length, words.model_max_length)
    if max_length > longest:
        raise ValueError(f"{folder} reads {longest} tokens, not {max_length}")
    found: CrossEncoder = CrossEncoder(model, words, max_length or longest).eval().to(target)
    return found


def resolve(source: str | Path, revision: str | None = None, *, allow_pickle: bool = False, onnx: bool = False) -> Path:
    """The folder of a model: `source` itself, or its copy in the hub's cache.

    Raises
    ------
    CheckpointError
        If there is neither such a folder nor such a repository.
    """
    folder = Path(source).expanduser()
    if folder.is_dir():
        return folder
    if isinstance(source, Path) or _is_path(str(source)):
        raise CheckpointError(f"{source} is not a folder", "name a model's folder, or an id on the hub")
    wanted = [*_TEXTS, *WEIGHTS, *(PICKLES if allow_pickle else ()), *(["onnx/model.onnx*"] if onnx else ())]
    try:
        return Path(snapshot_download(str(source), revision=revision, allow_patterns=wanted))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise CheckpointError(
            f"{source} is neither a folder here nor a model that the hub gives out ({error})",
            "check the name, the network and, for a private model, HF_TOKEN",
        ) from error


def save(model: Model, folder: str | Path, *, dtype: str | None = None) -> None:
    """Write a model so that `load` gives it back.

    SPLADE models lie in sentence-transformers' SparseEncoder layout (with a
    folder ``colbert`` for a joint model), ColBERT in PyLate's; ``cherche.json``
    holds what these have no place for.

    Parameters
    ----------
    model : Model
    folder : str or Path
        Made where it is missing; files of the same names are overwritten, another model's codebook removed.
    dtype : str or None
        Stores the weights as ``fp16`` or ``bf16``; None keeps their own type.
    """
    path, stored = Path(folder), None if dtype is None else named_dtype(dtype)
    if isinstance(model, InferenceFree):
        router.save(model, path, stored)
    elif isinstance(model, Splade):
        sparse_encoder.save(model, path, stored)
    elif isinstance(model, ColBERT):
        pylate.save(model, path, stored)
        settings.write(model, path)
    else:
        raise TypeError(f"a {type(model).__name__} has no layout on disk")
    if model.codebook is not None:
        save_codebook(model.codebook, path)
    else:
        (_codebook_folder(path) / codebook.FILE).unlink(missing_ok=True)


def export(model: Model, folder: str | Path, format: Format = "sentence-transformers") -> None:
    """Write what another library loads, with equal results.

    Parameters
    ----------
    model : Model
    folder : str or Path
    format : {"sentence-transformers", "pylate", "neural-cherche", "onnx"}
        The term weights as a SparseEncoder, the token embeddings as a ColBERT, either
        with neural-cherche's two files, or the model as `save` writes it and its encoder
        as a graph beside it, for ``load(folder, runtime="onnx")`` and other runtimes. A
        SparseEncoder has one maximum length in its layout: it cuts queries as documents.

    Raises
    ------
    ValueError
        If the model lacks that head, or reads texts in a way that the other
        library has no setting for.
    """
    path = Path(folder)
    if format == "neural-cherche":
        neural_cherche.save(model, path)
    elif format == "onnx":
        _check_onnx(model)
        from cherche_models.runtime.onnx import export_encoder

        export_encoder(model.backbone, path)
        save(model, path)
    elif format == "pylate" and isinstance(model, ColBERT | Joint):
        pylate.check(model)
        pylate.save(model, path, torch.float32)
    elif format == "sentence-transformers" and isinstance(model, Splade):
        sparse_encoder.check(model)
        if isinstance(model, InferenceFree):
            router.save(model, path, torch.float32)
        else:
            sparse_encoder.save_plain(model, path, torch.float32)
    else:
        raise ValueError(
            f"a {model.architecture} model cannot be exported as {format!r}: "
            "pylate takes token embeddings, sentence-transformers term weights"
        )


def push_to_hub(
    model: Model | str | Path,
    repo_id: str,
    *,
    card: str | None = None,
    private: bool = False,
    token: str | None = None,
    message: str = "Upload model",
) -> str:
    """Upload a model and its card to the hub.

    Parameters
    ----------
    model : Model, str or Path
        A model, or the folder of one: then only files of a model, its card, licence and
        pictures go up, never a pickle.
    repo_id : str
        ``user/name``; made where it is missing.
    card : str or None
        README.md; None for the folder's own, else one that says what the model itself tells.
    private : bool
        Of a repository that is made.
    token : str or None
        None for the one that ``hf auth login`` stored, or HF_TOKEN.
    message : str
        Of the commit.

    Returns
    -------
    str
        Address of the commit.

    Raises
    ------
    CheckpointError
        If a folder holds no model that can be loaded, or the hub refuses.
    """
    with tempfile.TemporaryDirectory() as scratch:
        if isinstance(model, Model):
            folder, described = Path(scratch), model
            save(model, folder)
        else:
            folder, described = Path(model), load(Path(model), device="cpu")
        own = folder / "README.md"
        text = card or (own.read_text(encoding="utf-8") if own.is_file() else made_card(described, repo_id))
        try:
            hub = HfApi(token=token)
            hub.create_repo(repo_id, private=private, exist_ok=True)
            done = hub.upload_folder(
                repo_id=repo_id, folder_path=str(folder), allow_patterns=list(_PUSHED), commit_message=message
            )
            if not own.is_file() or card:
                done = hub.upload_file(
                    repo_id=repo_id,
                    path_or_fileobj=text.encode(),
                    path_in_repo="README.md",
                    commit_message="Describe the model",
                )
        except (HfHubHTTPError, HFValidationError, OSError) as error:
            raise CheckpointError(
                f"the hub does not take {repo_id} ({error})", "check the name, the network and HF_TOKEN"
            ) from error
    return str(done.commit_url)


def has_formats(folder: Path) -> bool:
    """Whether a checkpoint says how it reads texts; if not, it is as transformers saves it."""
    return _loader(folder) is not plain.load or (folder / settings.FILE).is_file()


def load_codebook(folder: Path) -> codebook.Codebook | None:
    """The codebook of a model's folder, made known to this process; None where it has none.

    Raises
    ------
    CheckpointError
        If there is one that cannot be read.
    """
    path = _codebook_folder(folder) / codebook.FILE
    if not path.is_file():
        return None
    try:
        return codebook.register(codebook.load(path))
    except ValueError as error:
        raise CheckpointError(str(error), f"remove {path}, or train it again") from error


def save_codebook(book: codebook.Codebook, folder: Path) -> Path:
    """Put a codebook where `load` finds it: beside the late-interaction head's weights."""
    return book.save(_codebook_folder(folder))


def _codebook_folder(folder: Path) -> Path:
    return folder / "colbert" if (folder / "colbert").is_dir() else folder


def _check_onnx(model: Model) -> None:
    """SparseEmbed picks its terms inside the pass, so that there is no encoder to replace."""
    if isinstance(model, SparseEmbed):
        raise CheckpointError(
            "a sparse_embed model cannot run on ONNX", "its terms are picked within the pass: use torch"
        )


def _use_onnx(model: Model, folder: Path) -> None:
    _check_onnx(model)
    from cherche_models.runtime.onnx import FILE, OnnxRuntime

    model.runtime = OnnxRuntime(model.backbone, folder / FILE)


def _loader(folder: Path) -> Loader:
    return next((loader for matches, loader in _LAYOUTS if matches(folder)), plain.load)


def _is_path(source: str) -> bool:
    return source.startswith((".", "/", "~")) or source.count("/") > 1 or "\\" in source or not source
