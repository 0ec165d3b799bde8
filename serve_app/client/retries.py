"""How often, and how long, a server is asked again."""

from dataclasses import dataclass
from typing import Any, Final

import stamina

from serve_app.client.calls import backoff

__all__ = ["DEFAULT_RETRIES", "NO_RETRIES", "Retries"]


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
