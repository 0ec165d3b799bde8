"""The DICOM node: real associations by pynetdicom and, where it is installed, by DCMTK."""

import datetime
import io
import shutil
import socket
import ssl
import struct
import subprocess
import threading
from contextlib import contextmanager

import numpy as np
import pydicom
import pytest
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, evt

from serve_app.errors import Overloaded, SettingsError
from serve_app.hospital.deliveries import DicomNode, Folder
from serve_app.hospital.receiver import ReceiverSettings, start_receiver
from serve_app.hospital.worker import Worker

from .conftest import receiving, until

VERIFICATION = "1.2.840.10008.1.1"
SR, ENCAPSULATED_PDF = "1.2.840.10008.5.1.4.1.1.88.33", "1.2.840.10008.5.1.4.1.1.104.1"
CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"


@pytest.fixture
def dataset(dicom_bytes):
    return pydicom.dcmread(io.BytesIO(dicom_bytes))


def associated(port, *contexts, called="ECGFM", calling="CART", **options):
    """An association, or None where it is refused."""
    node = AE(calling)
    node.acse_timeout = node.dimse_timeout = node.network_timeout = 10
    for sop_class, syntax in contexts:
        node.add_requested_context(sop_class, syntax)
    association = node.associate("127.0.0.1", port, ae_title=called, **options)
    return association if association.is_established else None


def send(port, dataset, syntax=ExplicitVRLittleEndian, **options):
    """The status of a C-STORE; None where the connection was lost."""
    association = associated(port, (dataset.SOPClassUID, syntax), **options)
    try:
        return association.send_c_store(dataset).get("Status")
    finally:
        association.release()


def encoded(dataset, syntax):
    """The same object in another transfer syntax."""
    if not syntax.is_little_endian:
        for group in dataset.WaveformSequence:
            samples = np.frombuffer(group.WaveformData, "<i2")
            group.WaveformData = samples.astype(">i2").tobytes()
    dataset.file_meta.TransferSyntaxUID = syntax
    file = io.BytesIO()
    pydicom.dcmwrite(
        file,
        dataset,
        implicit_vr=syntax.is_implicit_VR,
        little_endian=syntax.is_little_endian,
        force_encoding=True,
    )
    return pydicom.dcmread(io.BytesIO(file.getvalue()))


def test_echo(spool, idle_worker):
    with receiving(spool, idle_worker) as port:
        association = associated(port, (VERIFICATION, ImplicitVRLittleEndian))
        assert association.send_c_echo().Status == 0
        association.release()


def test_success_means_on_disk(spool, idle_worker, dataset):
    with receiving(spool, idle_worker) as port:
        assert send(port, dataset) == 0
        (item,) = spool.waiting()
        ((_, content),) = item.files()
    received = pydicom.dcmread(io.BytesIO(content))
    assert received.WaveformSequence == dataset.WaveformSequence
    assert item.note["name"] == dataset.SOPInstanceUID
    assert item.note["source"]["calling_ae_title"] == "CART"
    assert "642341" not in str(item.note)


@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian]
)
def test_every_uncompressed_syntax_is_answered_alike(spool, ask, tmp_path, syntax, dataset):
    sent = encoded(dataset, syntax)
    worker = Worker(spool, ask, [Folder(tmp_path / "out")])
    with receiving(spool, worker) as port:
        assert send(port, sent, syntax) == 0
    assert worker.work() == 1
    text = (tmp_path / f"out/{dataset.SOPInstanceUID}.ecg-result.json").read_text()
    assert '"label": "Sinus rhythm"' in text


@pytest.mark.parametrize(
    "refused",
    [{"called": "OTHER"}, {"calling": "STRANGER"}],
    ids=["called", "calling"],
)
def test_strangers_are_refused(spool, idle_worker, refused):
    with receiving(spool, idle_worker, allowed=("CART",)) as port:
        verification = (VERIFICATION, ImplicitVRLittleEndian)
        assert associated(port, verification, **refused) is None
        known = associated(port, verification)
        assert known
        known.release()


def test_other_objects_are_not_negotiated(spool, idle_worker):
    with receiving(spool, idle_worker) as port:
        assert associated(port, (CT_IMAGE, ExplicitVRLittleEndian)) is None


def test_too_large_an_object_ends_the_association(spool, idle_worker, dataset):
    with receiving(spool, idle_worker, max_object_bytes=1 << 20) as port:
        assert send(port, dataset) == 0
        group = dataset.WaveformSequence[0]
        group.WaveformData = bytes(4 << 20)
        assert send(port, dataset) is None
    assert len(list(spool.waiting())) == 1


def test_many_objects_on_one_association_are_each_measured(spool, idle_worker, dataset):
    with receiving(spool, idle_worker, max_object_bytes=1 << 20) as port:
        association = associated(port, (dataset.SOPClassUID, ExplicitVRLittleEndian))
        for number in range(12):  # 3.5 MB together
            dataset.SOPInstanceUID = f"1.2.3.{number}"
            assert association.send_c_store(dataset).Status == 0
        association.release()
    assert len(list(spool.waiting())) == 12


def test_a_stated_length_is_not_believed(spool, idle_worker):
    with (
        receiving(spool, idle_worker) as port,
        socket.create_connection(("127.0.0.1", port), 10) as raw,
    ):
        raw.sendall(struct.pack(">BBL", 1, 0, 0xFFFFFFFF) + b"\0" * 1000)
        raw.settimeout(10)
        try:
            closed = raw.recv(1000) == b""
        except ConnectionError:
            closed = True
        assert closed


