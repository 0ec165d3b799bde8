"""The models that can be asked: loaded when first wanted, warm before they answer, few at a time.

One model is the default. Only what settings name, and what an operator made the default since, can
be asked for: no caller makes the server load a path or fetch a repository of his own choice.
"""

import asyncio
import itertools
import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Final, Self

from serve_app.engine.entries import Entry, Failure, RegistryCounts
from serve_app.engine.explaining import Explainer, borrow_explainer, make_explainer
from serve_app.engine.identity import (
    Identity,
    ModelSource,
    identify,
    is_revision,
    looks_like_revision,
    served_name,
)
from serve_app.engine.loading import load_engine
from serve_app.engine.protocol import Engine, EngineInfo
from serve_app.errors import CheckpointError, EcgServeError, ModelNotFound, ModelUnavailable
from serve_app.settings import Settings

__all__ = ["ModelRegistry", "registry_of"]

_log = logging.getLogger(__name__)
_LOADS_SIDE_BY_SIDE: Final = 2


class ModelRegistry:
    """Models by name and revision; to be used from any thread and any event loop.

    Args:
        sources: The default first.
        load: Makes an engine; called in a thread of the registry, for two models at a time.
        most_loaded: Engines kept in memory, the default included, which is never dropped; of the
            others the one goes that was not asked for longest. While a model loads there is one
            more.
        explain: Makes what explains an engine of a source.
    """

    def __init__(
        self,
        sources: Sequence[ModelSource],
        load: Callable[[ModelSource], Engine],
        *,
        most_loaded: int = 2,
        explain: Callable[[ModelSource, Engine], Explainer] = borrow_explainer,
    ) -> None:
        self._load = load
        self._explain = explain
        self._explained: tuple[str, Explainer] | None = None
        self._most_loaded = most_loaded
        self._entries = [Entry(each, served_name(each.source)) for each in sources]
        self._default = self._entries[0]
        self._uses = itertools.count(1)
        self._counts = RegistryCounts()
        # Of what stands above; never held while a model loads.
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(_LOADS_SIDE_BY_SIDE, "load-model")

    @classmethod
    def of_engine(cls, load: Callable[[], Engine]) -> Self:
        """A registry of one model, whose name its engine tells."""
        registry = cls([ModelSource("demo")], lambda _: load())
        registry._default.name = None
        return registry

    @property
    def default(self) -> EngineInfo | None:
        """The default, if it is loaded."""
        engine = self._default.engine
        return engine.info if engine else None

    @property
    def counts(self) -> RegistryCounts:
        """What happened so far."""
        with self._lock:
            loaded = len({id(each.engine) for each in self._entries if each.engine})
            return self._counts + RegistryCounts(loaded=loaded)

    async def engine(self, asked: str | None = None) -> Engine:
        """A model, loaded and warm.

        Whoever waits for a load may be cancelled: the load goes on.

        Args:
            asked: ``NAME`` or ``NAME@REVISION``, the first 7 or more digits of the SHA-256 of its
                weights or of its commit; None: the default.

        Raises:
            ModelNotFound: No such model is served.
            ModelUnavailable: It cannot be loaded; it is tried again after a while.
        """
        entry = self._default if asked is None else await self._find(asked)
        return await self._engine_of(entry)

    async def explainer(self, asked: str | None = None) -> Explainer:
        """What explains a model; that of the last one is kept, since it may hold a second copy.

        Raises:
            EcgServeError: as ``engine``, and where this engine cannot be explained.
        """
        engine = await self.engine(asked)
        sha256 = engine.info.sha256
        with self._lock:
            if self._explained is None or self._explained[0] != sha256:
                source = next(each.source for each in self._entries if _is_same(each, engine.info))
                self._explained = (sha256, self._explain(source, engine))
            return self._explained[1]

    async def models(self) -> list[EngineInfo | Identity]:
        """Every model that can be asked for, the default first; none is loaded for this."""
        return await asyncio.to_thread(self._list)

    def load_default(self) -> None:
        """Load the default here and now, unless it is loaded.

        Raises:
            CheckpointError: It cannot be loaded.
        """
        if self._default.engine:
            return
        try:
            self._start_loading(self._default).result()
        except ModelUnavailable as error:
            raise error.__cause__ or error from None

    def tend(self) -> None:
        """To be called now and then: try again, if it is time, a default that failed to load."""
        if self._default.engine is None:
            self._retry_if_due(self._default)

    async def prepare(self, source: ModelSource) -> EngineInfo:
        """Load a model afresh, whatever is loaded, so that ``use`` finds it warm.

        Raises:
            ModelUnavailable: It cannot be loaded; nothing has changed.
        """
        entry = Entry(source, None, configured=False)
        with self._lock:
            self._entries.append(entry)
        return (await self._engine_of(entry)).info

    def use(self, source: ModelSource) -> EngineInfo:
        """Make a model the default that is loaded already.

        What is under way ends with the model it began with.

        Args:
            source: Its revision is the whole SHA-256 of the weights.

        Raises:
            ModelUnavailable: It is not loaded (any more).
        """
        with self._lock:
            for entry in self._entries:
                if entry.engine and _is_of(source, entry, entry.engine.info):
                    self._default = entry
                    entry.used = next(self._uses)
                    self._evict()
                    return entry.engine.info
        raise ModelUnavailable("The model is not loaded any more.", hint="Try again.")

    def forget(self, source: ModelSource) -> None:
        """Drop what was prepared but is not to be used after all."""
        with self._lock:
            self._entries = [
                each
                for each in self._entries
                if each.configured or each is self._default or each.source != source
            ]

    async def _find(self, asked: str) -> Entry:
        if self._default.name is None:
            await self._engine_of(self._default)
        named, digits = self._named(asked)
        if digits is None:
            return named[0]
        if not looks_like_revision(digits):
            raise _not_found(asked)
        for entry in named:
            info = entry.engine.info if entry.engine else None
            if info and is_revision(digits, info.sha256, info.commit):
                return entry
        for entry in named:
            if entry.engine is None and await self._turns_out_as(entry, digits):
                return entry
        raise _not_found(asked)

    def _named(self, asked: str) -> tuple[list[Entry], str | None]:
        """Entries of the name, the default before others, and the revision's digits."""
        with self._lock:
            entries = sorted(self._entries, key=lambda each: each is not self._default)
        if whole := [each for each in entries if each.name == asked]:
            return whole, None
        name, _, digits = asked.rpartition("@")
        if named := [each for each in entries if each.name == name]:
            return named, digits
        raise _not_found(asked)

    async def _turns_out_as(self, entry: Entry, digits: str) -> bool:
        """Whether a model that is not loaded has this revision; loaded once if only that shows."""
        identity = await asyncio.to_thread(_identity, entry)
        if identity.sha256 is None and not is_revision(digits, None, identity.commit):
            info = (await self._engine_of(entry)).info
            return is_revision(digits, info.sha256, info.commit)
        return is_revision(digits, identity.sha256, identity.commit)

    async def _engine_of(self, entry: Entry) -> Engine:
        entry.used = next(self._uses)
        if engine := entry.engine:
            return engine
        if failure := entry.failure:
            self._retry_if_due(entry)
            raise ModelUnavailable(*failure.error.args)
        return await asyncio.shield(asyncio.wrap_future(self._start_loading(entry)))

    def _retry_if_due(self, entry: Entry) -> None:
        if entry.failure is None or time.monotonic() >= entry.failure.retry_at_s:
            self._start_loading(entry)

    def _start_loading(self, entry: Entry) -> Future[Engine]:
        """The load that is under way, or a new one: never two of one entry."""
        with self._lock:
            if entry.loading is None:
                entry.loading = self._threads.submit(self._load_entry, entry)
            return entry.loading

    def _load_entry(self, entry: Entry) -> Engine:
        try:
            engine = self._load(entry.source)
            engine.warm()
        except Exception as error:  # whatever its library raises
            raise self._failed(entry, error) from _as_ours(error)
        with self._lock:
            entry.loading = entry.failure = None
            # The same weights under another source: once is enough.
            twin = next((each for each in self._entries if _is_same(each, engine.info)), None)
            entry.engine = engine = (twin.engine if twin else None) or engine
            entry.known, entry.name = engine.info, engine.info.name
            if twin and not entry.configured and twin.source.source == entry.source.source:
                self._entries = [each for each in self._entries if each is not entry]
            self._counts += RegistryCounts(loads=1)
            self._evict()
        return engine

    def _failed(self, entry: Entry, error: Exception) -> ModelUnavailable:
        ours = _as_ours(error)
        named = f"Model {entry.name!r}" if entry.name else "The model"
        told = ModelUnavailable(f"{named} cannot be loaded: {ours.detail}")
        _log.warning("%s", told.detail)
        with self._lock:
            entry.loading = None
            entry.failure = Failure.after(entry.failure, told)
            if not entry.configured and entry is not self._default:
                self._entries = [each for each in self._entries if each is not entry]
            self._counts += RegistryCounts(failures=1)
        return told

    def _evict(self) -> None:
        """Drop what was not asked for longest; an engine at work ends that first."""
        default = self._default.engine
        others = [each for each in self._entries if each.engine and each.engine is not default]
        others.sort(key=lambda each: each.used)
        for entry in others[: max(0, len(others) + 1 - self._most_loaded)]:
            entry.engine = None
            self._counts += RegistryCounts(evictions=1)
            if not entry.configured:
                self._entries.remove(entry)

    def _list(self) -> list[EngineInfo | Identity]:
        with self._lock:
            entries = sorted(self._entries, key=lambda each: each is not self._default)
            entries = [each for each in entries if each.engine or each.configured]
        told: dict[tuple[str, str | None], EngineInfo | Identity] = {}
        for entry in entries:
            info = entry.engine.info if entry.engine else _identity(entry)
            # What is loaded stands for the same revision that is not.
            if isinstance(info, EngineInfo) or (info.name, info.sha256) not in told:
                told[info.name, info.sha256] = info
        return list(told.values())


