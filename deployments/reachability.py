"""Whether the model has replicas at all, asked of Ray only while an answer is overdue."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from ray import serve
from ray.exceptions import RayError
from ray.serve.handle import DeploymentHandle

from serve_app.errors import ModelUnavailable

__all__ = ["Reachability", "running_replicas"]

_T = TypeVar("_T")
# A replica that was lost is back within seconds, and requests wait for it that long.
_GRACE_S: Final = 10.0
_OVERDUE_S: Final = 3.0
_LOOK_AGAIN_S: Final = 1.0


class Reachability:
    """Ends the waiting for replicas that do not come back.

    Without it a request waits for its whole deadline when the last replica is gone.

    Args:
        count_running: How many replicas run; called in a thread, once a second at most.
        grace_s: How long there may be none.
        overdue_s: How long an answer may take before anybody asks.
    """

    def __init__(
        self,
        count_running: Callable[[], int],
        grace_s: float = _GRACE_S,
        overdue_s: float = _OVERDUE_S,
    ) -> None:
        self._count_running = count_running
        self._grace_s = grace_s
        self._overdue_s = overdue_s
        self._none_since_s: float | None = None
        self._looked_s = -_LOOK_AGAIN_S
        self._lock = asyncio.Lock()

    async def wait_for(self, answer: Awaitable[_T]) -> _T:
        """The answer, for as long as there is somebody who can give it.

        Raises:
            ModelUnavailable: No replica runs, and none did for a while.
        """
        waiting = asyncio.ensure_future(answer)
        try:
            # Where none was there lately, nobody waits to see whether that is so still.
            overdue_s = self._overdue_s if self._none_since_s is None else 0.0
            while not (await asyncio.wait({waiting}, timeout=overdue_s))[0]:
                if await self._is_gone():
                    raise ModelUnavailable("No replica of the model runs.")
                overdue_s = _LOOK_AGAIN_S
            return waiting.result()
        finally:
            if not waiting.done():
                waiting.cancel()
                await asyncio.gather(waiting, return_exceptions=True)

    async def _is_gone(self) -> bool:
        async with self._lock:
            if time.monotonic() - self._looked_s >= _LOOK_AGAIN_S:
                running = await asyncio.to_thread(self._count_running)
                self._looked_s = time.monotonic()
                if running:
                    self._none_since_s = None
                elif self._none_since_s is None:
                    self._none_since_s = self._looked_s
        since_s = self._none_since_s
        return since_s is not None and time.monotonic() - since_s >= self._grace_s


def running_replicas(handle: DeploymentHandle[object]) -> int:
    """Replicas of a deployment that run; 1 where Ray Serve's controller cannot say."""
    try:
        application = serve.status().applications.get(handle.app_name)
    except RayError:  # the controller is away: nobody can tell
        return 1
    deployment = application and application.deployments.get(handle.deployment_name)
    return deployment.replica_states.get("RUNNING", 0) if deployment else 0
