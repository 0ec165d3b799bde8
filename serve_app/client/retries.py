"""How often, and how long, a server is asked again."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import httpx2
import stamina
from stamina.instrumentation import RetryDetails, get_on_retry_hooks, set_on_retry_hooks

from serve_app.client.calls import backoff, unreachable

__all__ = ["DEFAULT_RETRIES", "NO_RETRIES", "Retries", "retries_told"]


@dataclass(frozen=True)
class Retries:
    """Waits grow exponentially with jitter, unless the server names one in Retry-After.

    Attributes:
        attempts: Tries in all; 1 asks once.
        within_s: No new try begins after so many seconds.
    """

    attempts: int = 5
    within_s: float = 60.0

    def context(self) -> Any:
        """Context managers to try in, for ``for`` and ``async for`` alike."""
        return stamina.retry_context(
            on=backoff, attempts=self.attempts, timeout=self.within_s, wait_initial=0.1, wait_max=5
        )


DEFAULT_RETRIES: Final = Retries()
NO_RETRIES: Final = Retries(attempts=1)


@contextmanager
def retries_told(tell: Callable[[str], None]) -> Iterator[None]:
    """Tell the first failure of each question, for who waits; of this whole process.

    Args:
        tell: Given a sentence.
    """

    def hook(details: RetryDetails) -> None:
        error = details.caused_by
        if details.retry_num == 1:
            told = unreachable(error) if isinstance(error, httpx2.TransportError) else error
            tell(f"{told} It is asked again, for up to {DEFAULT_RETRIES.within_s:.0f} s.")

    before = get_on_retry_hooks()
    set_on_retry_hooks([hook])
    try:
        yield
    finally:
        set_on_retry_hooks(before)
