"""How many recordings are taken on at once; the next is told to come back."""

from collections.abc import Iterator
from contextlib import contextmanager

from serve_app.errors import Overloaded

__all__ = ["Admission"]


class Admission:
    """A count of recordings under way; used from one event loop.

    Args:
        limit: As many are taken on; a body is not even read beyond it.
        what: They are, for the message.
    """

    def __init__(self, limit: int, what: str = "recordings") -> None:
        self._limit = limit
        self._what = what
        self._inside = 0

    @contextmanager
    def enter(self) -> Iterator[None]:
        """For the time that a recording is under way; raises Overloaded where no place is left."""
        if self._inside >= self._limit:
            raise Overloaded(f"{self._limit} {self._what} are under way already.")
        self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1
