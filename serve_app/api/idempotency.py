"""Idempotency-Key: a request sent again gets the answer that it got, not another one.

As draft-ietf-httpapi-idempotency-key-header has it, in the memory of this replica: a repetition
that reaches another replica is answered anew, which costs time and does no harm.
"""

import re
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from starlette.responses import Response

from serve_app.errors import IdempotencyKeyReused, InvalidParameter, RequestInProgress

__all__ = ["KEY_HEADER", "REPLAYED_HEADER", "AnsweredKeys", "Turn", "parse_key"]

KEY_HEADER: Final = "Idempotency-Key"
REPLAYED_HEADER: Final = "Idempotency-Replayed"
# A string of RFC 9651, as the draft has it, or the bare text that most clients send.
_KEY: Final = re.compile(r'"(?P<quoted>[ !#-\[\]-~]{1,255})"|(?P<bare>[!#-\[\]-~]{1,255})')
# Of the headers and the bookkeeping around a body.
_OVERHEAD_BYTES: Final = 1 << 10


def parse_key(header: str) -> str:
    """The key in the header; raises InvalidParameter where there is none."""
    found = _KEY.fullmatch(header.strip())
    if found is None:
        raise InvalidParameter(
            f"{KEY_HEADER} must be 1 to 255 printable ASCII characters, without quotes inside.",
            hint='Use a UUID: Idempotency-Key: "8e03978e-40d5-43dd-bc93-6894a57f9324".',
        )
    return found["quoted"] or found["bare"]


@dataclass(frozen=True)
class _Kept:
    fingerprint: bytes
    until_s: float
    response: Response

    @property
    def size(self) -> int:
        return _OVERHEAD_BYTES + len(self.response.body)


@dataclass
class Turn:
    """One request's dealing with its key.

    Attributes:
        earlier: The answer that the key has; None: it is to be worked out.
        answer: To be set to what was worked out; without it the key is free again.
    """

    earlier: Response | None = None
    answer: Response | None = None


class AnsweredKeys:
    """Keys and their answers, the oldest forgotten first; used from one event loop.

    Args:
        ttl_s: How long an answer is kept.
        most_bytes: Of all answers; larger ones are not kept at all.
        clock: Seconds that only grow.
    """

    def __init__(
        self, ttl_s: float, most_bytes: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ttl_s = ttl_s
        self._most_bytes = most_bytes
        self._clock = clock
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._in_progress: dict[str, bytes] = {}
        self._bytes = 0

    @contextmanager
    def turn(self, key: str, fingerprint: bytes) -> Iterator[Turn]:
        """For the time that a request with this key is worked on.

        Args:
            key: The client's.
            fingerprint: Of all of the request that its answer depends on.

        Raises:
            IdempotencyKeyReused: The key came with another request.
            RequestInProgress: The same request is being worked on.
        """
        self._forget_old()
        kept = self._kept.get(key)
        known = kept.fingerprint if kept else self._in_progress.get(key)
        if known not in (None, fingerprint):
            raise IdempotencyKeyReused(f"This {KEY_HEADER} came with another request before.")
        if kept:
            yield Turn(kept.response)
            return
        if known:
            raise RequestInProgress(f"The request with this {KEY_HEADER} is being worked on.")
        self._in_progress[key] = fingerprint
        turn = Turn()
        try:
            yield turn
        finally:
            del self._in_progress[key]
        if turn.answer is not None:
            self._keep(key, _Kept(fingerprint, self._clock() + self._ttl_s, turn.answer))

    def _keep(self, key: str, kept: _Kept) -> None:
        if kept.size > self._most_bytes:
            return
        self._kept[key] = kept
        self._bytes += kept.size
        while self._bytes > self._most_bytes:
            self._forget_oldest()

    def _forget_old(self) -> None:
        while self._kept and next(iter(self._kept.values())).until_s <= self._clock():
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        _, oldest = self._kept.popitem(last=False)
        self._bytes -= oldest.size
