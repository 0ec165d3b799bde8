"""A queue, who answers it in this process, and DICOM nodes on free ports."""

import asyncio
import threading
import time
from contextlib import contextmanager
from functools import partial

import pytest

from serve_app.hospital.asking import predict_or_analyze
from serve_app.hospital.receiver import ReceiverSettings, start_receiver
from serve_app.hospital.spool import Spool
from serve_app.hospital.worker import Worker


@pytest.fixture
def spool(tmp_path):
    spool = Spool(tmp_path / "spool")
    yield spool
    spool.close()


@pytest.fixture(scope="session")
def ask(pipeline):
    """The whole way in this process, as `asker(None)` goes it, with the model of all tests."""
    with asyncio.Runner() as runner:
        lock = threading.Lock()

        def run(method, upload):
            with lock:
                return runner.run(method(upload))

        yield partial(
            predict_or_analyze, partial(run, pipeline.predict), partial(run, pipeline.analyze)
        )


@contextmanager
def receiving(spool, worker, **settings):
    """The port of a receiver."""
    server = start_receiver(ReceiverSettings(port=0, **settings), spool, worker)
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()


@pytest.fixture
def idle_worker(spool):
    """One who is never run: what is received stays in the queue."""
    return Worker(spool, ask=None, deliveries=[])


def until(condition, limit_s=20.0):
    """Wait for it; returns what it gave."""
    end_s = time.monotonic() + limit_s
    while not (found := condition()):
        assert time.monotonic() < end_s, "it did not come about"
        time.sleep(0.02)
    return found
