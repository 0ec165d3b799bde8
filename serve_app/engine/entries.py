"""What a registry keeps of each of its models: engine, last failure, last use."""

import time
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final, Self

from serve_app.engine.identity import ModelSource
from serve_app.engine.protocol import Engine, EngineInfo
from serve_app.errors import ModelUnavailable

__all__ = ["Entry", "Failure", "RegistryCounts"]

_FIRST_RETRY_S: Final = 1.0
_LAST_RETRY_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class RegistryCounts:
    """What happened to models since the start; several replicas' counts can be added.

    Args:
        loaded: In memory now.
        loads: Brought into memory, warm.
        failures: Loads that failed.
        evictions: Dropped, because others were asked for since.
    """

    loaded: int = 0
    loads: int = 0
    failures: int = 0
    evictions: int = 0

    def __add__(self, other: "RegistryCounts") -> "RegistryCounts":
        return RegistryCounts(
            self.loaded + other.loaded,
            self.loads + other.loads,
            self.failures + other.failures,
            self.evictions + other.evictions,
        )


@dataclass(frozen=True, slots=True)
class Failure:
    """A load that failed, and when the next is due: a damaged file is not read for each request."""

    error: ModelUnavailable
    wait_s: float
    retry_at_s: float

    @classmethod
    def after(cls, before: "Self | None", error: ModelUnavailable) -> Self:
        """The one that follows another: tried again after twice as long."""
        wait_s = min(2 * before.wait_s, _LAST_RETRY_S) if before else _FIRST_RETRY_S
        return cls(error, wait_s, time.monotonic() + wait_s)


@dataclass(eq=False, slots=True)
class Entry:
    """A model that can be asked for.

    Attributes:
        source: Where it comes from.
        name: What answers call it; None: loading it will show.
        configured: Whether it stays when its weights are dropped.
        engine: Itself, while it is in memory.
        known: Of when it was last in memory.
        loading: While it is being loaded.
        failure: Of the last load.
        used: Rises with each question.
    """

    source: ModelSource
    name: str | None
    configured: bool = True
    engine: Engine | None = None
    known: EngineInfo | None = None
    loading: Future[Engine] | None = None
    failure: Failure | None = None
    used: int = 0
