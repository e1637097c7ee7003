"""The composition root of models: the one module of the sidecar that reaches torch, and only when called."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from cherche_models import codec, scores
from cherche_models.types import TokenEmbeddings
from sidecar.errors import ChercheError, invalid, precondition
from sidecar.models import memory, threads
from sidecar.models.loaded import LoadedModel
from sidecar.pipeline.context import MaxSim
from sidecar.values.model import ModelDescription

if TYPE_CHECKING:
    from cherche_models import models
    from cherche_models.hub import Format
    from cherche_models.light.model import LightModel

R = TypeVar("R")
Scorer = Callable[[Sequence[tuple[str, str]]], Sequence[float]]
"""From pairs of query and document to a score for each."""

_PROBE = (
    "Machine learning models read a passage and give each of its words a weight, so that a search engine can find it "
    "again. The heart pumps blood through the body of a patient; a doctor in Paris measures its rate before and after "
    "the treatment, and writes the result down in a report for the hospital."
)
# Models trained for sparse retrieval give a passage one to five terms for each of its tokens, BERT's own head dozens.
_TRAINED = 10


def load_model(name: str, source: str | Path, *, device: str | None = None, dtype: str | None = None) -> LoadedModel:
    """Load a model to serve.

    Parameters
    ----------
    name : str
        The name it is served under.
    source : str or Path
        A folder, or the id of a repository on the hub.
    device, dtype : str or None
        None for the best there is.

    Raises
    ------
    ChercheError
        FAILED_PRECONDITION where the checkpoint cannot be loaded, INVALID_ARGUMENT
        where the device or type is unknown here.
    """
    from cherche_models.errors import Unreadable
    from cherche_models.light.model import load

    try:
        light = load(source, device=device or None, dtype=dtype or None)
    except Unreadable as error:
        reason = str(error)
    else:
        has_torch = all(find_spec(package) for package in ("torch", "transformers"))
        later = functools.partial(_with_torch, source, "cpu", dtype, side_by_side=True) if has_torch else None
        said = "torch, imported when the first one comes" if has_torch else f"{light.queries}, which is not installed"
        # Compiled code that keeps nothing from one text to the next.
        return LoadedModel(_description(name, light, said), light, later, concurrent_queries=True)
    model = _with_torch(source, device, dtype, reason)
    return with_torch(name, model, f"torch, since {reason}")


def with_torch(name: str, model: models.Model, documents: str = "torch") -> LoadedModel:
    """A model of `cherche_models.models` to serve under a name; `documents` says what encodes them, and why."""
    return LoadedModel(_description(name, model, documents), model)


def _with_torch(
    source: str | Path, device: str | None, dtype: str | None, reason: str = "", *, side_by_side: bool = False
) -> models.Model:
    """A model as torch runs it; `reason` says why it is needed where it is not installed.

    Side by side, each document has one thread: faster, but one alone takes longer. That is for what no query waits for.
    """
    try:
        from cherche_models import hub
        from cherche_models.runtime.threads import limit, share
    except ModuleNotFoundError as error:
        said = f"{source} needs {error.name}, which is not installed: {reason}"
        raise precondition(said, "pip install cherche-sidecar, with all that it depends on") from error
    # A quota is no property of the CPUs, so torch counts those of the host: threads that spin would use it up.
    if side_by_side:
        memory.keep()
        share(threads.cpus(), threads.give_way)
    else:
        limit(threads.cpus())
    return _loading(lambda: hub.load(source, device=device or None, dtype=dtype or None))


def load_candidate(name: str, source: str | Path) -> LoadedModel | Scorer:
    """Load whatever a checkpoint is: a model, or what scores pairs where it is a cross-encoder.

    Raises
    ------
    ChercheError
        As `load_model`.
    """
    from cherche_models import hub

    return load_cross_encoder(source) if _loading(lambda: hub.is_cross_encoder(source)) else load_model(name, source)


def lexical_index(documents: Mapping[str, Sequence[str]]) -> Callable[[str, int], list[tuple[str, float]]]:
    """BM25 over documents in memory, as the embedded engine has it: from a query and a depth to ids and scores.

    Parameters
    ----------
    documents : mapping of id → text of each field
    """
    from cherche_models.train.bm25 import BM25

    return BM25(documents).search


def load_cross_encoder(source: str | Path) -> Scorer:
    """What scores pairs of query and document by a cross-encoder.

    Parameters
    ----------
    source : str or Path
        A folder, or the id of a repository on the hub.

    Raises
    ------
    ChercheError
        As `load_model`.
    """
    from cherche_models import hub

    model = _loading(lambda: hub.load_cross_encoder(source))
    _together()
    return lambda pairs: [float(score) for score in model.predict(pairs)]


def export_model(source: str | Path, folder: str | Path, form: str, *, allow_pickle: bool = False) -> None:
    """Write a model as another library loads it.

    Parameters
    ----------
    source : str or Path
    folder : str or Path
        Where to.
    form : {"sentence-transformers", "pylate", "neural-cherche", "onnx", "int8", "cherche"}
    allow_pickle : bool
        Read ``pytorch_model.bin`` where there are no safetensors; only of authors you trust.

    Raises
    ------
    ChercheError
        As `load_model`; INVALID_ARGUMENT where the model lacks what the format holds.
    """
    from cherche_models import hub

    model = _loading(lambda: hub.load(source, device="cpu", dtype="fp32", allow_pickle=allow_pickle))
    _loading(lambda: hub.export(model, folder, cast("Format", form)))


def train_codebook(
    folder: Path,
    texts: Iterable[str],
    centroids: int,
    *,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, wanted: None,
) -> tuple[Path, str]:
    """Fit a codebook to a model's token embeddings of some texts and put it into its folder; file and digest.

    Raises
    ------
    ChercheError
        As `load_model`; INVALID_ARGUMENT where model or texts have no tokens to code.
    """
    from cherche_models import hub
    from cherche_models.train.codebook import train_codebook as train

    model = _loading(lambda: hub.load(folder))
    book = _loading(lambda: train(model, texts, centroids, seed=seed, progress=progress))
    return hub.save_codebook(book, folder), book.digest


def train_model(
    recipe: str | Path, out: str | Path, report: Callable[[str, Mapping[str, Any]], None], *, plan_only: bool = False
) -> None:
    """Train a model from a recipe.

    Parameters
    ----------
    recipe : str or Path
        A TOML file.
    out : str or Path
        Where the model goes.
    report : callable
        Called with what happens and what is known of it; the last is ``done``, or ``plan`` if that is all.
    plan_only : bool

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT where the recipe or its data is wrong, FAILED_PRECONDITION
        where a checkpoint or an extra is missing.
    """
    from cherche_models.train.run import run

    _training(lambda: run(Path(recipe), Path(out), report, plan_only=plan_only), recipe)


def adapt_model(
    base: str,
    texts: Mapping[str, Sequence[str]],
    out: Path,
    report: Callable[[str, Mapping[str, Any]], None],
    mixing: Mapping[str, Any],
    judged: tuple[Mapping[str, Sequence[str]], Mapping[str, str], Mapping[str, Mapping[str, int]]] | None = None,
    **options: Any,  # noqa: ANN401  # fields of `Adaptation`
) -> dict[str, Any]:
    """Adapt a model to documents and measure it before and after; see `cherche_models.train.adapt.adapt`.

    Parameters
    ----------
    base : str
    texts : mapping of id → text of each field
    out : Path
        Where the model goes.
    report : callable
        As of `train_model`.
    mixing : mapping
        Fields of `cherche_models.train.staged.Mixing`.
    judged : documents, queries and judgements, or None
        What is measured on.
    options
        Fields of `cherche_models.train.adapt.Adaptation`.

    Raises
    ------
    ChercheError
        As `train_model`.
    """
    from cherche_models.train.adapt import Adaptation, adapt
    from cherche_models.train.staged import JudgedSet, Mixing

    wanted = Adaptation(mixing=Mixing(**mixing), **options)
    return _training(lambda: adapt(base, texts, out, report, wanted, JudgedSet(*judged) if judged else None), out)


def maxsim_on(device: str | None = None) -> MaxSim:
    """MaxSim where the models run: torch on an accelerator, the compiled kernel or numpy on a CPU.

    The device is looked for at the first call; torch is asked only where there may be an accelerator.

    Parameters
    ----------
    device : str or None
        None for the best there is.

    Raises
    ------
    ValueError
        At the first call, if torch cannot reach the named device.
    """
    chosen = functools.cache(functools.partial(_maxsim, device))

    def maxsim(query: TokenEmbeddings, codes: Sequence[bytes | None]) -> scores.Scores:
        return chosen()(query, codes)

    return maxsim


def _maxsim_of(device: str) -> str:
    from cherche_models.kernel.library import described

    return described() if device == "cpu" else f"torch on {device}"


def _maxsim(device: str | None) -> MaxSim:
    from cherche_models.errors import Unreadable
    from cherche_models.light.place import check

    try:
        check(device)
    except Unreadable:
        pass
    else:
        return codec.maxsim
    from cherche_models.runtime.device import pick_device

    place = pick_device(device)
    if place.type == "cpu":
        return codec.maxsim

    def on_device(query: TokenEmbeddings, codes: Sequence[bytes | None]) -> scores.Scores:
        from cherche_models.runtime import torch_maxsim

        packed, _ = codec.unpack_many(codes, query.dim)
        found: scores.Scores = torch_maxsim.maxsim([query], torch_maxsim.PackedTensor.of(packed, place))[0]
        return found

    return on_device


def _together() -> None:
    """Give an operation all threads again, for what is no encoding of documents."""
    from cherche_models.runtime.threads import together

    together()


def _loading(work: Callable[[], R]) -> R:
    from cherche_models.errors import CheckpointError

    memory.bound_primitives()
    try:
        return work()
    except CheckpointError as error:
        raise precondition(error.reason, error.next_step) from error
    except ValueError as error:
        raise invalid(str(error)) from error


def _training(work: Callable[[], R], what: str | Path) -> R:
    """What training raises, as errors of the sidecar."""
    from cherche_models.errors import DataError
    from cherche_models.train.recipe_file import RecipeError

    _together()
    try:
        return _loading(work)
    except ChercheError as error:
        if isinstance(error.__cause__, DataError | RecipeError):
            cause = error.__cause__
            raise invalid(f"{cause.where}: {cause.reason}", cause.next_step) from cause
        raise
    except ImportError as error:
        reason, _, step = str(error).partition(" — ")
        raise precondition(reason, step) from error
    except OSError as error:
        raise invalid(f"{error.filename or what}: {error.strerror or error}", "correct the recipe") from error


def _note(model: models.Model | LightModel) -> str:
    """What the loader took the files for, and what follows from it; "" where they say it themselves."""
    if not model.note:
        return ""
    said = [model.note]
    if model.late_interaction:
        said.append(f"rerank weight {model.rerank_weight:g}")
    if model.sparse:
        (tokens,), (encoding,) = model.tokenize([_PROBE], "document"), model.encode([_PROBE], "document")
        terms = len(encoding.weights or ())
        verdict = "as from one" if 0 < terms <= _TRAINED * len(tokens) else "so it was not"
        said.append(f"a passage of {len(tokens)} tokens gets {terms:,} terms, {verdict} trained for sparse retrieval")
    return "; ".join(said)


def _dtype_of(model: models.Model | LightModel) -> str:
    if isinstance(model.dtype, str):
        return model.dtype
    from cherche_models.runtime.device import dtype_name

    return dtype_name(model.dtype)


def _description(name: str, model: models.Model | LightModel, documents: str) -> ModelDescription:
    return ModelDescription(
        name=name,
        architecture=model.architecture,
        digest=model.digest,
        sparse=model.sparse,
        late_interaction=model.late_interaction,
        dim=model.dim if model.late_interaction else 0,
        max_document_length=model.formats["document"].max_length,
        max_query_length=model.formats["query"].max_length,
        device=str(model.device),
        dtype=_dtype_of(model),
        dtype_reason=model.dtype_reason,
        maxsim=_maxsim_of(str(model.device).partition(":")[0]) if model.late_interaction else "",
        queries=model.queries,
        documents=documents,
        vocabulary_size=len(model.vocabulary),
        vocabulary=model.vocabulary,
        sparse_boost=model.sparse_boost,
        rerank_weight=model.rerank_weight,
        codebook=model.codebook.digest if model.codebook is not None else "",
        note=_note(model),
    )
