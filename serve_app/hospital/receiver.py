"""A DICOM node that electrocardiographs send to: C-STORE of waveforms, and C-ECHO.

Success is answered once an object is safely on disk. pynetdicom keeps an object in memory while it
comes in, and believes the lengths that the other side states: `_Bounded` stands before it.
"""

import logging
import re
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any, Final

from serve_app.errors import NotInstalled, Overloaded, SettingsError
from serve_app.hospital.spool import Spool
from serve_app.hospital.worker import Worker

__all__ = ["ReceiverSettings", "start_receiver"]

_log = logging.getLogger(__name__)
_WAVEFORM_CLASSES: Final = (
    "TwelveLeadECGWaveformStorage",
    "GeneralECGWaveformStorage",
    "General32bitECGWaveformStorage",
    "AmbulatoryECGWaveformStorage",
    "HemodynamicWaveformStorage",
)
_UID: Final = re.compile(r"[0-9.]{1,64}", re.ASCII)
_SUCCESS, _OUT_OF_RESOURCES, _CANNOT_UNDERSTAND = 0x0000, 0xA700, 0xC000
_TIMEOUT_S: Final = 30.0
# Beyond the largest that is negotiated; an association request may be longer than data.
_MAX_PDU_BYTES: Final = 1 << 20


@dataclass(frozen=True)
class ReceiverSettings:
    """How the node is reached, and by whom.

    Attributes:
        host: Address to bind to.
        port: Port to bind to; 0 takes a free one.
        ae_title: Ours; associations that call another are refused.
        allowed: Calling AE titles; empty takes any.
        max_object_bytes: Of one object.
        max_associations: At once.
        tls_cert: PEM file, with the key in it or in `tls_key`.
        tls_key: PEM file.
        tls_ca: PEM file; certificates of clients are demanded and checked against it.
    """

    host: str = "127.0.0.1"
    port: int = 11112
    ae_title: str = "ECGFM"
    allowed: tuple[str, ...] = ()
    max_object_bytes: int = 100 << 20
    max_associations: int = 8
    tls_cert: str | None = None
    tls_key: str | None = None
    tls_ca: str | None = None


def start_receiver(settings: ReceiverSettings, spool: Spool, worker: Worker) -> Any:
    """Accept associations in threads; returns pynetdicom's server, to be `shutdown()`.

    Raises:
        SettingsError: It would be open to everybody, or cannot be bound.
        NotInstalled: Without pynetdicom.
    """
    _refuse_openness(settings)
    try:
        from pynetdicom import evt
    except ImportError as error:
        raise NotInstalled(
            "The receiver needs pynetdicom, which is not installed.",
            hint="pip install 'ecg-fm-serve[dicom]'",
        ) from error
    _keep_quiet()
    handlers = [
        (evt.EVT_CONN_OPEN, _bound, [settings.max_object_bytes]),
        (evt.EVT_C_ECHO, lambda _event: _SUCCESS),
        (evt.EVT_C_STORE, _store, [spool, worker]),
    ]
    try:
        return _node(settings).start_server(
            (settings.host, settings.port),
            block=False,
            ssl_context=_tls(settings),
            evt_handlers=handlers,
        )
    except OSError as error:
        raise SettingsError(f"The receiver cannot be started: {error.strerror}.") from error


def _keep_quiet() -> None:
    """Their warnings quote what is sent."""
    from pydicom import config

    for library in ("pydicom", "pynetdicom"):
        logging.getLogger(library).setLevel(logging.ERROR)
    config.settings.reading_validation_mode = config.IGNORE
    config.settings.writing_validation_mode = config.IGNORE


def _refuse_openness(settings: ReceiverSettings) -> None:
    if settings.allowed or settings.tls_ca or _is_loopback(settings.host):
        return
    raise SettingsError(
        f"{settings.host} is not loopback, and anybody might send.",
        hint="Name the calling AE titles with --allow, or demand certificates with --tls-ca.",
    )


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _node(settings: ReceiverSettings) -> Any:
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian
    from pynetdicom import AE, sop_class

    node = AE(settings.ae_title)
    node.require_called_aet = True
    node.require_calling_aet = list(settings.allowed)
    node.maximum_associations = settings.max_associations
    node.acse_timeout = node.dimse_timeout = node.network_timeout = _TIMEOUT_S
    syntaxes = [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian]
    node.add_supported_context("1.2.840.10008.1.1")  # Verification: C-ECHO
    for name in _WAVEFORM_CLASSES:
        node.add_supported_context(getattr(sop_class, name), syntaxes)
    return node


def _tls(settings: ReceiverSettings) -> ssl.SSLContext | None:
    if settings.tls_cert is None:
        if settings.tls_ca or settings.tls_key:
            raise SettingsError("TLS needs a certificate.", hint="Give --tls-cert.")
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(settings.tls_cert, settings.tls_key)
    if settings.tls_ca:
        context.load_verify_locations(settings.tls_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


class _Bounded:
    """Stands before a connection's `recv`: so much in one piece, so much in one object.

    Raising OSError closes the connection, and with it the memory of what came in.
    """

    def __init__(self, connection: Any, max_object_bytes: int) -> None:
        self._recv = connection.recv
        self._limit = max_object_bytes
        self.received = 0

    def __call__(self, count: int) -> bytes:
        self.received += count
        if count > _MAX_PDU_BYTES or self.received > self._limit + _MAX_PDU_BYTES:
            _log.warning("an association was closed: its object is too large")
            raise OSError("too large")
        received: bytes = self._recv(count)
        return received


def _bound(event: Any, max_object_bytes: int) -> None:
    connection = event.assoc.dul.socket
    connection.socket.settimeout(_TIMEOUT_S)  # who sends half a message is not waited for
    connection.recv = _Bounded(connection, max_object_bytes)


def _store(event: Any, spool: Spool, worker: Worker) -> int:
    """Answer a C-STORE: the object is on disk, or the sender keeps it and tries again."""
    event.assoc.dul.socket.recv.received = 0
    uid = str(event.request.AffectedSOPInstanceUID or "")
    if not _UID.fullmatch(uid) or event.request.DataSet is None:
        return _CANNOT_UNDERSTAND
    source = {
        "kind": "c-store",
        "sop_instance_uid": uid,
        "calling_ae_title": str(event.assoc.requestor.ae_title).strip(),
        "received_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    try:
        item = spool.put(
            (("", event.encoded_dataset()),), {"kind": "c-store", "name": uid, "source": source}
        )
    except (OSError, Overloaded) as error:
        _log.error("an object was not taken on (%s)", type(error).__name__)
        return _OUT_OF_RESOURCES
    _log.info("item %s received", item.identity)
    worker.news.set()
    return _SUCCESS
