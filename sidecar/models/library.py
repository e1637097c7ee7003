"""The composition root of models: the one module of the sidecar that reaches torch, and only when called."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from cherche_models import codec, scores
from cherche_models.types import Encoding, TokenEmbeddings, Tokens
from sidecar.errors import ChercheError, Code, invalid, precondition
from sidecar.models import threads
from sidecar.pipeline.context import MaxSim
from sidecar.values.model import Kind, ModelDescription

if TYPE_CHECKING:
    from cherche_models import models
    from cherche_models.hub import Format

R = TypeVar("R")
Scorer = Callable[[Sequence[tuple[str, str]]], Sequence[float]]
"""From pairs of query and document to a score for each."""

_NOTHING = Tokens((), (), 0)

_PROBE = (
    "Machine learning models read a passage and give each of its words a weight, so that a search engine can find it "
    "again. The heart pumps blood through the body of a patient; a doctor in Paris measures its rate before and after "
    "the treatment, and writes the result down in a report for the hospital."
)
# Models trained for sparse retrieval give a passage one to five terms for each of its tokens, BERT's own head dozens.
_TRAINED = 10


class LoadedModel:
    """A model of `cherche_models` as the sidecar asks for one; see `sidecar.protocols.Model`.

    Parameters
    ----------
    name : str
        The name it is served under.
    model : cherche_models.models.Model
    """

    def __init__(self, name: str, model: models.Model) -> None:
        self._model = model
        self._info = _description(name, model)

    @property
    def info(self) -> ModelDescription:
        """What the model is."""
        return self._info

    def tokenize(self, texts: Sequence[str], kind: Kind, max_length: int = 0, *, beyond: bool = False) -> list[Tokens]:
        """Cut texts into tokens; 0 for the model's own maximum, and see `sidecar.protocols.Model.tokenize`.

        Raises
        ------
        ChercheError
            INVALID_ARGUMENT for a lone surrogate, or a maximum that the model does not have.
        """
        if beyond:
            # `[MASK]` tokens that fill a text up would be taken for text of a window.
            style = replace(self._model.formats[kind], masks=0, expand=False)
            tokenizer = self._model.tokenizer
            return self._guarded(lambda: tokenizer.tokenize(texts, style, max_length), Code.INVALID_ARGUMENT)
        return self._guarded(lambda: self._model.tokenize(texts, kind, max_length), Code.INVALID_ARGUMENT)

    def encode(self, tokens: Sequence[Tokens], kind: Kind) -> list[Encoding]:
        """Encode one batch; results in order. A text of a language that the model does not know gets nothing.

        Raises
        ------
        ChercheError
            INTERNAL where the model answers NaN, naming the text's position.
        """
        style = self._model.formats[kind]
        unknown_language = [self._model.tokenizer.is_unknown_language(item, style) for item in tokens]
        readable = [_NOTHING if skip else item for item, skip in zip(tokens, unknown_language, strict=True)]
        found = self._guarded(lambda: self._model.encode_tokens(readable, kind), Code.INTERNAL)
        late = self._info.late_interaction
        return [
            Encoding(item.weights, item.embeddings if late else None, skip)
            for item, skip in zip(found, unknown_language, strict=True)
        ]

    def kept(self, tokens: Tokens, kind: Kind) -> list[int]:
        """Positions of the tokens that have a row in `Encoding.embeddings`."""
        return self._model.kept(tokens, kind)

    def idf(self, tokens: Tokens) -> dict[int, float] | None:
        """Vocabulary id → idf from the model's own table; None without a table."""
        return self._model.idf(tokens)

    def _guarded(self, work: Callable[[], R], code: Code) -> R:
        try:
            return work()
        except ValueError as error:
            step = "correct the text" if code is Code.INVALID_ARGUMENT else "serve the model with --dtype fp32"
            raise ChercheError(code, f"model {self._info.name!r}: {error}", step) from error


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
    from cherche_models import hub
    from cherche_models.runtime.threads import limit

    # A quota is no property of the CPUs, so torch counts those of the host: threads that spin would use it up.
    limit(threads.cpus())
    return LoadedModel(name, _loading(lambda: hub.load(source, device=device or None, dtype=dtype or None)))


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

    The device is looked for at the first call, when a model has brought torch in already.

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


def _loading(work: Callable[[], R]) -> R:
    from cherche_models.errors import CheckpointError

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


def _note(model: models.Model) -> str:
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


def _description(name: str, model: models.Model) -> ModelDescription:
    from cherche_models.runtime.device import dtype_name

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
        dtype=dtype_name(model.dtype),
        dtype_reason=model.dtype_reason,
        maxsim=_maxsim_of(model.device.type) if model.late_interaction else "",
        queries=model.queries,
        vocabulary_size=len(model.vocabulary),
        vocabulary=model.vocabulary,
        sparse_boost=model.sparse_boost,
        rerank_weight=model.rerank_weight,
        codebook=model.codebook.digest if model.codebook is not None else "",
        note=_note(model),
    )
