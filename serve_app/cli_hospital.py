"""`ecg-serve receive` and `watch`: recordings are answered without a person at the keyboard."""

import logging
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from serve_app.cli_options import FsHz, Leads, Units, given_hints
from serve_app.cli_output import failures_told
from serve_app.decoding import Hints
from serve_app.decoding.upload import NO_HINTS
from serve_app.errors import NotInstalled, SettingsError
from serve_app.hospital.asking import asker
from serve_app.hospital.deliveries import Delivery, DicomNode, Folder
from serve_app.hospital.receiver import ReceiverSettings, start_receiver
from serve_app.hospital.spool import Spool
from serve_app.hospital.watcher import Watcher
from serve_app.hospital.worker import Worker

__all__ = ["receive", "watch"]

Server = Annotated[str | None, typer.Option(help="Ask this server, not this process.")]
Model = Annotated[str | None, typer.Option(help="Without --server: what to load.")]
SpoolFolder = Annotated[
    Path, typer.Option(help="The queue; holds patients' data until they are answered.")
]


class OutForm(StrEnum):
    """Forms of a result beside its JSON."""

    DICOM_SR = "dicom-sr"
    DICOM_PDF = "dicom-pdf"
    FHIR = "fhir"
    CSV = "csv"
    SVG = "svg"
    PDF = "pdf"
    PNG = "png"


class SendForm(StrEnum):
    """Forms that a DICOM node takes."""

    DICOM_SR = "dicom-sr"
    DICOM_PDF = "dicom-pdf"


Write = Annotated[list[OutForm] | None, typer.Option(help="Beside the JSON; may be repeated.")]
# Hidden, so that it is not watched; there, so that a second watcher meets the first one's lock.
_WATCH_SPOOL = ".ecg-spool"
_NEED_CAIRO = frozenset({"dicom-pdf", "pdf", "png"})


