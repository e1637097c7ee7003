"""Load, save and publish models, whatever library they come from or go to."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Literal

import torch
from huggingface_hub import HfApi

from cherche_models import backbone, tokenizer
from cherche_models.errors import CheckpointError
from cherche_models.layouts import idf, table
from cherche_models.layouts.card import card as made_card
from cherche_models.layouts.codebooks import load_codebook as load_codebook
from cherche_models.layouts.codebooks import save_codebook as save_codebook
from cherche_models.layouts.digest import digest as digest
from cherche_models.layouts.files import read_json
from cherche_models.layouts.request import Request
from cherche_models.layouts.source import PRETRAINED as PRETRAINED
from cherche_models.layouts.source import REFUSALS, TEXTS
from cherche_models.layouts.source import resolve as resolve
from cherche_models.models import ARCHITECTURES, CrossEncoder, Model
from cherche_models.runtime.calibration import Choice
from cherche_models.runtime.device import named_dtype, pick_device, pick_dtype, preferred

_ALIGNMENT = 64  # bytes: a cache line, and the widest vector register
Format = Literal["sentence-transformers", "pylate", "neural-cherche", "onnx", "int8", "cherche"]

_PUSHED = (
    *("*.safetensors", *TEXTS, "README.md", "LICENSE*", "*.svg", "*.png"),
    *("*/*.safetensors", "*/*.json", "*/*.txt", "onnx/model.onnx*"),
)


def load(
    source: str | Path,
    *,
    device: str | None = None,
    dtype: str | None = None,
    architecture: str | None = None,
    revision: str | None = None,
    allow_pickle: bool = False,
    new_head: bool = False,
    dim: int = 128,
    runtime: Literal["torch", "onnx"] = "torch",
) -> Model:
    """Load a model, whatever library saved it.

    Known are sentence-transformers' SparseEncoder (with a Router too) and MultiVectorEncoder,
    PyLate's, Stanford's and neural-cherche's ColBERT, neural-cherche's SPLADE and
    SparseEmbed, BGE-M3, our own joint layout, any sentence encoder, whose token embeddings are
    taken for a ColBERT's, and any masked-LM checkpoint, which is taken for SPLADE.

    Parameters
    ----------
    source : str or Path
        A folder, ``cherche-small`` or ``cherche-tiny`` for a model in the package, or the id of a repository on
        the hub, such as ``naver/splade-v3``.
    device : str or None
        ``cpu``, ``cuda``, ``cuda:1``, ``mps``; None for the best there is.
    dtype : str or None
        ``fp32``, ``bf16``, ``fp16``; None for what `preferred` finds the fastest.
    architecture : str or None
        Forces one of `models.ARCHITECTURES`.
    revision : str or None
        Branch, tag or commit on the hub.
    allow_pickle : bool
        Accept ``pytorch_model.bin``; only for files you trust.
    new_head : bool
        Accept a random projection where the checkpoint has none: for training.
    dim : int
        Width of such a projection.
    runtime : {"torch", "onnx"}
        Library that runs the encoder; onnx reads ``onnx/model.onnx``, which `export`
        writes, on the CPU and in float32.

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
    forced = ARCHITECTURES[architecture] if architecture else None
    target = pick_device(device)
    named = "fp32" if runtime == "onnx" and dtype is None else dtype
    # A type that is none is refused before anything is fetched.
    chosen = Choice(pick_dtype(named, target), "") if named else None
    folder = resolve(source, revision, allow_pickle=allow_pickle, onnx=runtime == "onnx")
    if chosen is None:
        width = read_json(folder / "config.json").get("hidden_size")
        chosen = preferred(target, width if isinstance(width, int) else 0)
    request = Request(forced, ARCHITECTURES, chosen.dtype, allow_pickle, new_head, dim)
    with backbone.LOADING:
        checkpoint = table.read(folder, request)
        model = ARCHITECTURES[checkpoint.architecture].from_checkpoint(checkpoint).eval()
    if runtime == "onnx":
        _use_onnx(model, folder)
    model.dtype_reason = chosen.reason
    _align(model)
    return model.to(target)


def _align(model: Model) -> None:
    """Give each weight that starts amid a file's bytes memory of its own, at a multiple of `_ALIGNMENT`.

    The last bits of a product depend on where its operands start: copies of a model that were read from files with
    headers of different lengths would store different bytes for a document.
    """
    for parameter in model.parameters():
        if parameter.data_ptr() % _ALIGNMENT:
            parameter.data = parameter.data.clone()


