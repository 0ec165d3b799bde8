"""Ray's flags beside another server on this machine; no Ray is started."""

import os
import socket
from contextlib import suppress

import pytest

from deployments.local import set_flags

FIRST, LAST = (f"RAY_SERVE_DIRECT_INGRESS_{end}_GRPC_PORT" for end in ("MIN", "MAX"))


@pytest.fixture
def environ(monkeypatch):
    """No flag is set, and none stays set."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    monkeypatch.setattr(os, "environ", kept)
    return kept


@pytest.fixture
def _another_server():
    with socket.socket() as taken:
        with suppress(OSError):  # there is one
            taken.bind(("127.0.0.1", 40_000))
            taken.listen()
        yield


@pytest.mark.usefixtures("_another_server")
def test_grpc_ports_of_another_server_are_left_alone(environ):
    set_flags()
    assert int(environ[FIRST]) != 40_000
    assert int(environ[LAST]) == int(environ[FIRST]) + 1000 < 1 << 16


@pytest.mark.usefixtures("_another_server")
def test_grpc_ports_that_were_chosen_stay(environ):
    environ[FIRST] = "45000"
    set_flags()
    assert environ[FIRST] == "45000"
    assert LAST not in environ