def registry_of(settings: Settings, default: ModelSource | None = None) -> ModelRegistry:
    """The models that settings name.

    Args:
        settings: Of the application.
        default: What an operator put in the place of the model that settings name; that one can
            still be asked for by its name.
    """
    named = [
        ModelSource(settings.model, settings.model_revision),
        *(ModelSource(each) for each in settings.models),
    ]
    sources = [default, *named] if default else named

    def load(source: ModelSource) -> Engine:
        return load_engine(settings, source.source, source.revision)

    return ModelRegistry(
        sources,
        load,
        most_loaded=settings.max_loaded_models,
        explain=partial(make_explainer, settings),
    )


def _identity(entry: Entry) -> Identity:
    """Of a model that is not loaded: what lies there now, or what it was when it was loaded."""
    known = entry.known
    try:
        found = identify(entry.source.source)
    except CheckpointError:
        found = Identity(entry.name or "", "local")
    if known and (found.sha256 is None):
        return Identity(known.name, known.source, known.sha256, known.commit)
    return found


def _is_of(source: ModelSource, entry: Entry, info: EngineInfo) -> bool:
    return entry.source.source == source.source and info.sha256 == source.revision


def _is_same(entry: Entry, info: EngineInfo) -> bool:
    known = entry.engine.info if entry.engine else None
    return known is not None and (known.name, known.sha256) == (info.name, info.sha256)


def _as_ours(error: Exception) -> EcgServeError:
    if isinstance(error, EcgServeError):
        return error
    return CheckpointError(f"loading it ended in {type(error).__name__}.")


def _not_found(asked: str) -> ModelNotFound:
    return ModelNotFound(f"Model {asked[:200]!r} is not served here.")