def is_cross_encoder(source: str | Path, *, revision: str | None = None) -> bool:
    """Whether a checkpoint scores pairs of texts, so that `load_cross_encoder` reads it and `load` does not.

    Raises
    ------
    CheckpointError
        If there is no such checkpoint.
    """
    named = read_json(resolve(source, revision) / "config.json").get("architectures") or []
    return bool(named) and str(named[0]).endswith("ForSequenceClassification")


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
        Stores the weights as ``fp16``, ``bf16`` or ``int8``; None keeps their own type. As int8 they
        lie in ``model.int8.safetensors``, with a float32 scale for each row of a matrix; only this
        library reads that file.

    Raises
    ------
    ValueError
        If the type is unknown here.
    """
    stored = torch.int8 if dtype == "int8" else None if dtype is None else named_dtype(dtype)
    table.write(model.checkpoint(), Path(folder), stored)


def save_query_table(weights: torch.Tensor, model: Model, folder: str | Path) -> Path:
    """Write ``idf.json`` beside a saved model: query weights for searches without a forward pass.

    Its digest stays the same, so that indices made with the model stay valid.

    Parameters
    ----------
    weights : Tensor, shape (vocabulary,)
        At least 0; see `train.query_table`.
    model : Model
        Whose `query_table` they become.
    folder : str or Path

    Raises
    ------
    ValueError
        If the weights do not fit the vocabulary, or one is negative or no number.
    """
    if weights.shape != (len(model.vocabulary),):
        raise ValueError(f"there are {tuple(weights.shape)} query weights for {len(model.vocabulary)} terms")
    if not bool((torch.isfinite(weights) & (weights >= 0)).all()):
        raise ValueError("a query weight is negative or no number: train the table anew")
    model.query_table = weights.detach().float().cpu()
    return idf.write_table(model.query_table, model.tokenizer.vocabulary, Path(folder))


def export(model: Model, folder: str | Path, format: Format = "sentence-transformers") -> None:
    """Write what another library loads, with equal results.

    Parameters
    ----------
    model : Model
    folder : str or Path
    format : {"sentence-transformers", "pylate", "neural-cherche", "onnx", "int8", "cherche"}
        The term weights as a SparseEncoder, the token embeddings as a ColBERT, either
        with neural-cherche's two files, the model as `save` writes it and a graph beside it
        that gives hidden states, term weights and token embeddings (`models.Model.graph_outputs`),
        for ``load(folder, runtime="onnx")`` and other runtimes, or
        the model as `save` writes it: in int8, a quarter of the size, or as it is. A
        SparseEncoder has one maximum length in its layout: it cuts queries as documents.

    Raises
    ------
    ValueError
        If the model lacks that head, or reads texts in a way that the other
        library has no setting for.
    """
    path = Path(folder)
    if format in ("int8", "cherche"):
        save(model, path, dtype="int8" if format == "int8" else None)
        return
    if format != "onnx":
        table.export(model.checkpoint(), path, format)
        return
    _check_onnx(model)
    from cherche_models.runtime.onnx import export_graph

    export_graph(model, path)
    save(model, path)


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
        README.md; None for the folder's own, or a generated one where it has none.
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
        If a folder holds no model that can be loaded, or the hub refuses or cannot be reached.
    """
    with tempfile.TemporaryDirectory() as scratch:
        if isinstance(model, Model):
            folder, described = Path(scratch), model
            save(model, folder)
        else:
            folder, described = Path(model), load(Path(model), device="cpu")
        own = folder / "README.md"
        text = card or (
            own.read_text(encoding="utf-8") if own.is_file() else made_card(described.checkpoint(), repo_id)
        )
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
        except REFUSALS as error:
            raise CheckpointError(
                f"the hub does not take {repo_id} ({error})", "check the name, the network and HF_TOKEN"
            ) from error
    return str(done.commit_url)


def _check_onnx(model: Model) -> None:
    """A model that picks its terms inside the pass has no encoder to replace."""
    if not model.runs_on_onnx:
        raise CheckpointError(
            f"a {model.architecture} model cannot run on ONNX", "its terms are picked within the pass: use torch"
        )


def _use_onnx(model: Model, folder: Path) -> None:
    _check_onnx(model)
    from cherche_models.runtime.onnx import FILE, OnnxRuntime

    model.runtime = OnnxRuntime(model.backbone, folder / FILE)
