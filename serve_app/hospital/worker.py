"""The one who works the queue off: asks, renders, delivers, tries again, sets aside."""

import logging
import threading
import time
from collections.abc import Sequence
from typing import Final

from serve_app.decoding.upload import NO_HINTS, Hints, Upload
from serve_app.errors import EcgServeError, Unavailable
from serve_app.hospital.asking import Ask, is_final
from serve_app.hospital.deliveries import Delivery
from serve_app.hospital.outcome import Outcome, problem_of
from serve_app.hospital.spool import Item, Spool, write_durably
from serve_app.results import Result

__all__ = ["Worker"]

_log = logging.getLogger(__name__)
_MAX_TRIES: Final = 5
_IDLE_S: Final = 1.0
_MAX_WAIT_S: Final = 60.0


class Worker:
    """Works a spool off, one item after the other.

    Args:
        spool: The queue.
        ask: Whom to ask.
        deliveries: Where outcomes go.
        hints: What `ask` takes to be so of every recording.
        first_wait_s: Before the second try of what may work later; doubled up to a minute.
    """

    def __init__(
        self,
        spool: Spool,
        ask: Ask,
        deliveries: Sequence[Delivery],
        *,
        hints: Hints = NO_HINTS,
        first_wait_s: float = 1.0,
    ) -> None:
        self._spool, self._ask, self._deliveries, self._hints = spool, ask, deliveries, hints
        self._first_wait_s = first_wait_s
        self._not_before_s: dict[str, float] = {}
        self._waits_s: dict[str, float] = {}
        self._set_aside_count = 0
        self.news = threading.Event()

    @property
    def set_aside_count(self) -> int:
        """How many items came to an end without a result."""
        return self._set_aside_count

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set; the item in hand is finished first."""
        while not stop.is_set():
            self.news.clear()
            if not self.work(stop):
                self.news.wait(_IDLE_S)

    def work(self, stop: threading.Event | None = None) -> int:
        """Go once through what is due; returns how many items came to an end."""
        ended = 0
        for item in self._spool.waiting():
            if stop is not None and stop.is_set():
                break
            if self._not_before_s.get(item.identity, 0.0) <= time.monotonic():
                ended += self._work_on(item)
        return ended

    def _work_on(self, item: Item) -> bool:
        """Whether the item came to an end: delivered, or set aside."""
        tries = item.tries + 1
        if tries > _MAX_TRIES:
            # It was begun that often and nothing was told: it ends the process.
            return self._set_aside(item, EcgServeError("The recording ended its process."))
        item.count_try(tries)
        try:
            self._answer(item)
        except EcgServeError as error:
            return self._failed(item, error, tries)
        except Exception as unforeseen:
            _log.error("item %s failed (%s)", item.identity, type(unforeseen).__name__)
            return self._failed(item, EcgServeError("The recording could not be answered."), tries)
        self._forget_waits(item)
        self._spool.finish(item)
        _log.info("item %s answered", item.identity)
        return True

    def _answer(self, item: Item) -> None:
        upload = Upload(item.files())
        # Only what came by C-STORE goes back to where its patient is known.
        sent_by_node = item.note.get("kind") == "c-store"
        result = self._result(item, upload)
        outcome = Outcome(result, upload, self._hints, file_beside=sent_by_node)
        for delivery in self._deliveries:
            delivery.deliver(item.note["name"], item.note["source"], outcome)

    def _result(self, item: Item, upload: Upload) -> Result:
        """Asked once: what is delivered again after a failure is the same result."""
        kept = item.folder / "result.json"
        if kept.exists():
            return Result.model_validate_json(kept.read_bytes())
        result = self._ask(upload)
        write_durably(kept, result.to_json())
        return result

    def _failed(self, item: Item, error: EcgServeError, tries: int) -> bool:
        if is_final(error):
            return self._set_aside(item, error)
        if _may_pass(error):
            item.count_try(0)  # not the item's fault: it may be tried for ever
        elif tries >= _MAX_TRIES:
            return self._set_aside(item, error)
        self._postpone(item, error)
        return False

    def _postpone(self, item: Item, error: EcgServeError) -> None:
        wait_s = self._waits_s.get(item.identity, self._first_wait_s)
        self._waits_s[item.identity] = min(2 * wait_s, _MAX_WAIT_S)
        self._not_before_s[item.identity] = time.monotonic() + wait_s
        _log.warning("item %s waits %.0f s (%s)", item.identity, wait_s, error.code)

    def _set_aside(self, item: Item, error: EcgServeError) -> bool:
        for delivery in self._deliveries:
            try:
                delivery.deliver_problem(item.note["name"], item.note["source"], error)
            except EcgServeError as undelivered:
                self._postpone(item, undelivered)
                return False
        self._forget_waits(item)
        self._spool.set_aside(item, problem_of(error))
        self._set_aside_count += 1
        _log.warning("item %s set aside (%s)", item.identity, error.code)
        return True

    def _forget_waits(self, item: Item) -> None:
        self._not_before_s.pop(item.identity, None)
        self._waits_s.pop(item.identity, None)


def _may_pass(error: EcgServeError) -> bool:
    """Whether it is the server's or the destination's, not the recording's."""
    status = error.extra.get("status", error.status)
    return isinstance(error, Unavailable) or status in {401, 403, 408, 429, 502, 503}