def receive(
    host: Annotated[str, typer.Option(help="Address to bind to.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to bind to.", min=0, max=65535)] = 11112,
    ae_title: Annotated[str, typer.Option(help="Of this node.")] = "ECGFM",
    allow: Annotated[
        list[str] | None, typer.Option(help="Calling AE title that may send; may be repeated.")
    ] = None,
    server: Server = None,
    model: Model = None,
    out: Annotated[Path | None, typer.Option(help="Folder for results.")] = None,
    write: Write = None,
    send_to: Annotated[
        str | None, typer.Option(help="DICOM node for results, AE@host:port.")
    ] = None,
    send: Annotated[
        list[SendForm] | None,
        typer.Option(help="What is sent there, by default dicom-sr; may be repeated."),
    ] = None,
    spool: SpoolFolder = Path("ecg-spool"),
    max_object_mb: Annotated[int, typer.Option(help="Largest object.", min=1)] = 100,
    tls_cert: Annotated[Path | None, typer.Option(help="PEM; TLS is spoken then.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="PEM.")] = None,
    tls_ca: Annotated[Path | None, typer.Option(help="PEM; clients need a certificate.")] = None,
) -> None:
    """Be a DICOM node: waveforms in by C-STORE, results out to a folder or another node.

    Results are for research, not reviewed by anybody, and marked so.
    """
    with failures_told(as_json=False):
        deliveries: list[Delivery] = [Folder(out, _names(write))] if out else []
        if send_to:
            deliveries.append(_node(send_to, ae_title, _names(send) or ("dicom-sr",)))
        if not deliveries:
            raise typer.BadParameter("results go nowhere: give --out, --send-to or both")
        _check_forms([*_names(write), *_names(send)])
        settings = ReceiverSettings(
            host=host,
            port=port,
            ae_title=ae_title,
            allowed=tuple(allow or ()),
            max_object_bytes=max_object_mb << 20,
            tls_cert=_text(tls_cert),
            tls_key=_text(tls_key),
            tls_ca=_text(tls_ca),
        )
        with _working(spool, server, model, deliveries) as (queue, worker, stop):
            node = start_receiver(settings, queue, worker)
            typer.echo(f"{ae_title} listens on {host}:{node.server_address[1]}", err=True)
            try:
                stop.wait()
            finally:
                node.shutdown()


def watch(
    folder: Annotated[Path, typer.Argument(help="Its recordings, and its folders'.")],
    server: Server = None,
    model: Model = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for results; by default the same.")
    ] = None,
    write: Write = None,
    spool: Annotated[
        Path | None, typer.Option(help="The queue; by default .ecg-spool in the results' folder.")
    ] = None,
    interval_s: Annotated[float, typer.Option(help="Between looks.", min=0.05)] = 2.0,
    fs_hz: FsHz = None,
    units: Annotated[Units | None, typer.Option()] = None,
    leads: Leads = None,
    once: Annotated[bool, typer.Option("--once", help="What is there now, then end.")] = False,
) -> None:
    """Answer every recording that is put into a folder, without a person.

    Each result is a file with `"review": "needed"`: nobody has looked at it. With --once the exit
    code is 1 if some recording has got no result.
    """
    with failures_told(as_json=False):
        if not folder.is_dir():
            raise SettingsError("There is no such folder.", hint="Make it first.")
        _check_forms(_names(write))
        results = Folder(out or folder, _names(write))
        spool = spool or (out or folder) / _WATCH_SPOOL
        hints = given_hints(fs_hz, units, leads)
        working = _working(spool, server, model, [results], hints, in_thread=not once)
        with working as (queue, worker, stop):
            watcher = Watcher(folder, results, queue)
            if once:
                watcher.look(settled=True)
                _work_to_the_end(queue, worker, stop)
                left = any(queue.waiting())  # it was told to stop
                unanswered = left or watcher.failed_count or worker.set_aside_count
                raise typer.Exit(1 if unanswered else 0)
            while not stop.wait(interval_s):
                if watcher.look():
                    worker.news.set()


def _names(forms: Sequence[StrEnum] | None) -> tuple[str, ...]:
    return tuple(form.value for form in forms or ())


def _text(path: Path | None) -> str | None:
    return str(path) if path else None


def _node(text: str, ae_title: str, forms: Sequence[str]) -> DicomNode:
    try:
        return DicomNode.parse(text, ae_title, forms)
    except ValueError as error:
        raise typer.BadParameter(f"--send-to: {error}") from error


def _check_forms(forms: Sequence[str]) -> None:
    """Before the first recording waits for what is not there."""
    if not _NEED_CAIRO & set(forms):
        return
    try:
        import_module("cairosvg")
    except (ImportError, OSError) as error:
        raise NotInstalled(
            "PDF and PNG pictures need CairoSVG and Cairo.",
            hint="pip install 'ecg-fm-serve[pictures]'",
        ) from error


@contextmanager
def _working(
    spool: Path,
    server: str | None,
    model: str | None,
    deliveries: Sequence[Delivery],
    hints: Hints = NO_HINTS,
    *,
    in_thread: bool = True,
) -> Iterator[tuple[Spool, Worker, threading.Event]]:
    """A queue that is worked off until SIGTERM; the recording in hand is finished."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    queue, stop = Spool(spool), threading.Event()
    with asker(server, model, hints) as ask, _stopped_by_signals(stop):
        worker = Worker(queue, ask, deliveries, hints=hints)
        thread = threading.Thread(target=worker.run, args=(stop,), name="worker")
        if in_thread:
            thread.start()
        try:
            yield queue, worker, stop
        finally:
            stop.set()
            worker.news.set()
            if in_thread:
                thread.join()
            queue.close()


@contextmanager
def _stopped_by_signals(stop: threading.Event) -> Iterator[None]:
    def handler(_number: int, _frame: object) -> None:
        stop.set()

    before = {number: signal.signal(number, handler) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def _work_to_the_end(queue: Spool, worker: Worker, stop: threading.Event) -> None:
    work: Callable[[threading.Event], int] = worker.work
    while any(queue.waiting()) and not stop.is_set():
        if not work(stop):
            stop.wait(0.2)
