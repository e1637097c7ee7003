"""The models a sidecar serves: loaded in threads, each behind its own batcher."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

from sidecar.errors import (
    ChercheError,
    Code,
    did_you_mean,
    invalid,
    not_found,
    precondition,
    quoted,
    said,
    shortened,
    unavailable,
)
from sidecar.models import memory
from sidecar.models.admission import BatchOptions
from sidecar.models.batcher import Batcher
from sidecar.observe import logs
from sidecar.protocols import BatchObserver, Encoder, Model
from sidecar.values.model import Kind, ModelState, ServedModel

LONGEST_NAME = 1024
"""Characters of a model's name, which may be its path."""
Loader = Callable[[str, str], Model]
"""(name, folder or hub id) → model; blocking, called in a thread."""


class Registry:
    """Loads, lists and frees models; see `sidecar.protocols.Encoders`.

    Parameters
    ----------
    loader : Loader
    default : str
        The model that answers where none is named.
    options : callable
        Batch options of a loaded model.
    observer : callable
        Observer of a model's batcher, by name.
    aliases : mapping of str to str
        Other name → served model.
    """

    def __init__(
        self,
        loader: Loader,
        default: str,
        options: Callable[[Model], BatchOptions] = lambda _: BatchOptions(),
        observer: Callable[[str], BatchObserver | None] = lambda _: None,
        aliases: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._loader = loader
        self._default = default
        self._options = options
        self._observer = observer
        self.aliases = aliases
        self._models: dict[str, ServedModel] = {}
        self._batchers: dict[str, Batcher] = {}
        self._loading: dict[str, asyncio.Task[None]] = {}
        self._listeners: list[Callable[[], None]] = []
        self._log = logs.get("models")
        self.leaving = False
        self.was_warm = False
        """Whether all the models that it started with were decided once, the default among those that answer."""

    def leave(self) -> None:
        """Have health say that this process ends soon; models answer as before."""
        self.leaving = True
        self._changed()

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call `listener` in the event loop whenever a model changes its state, or all of them leave."""
        self._listeners.append(listener)

    def named(self, name: str) -> Encoder:
        """A served model, by its name or an alias; "" is the default. See `sidecar.protocols.Encoders.named`."""
        known = name in self._models
        served = self.get(name if known else self.aliases.get(name, name) or self._default)
        if served.state is ModelState.LOADING:
            raise unavailable(f"model {served.name!r} is being loaded", "try again in some seconds")
        if served.state is ModelState.FAILED:
            raise precondition(f"model {served.name!r} could not be loaded: {served.message}", "see: cherche models")
        return self._batchers[served.name]

    def ready(self) -> tuple[Encoder, ...]:
        """All that can answer, the default first."""
        return tuple(self._batchers[name] for name in sorted(self._batchers, key=lambda n: (n != self._default, n)))

    def list(self) -> tuple[ServedModel, ...]:
        """All models, by name."""
        return tuple(self._models[name] for name in sorted(self._models))

    def get(self, name: str) -> ServedModel:
        """One model.

        Raises
        ------
        ChercheError
            NOT_FOUND naming those there are.
        """
        served = self._models.get(name)
        if served is None:
            known = ", ".join(sorted(self._models)) or "none"
            raise not_found(
                f"model {quoted(name)} is not served; served: {known}",
                did_you_mean(name, self._models)
                + f"start with: cherche serve --model {shortened(name)}=PATH, or make it another name of one: "
                "CHERCHE_ALIASES",
            )
        return served

    def start(self, name: str, source: str) -> asyncio.Task[None]:
        """Begin to load a model; it is listed at once.

        Raises
        ------
        ChercheError
            INVALID_ARGUMENT without a name or source, or with a name that is too long to be kept, listed and measured;
            ALREADY_EXISTS where the name is taken.
        """
        if not name.strip() or not source.strip():
            raise invalid("a model needs a name and a source", "give both: NAME=PATH")
        if len(name) > LONGEST_NAME:
            reason = f"the name {quoted(name)} has {len(name):,} characters, the limit is {LONGEST_NAME:,}"
            raise invalid(reason, "shorten it")
        known = self._models.get(name)
        if known is not None and known.state is not ModelState.FAILED:
            raise ChercheError(
                Code.ALREADY_EXISTS, f"model {name!r} is served already", "unload it first, or choose another name"
            )
        self._set(ServedModel(name, ModelState.LOADING, is_default=name == self._default))
        task = asyncio.create_task(self._load(name, source))
        self._loading[name] = task
        task.add_done_callback(lambda _: self._loading.pop(name, None))
        return task

    async def load(self, name: str, source: str) -> ServedModel:
        """Load a model and wait until it is warm.

        Raises
        ------
        ChercheError
            As `start`, and FAILED_PRECONDITION saying why it cannot be loaded.
        """
        # A caller that hangs up does not end the load: the model is listed, and others may wait for it.
        await asyncio.shield(self.start(name, source))
        served = self.get(name)
        if served.state is ModelState.FAILED:
            raise precondition(f"model {name!r} could not be loaded: {served.message}", "name a checkpoint's folder")
        return served

    async def unload(self, name: str) -> None:
        """Free a model once its waiting texts are answered.

        Raises
        ------
        ChercheError
            NOT_FOUND; FAILED_PRECONDITION for the default, or while it loads.
        """
        served = self.get(name)
        if served.is_default:
            raise precondition(
                f"model {name!r} is the default", "start the sidecar with another default: CHERCHE_MODEL=NAME"
            )
        if served.state is ModelState.LOADING:
            raise precondition(f"model {name!r} is being loaded", "unload it afterwards")
        # Before its end is awaited, so that no further call finds it.
        batcher = self._batchers.pop(name, None)
        del self._models[name]
        self._changed()
        if batcher is not None:
            await batcher.aclose()
            del batcher  # the last that holds the model
            await asyncio.to_thread(memory.trim)

    async def settled(self) -> None:
        """Wait until nothing loads any more."""
        while self._loading:
            await asyncio.wait(list(self._loading.values()))

    async def aclose(self, grace: float = 30.0) -> None:
        """Finish what waits, for at most `grace` seconds, and end every thread."""
        for task in list(self._loading.values()):
            task.cancel()
        await asyncio.gather(*list(self._loading.values()), return_exceptions=True)
        await asyncio.gather(*(batcher.aclose(grace) for batcher in self._batchers.values()))
        self._batchers.clear()

    async def _load(self, name: str, source: str) -> None:
        try:
            model = await asyncio.to_thread(self._warm, name, source)
        except Exception as error:  # whatever a checkpoint raises becomes the model's state
            message = str(error) if isinstance(error, ChercheError) else said(f"{type(error).__name__}: {error}")
            self._log.error("model failed", model=name, reason=message)
            self._set(replace(self._models[name], state=ModelState.FAILED, message=message))
            return
        one = replace(model.info, name=name)
        self._batchers[name] = Batcher(model, self._options(model), self._observer(name), name=name)
        self._set(replace(self._models[name], state=ModelState.READY, message=one.note, description=one))
        noted = {"note": one.note} if one.note else {}
        self._log.info(
            "model ready", model=name, architecture=one.architecture, device=one.device, dtype=one.dtype, **noted
        )

    def _warm(self, name: str, source: str) -> Model:
        """Load, and run one pass of each kind that needs no more than that: the first is slow everywhere."""
        model = self._loader(name, source)
        kinds: tuple[Kind, Kind] = ("document", "query")
        for kind in kinds:
            if model.prepare(kind) is not None:
                continue
            model.encode(model.tokenize(["warm up"], kind), kind)
        return model

    def _set(self, served: ServedModel) -> None:
        self._models[served.name] = served
        decided = all(model.state is not ModelState.LOADING for model in self._models.values())
        self.was_warm |= decided and self._default in self._batchers
        self._changed()

    def _changed(self) -> None:
        for listener in self._listeners:
            listener()