def test_what_cannot_be_kept_is_not_acknowledged(spool, idle_worker, dataset, monkeypatch):
    def full(*args):
        raise Overloaded("full")

    with receiving(spool, idle_worker) as port:
        monkeypatch.setattr(spool, "put", full)
        assert send(port, dataset) == 0xA700

        def no_space(*args):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(spool, "put", no_space)
        assert send(port, dataset) == 0xA700


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_nobody_is_open_to_all_by_accident(spool, idle_worker, host):
    with pytest.raises(SettingsError, match="not loopback"):
        start_receiver(ReceiverSettings(host=host, port=0), spool, idle_worker)


def test_a_port_in_use_is_told(spool, idle_worker):
    with receiving(spool, idle_worker) as port, pytest.raises(SettingsError, match="started"):
        start_receiver(ReceiverSettings(port=port), spool, idle_worker)


def certificate(folder, name):
    """A self-signed certificate with its key, in one file."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / f"{name}.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return str(path)


def test_tls_demands_a_certificate(spool, idle_worker, dataset, tmp_path):
    server, client = (certificate(tmp_path, name) for name in ("localhost", "cart"))
    known = ssl.create_default_context(cafile=server)
    known.load_cert_chain(client)
    with receiving(spool, idle_worker, tls_cert=server, tls_ca=client) as port:
        assert send(port, dataset, tls_args=(known, "localhost")) == 0
        stranger = ssl.create_default_context(cafile=server)
        context = (dataset.SOPClassUID, ExplicitVRLittleEndian)
        assert associated(port, context, tls_args=(stranger, "localhost")) is None
        assert associated(port, context) is None
    assert len(list(spool.waiting())) == 1


def test_results_go_to_another_node(spool, ask, tmp_path, dicom_bytes, dataset):
    archive = Archive()
    with archive.listening() as port:
        node = DicomNode.parse(f"ARCHIVE@127.0.0.1:{port}", "ECGFM", ("dicom-sr", "dicom-pdf"))
        worker = Worker(spool, ask, [node])
        with receiving(spool, worker) as own_port:
            send(own_port, dataset)
        assert worker.work() == 1
    report, document = archive.received
    assert (report.Modality, document.Modality) == ("SR", "DOC")
    for sent in archive.received:
        assert sent.PatientID == "642341"
        assert sent.StudyInstanceUID == dataset.StudyInstanceUID


@pytest.mark.parametrize(("status", "waits"), [(0xA700, 1), (0xC000, 1), (0xB000, 0)])
def test_a_node_that_refuses(spool, ask, dataset, status, waits):
    archive = Archive(status)
    with archive.listening() as port:
        node = DicomNode.parse(f"ARCHIVE@localhost:{port}", "ECGFM", ("dicom-sr",))
        worker = Worker(spool, ask, [node], first_wait_s=0.0)
        with receiving(spool, worker) as own_port:
            send(own_port, dataset)
        worker.work()
        assert len(list(spool.waiting())) == waits


def test_a_node_that_is_away(spool, ask, dataset):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    node = DicomNode.parse(f"ARCHIVE@127.0.0.1:{port}", "ECGFM", ("dicom-sr",))
    worker = Worker(spool, ask, [node], first_wait_s=0.0)
    with receiving(spool, worker) as own_port:
        send(own_port, dataset)
    for _ in range(6):
        assert worker.work() == 0
    assert len(list(spool.waiting())) == 1


@pytest.mark.parametrize(
    "text", ["", "AE", "AE@host", "AE@host:0", "AE@host:99999", "@h:1", "A" * 17 + "@h:1", "a@b:c"]
)
def test_nodes_that_are_none(text):
    with pytest.raises(ValueError, match="AE@host:port"):
        DicomNode.parse(text, "ECGFM", ())


class Archive:
    """A node that keeps what it is sent."""

    def __init__(self, status=0x0000):
        self.status, self.received = status, []

    @contextmanager
    def listening(self):
        node = AE("ARCHIVE")
        for sop_class in (SR, ENCAPSULATED_PDF):
            node.add_supported_context(sop_class)
        server = node.start_server(
            ("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, self._keep)]
        )
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()

    def _keep(self, event):
        self.received.append(event.dataset)
        return self.status


def test_dcmtk_sends_and_is_answered(spool, ask, tmp_path, data_dir, dicom_path):
    if shutil.which("storescu") is None:
        pytest.skip("DCMTK is not installed: apt-get install dcmtk")
    files = [*sorted((data_dir / "derived/dicom").glob("*.dcm")), dicom_path]
    worker, stop = Worker(spool, ask, [Folder(tmp_path / "out")]), threading.Event()
    thread = threading.Thread(target=worker.run, args=(stop,))
    thread.start()
    try:
        with receiving(spool, worker) as port:
            address = ["-aet", "CART", "-aec", "ECGFM", "127.0.0.1", str(port)]
            subprocess.run(["echoscu", *address], check=True, timeout=30)
            subprocess.run(["storescu", "-xe", *address, *files], check=True, timeout=30)
            until(lambda: len(list((tmp_path / "out").glob("*.json"))) == len(files))
    finally:
        stop.set()
        worker.news.set()
        thread.join()
    assert not list(spool.waiting())
