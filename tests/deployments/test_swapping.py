"""What an operator is told whose `ecg-serve model use` comes too early."""

import asyncio

import pytest
from ray.serve._private.common import DeploymentID
from ray.serve.exceptions import DeploymentUnavailableError

from deployments.swapping import _on_all
from serve_app.engine.identity import ModelSource
from serve_app.errors import Unavailable


class StartingHandle:
    """As Ray's, while the deployment has no replica: a second between two states of a server."""

    def broadcast(self, method, source):
        return self

    async def results_async(self, timeout_s):
        raise DeploymentUnavailableError(DeploymentID("EcgFm", "ecg"))


def test_a_swap_before_any_replica_runs_is_told():
    with pytest.raises(Unavailable, match="none is yet") as told:
        asyncio.run(_on_all(StartingHandle(), "prepare_model", ModelSource("demo"), 1.0))
    assert "/readyz" in told.value.hint
