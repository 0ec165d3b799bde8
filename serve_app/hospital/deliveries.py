"""Where outcomes go: a folder, another DICOM node."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Final, Protocol

from serve_app.errors import EcgServeError, Unavailable
from serve_app.hospital.outcome import FORMS, Outcome, envelope, problem_of
from serve_app.hospital.spool import write_durably

__all__ = ["RESULT_MARK", "Delivery", "DicomNode", "Folder", "Refused"]

# In the names of all files that are written here, so that a watched folder knows its own.
RESULT_MARK: Final = ".ecg-result"
_TIMEOUT_S: Final = 30.0


class Refused(EcgServeError):
    """The other node took the association but not the object."""

    code = "delivery_refused"
    title = "Result refused"


class Delivery(Protocol):
    """One destination; delivering twice does no harm."""

    def deliver(self, name: str, source: Mapping[str, Any], outcome: Outcome) -> None:
        """Bring a result there; raises Unavailable if that may work later."""
        ...

    def deliver_problem(self, name: str, source: Mapping[str, Any], error: EcgServeError) -> None:
        """Tell there that a recording could not be answered."""
        ...


@dataclass(frozen=True)
class Folder:
    """Files in a folder: the JSON, and the forms asked for besides.

    Attributes:
        path: Of the folder.
        forms: Of `outcome.FORMS`.
    """

    path: Path
    forms: Sequence[str] = ()

    def result_path(self, name: str) -> Path:
        """Where the JSON of that name is written."""
        return self.path / f"{name}{RESULT_MARK}.json"

    def deliver(self, name: str, source: Mapping[str, Any], outcome: Outcome) -> None:
        """Write the forms, and the JSON last: where it is, all is."""
        for form in self.forms:
            self._write(f"{name}{RESULT_MARK}{FORMS[form].suffix}", outcome.render(form))
        content = envelope(source, result=outcome.result.to_dict())
        self._write(self.result_path(name).relative_to(self.path), content)

    def deliver_problem(self, name: str, source: Mapping[str, Any], error: EcgServeError) -> None:
        """Write the JSON with the problem."""
        content = envelope(source, error=problem_of(error))
        self._write(self.result_path(name).relative_to(self.path), content)

    def _write(self, name: str | Path, content: bytes) -> None:
        path = self.path / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_durably(path, content)
        except OSError as error:
            raise Unavailable(f"The result cannot be written: {error.strerror}.") from error


@dataclass(frozen=True)
class DicomNode:
    """Another DICOM node, such as an archive: C-STORE of DICOM objects.

    Attributes:
        ae_title: The node's.
        host: Its name or address.
        port: Its port.
        calling_ae_title: Ours.
        forms: ``dicom-sr``, ``dicom-pdf``.
    """

    ae_title: str
    host: str
    port: int
    calling_ae_title: str
    forms: Sequence[str] = ("dicom-sr",)

    @classmethod
    def parse(cls, text: str, calling_ae_title: str, forms: Sequence[str]) -> "DicomNode":
        """From ``AE@host:port``; raises ValueError."""
        match = re.fullmatch(r"([ -\[\]-~]{1,16})@(\[[^\]]+\]|[^:@\s]+):(\d{1,5})", text)
        if match is None or not 0 < int(match[3]) < 65536:
            raise ValueError("a DICOM node is written AE@host:port")
        return cls(match[1], match[2].strip("[]"), int(match[3]), calling_ae_title, tuple(forms))

    def deliver(self, name: str, source: Mapping[str, Any], outcome: Outcome) -> None:
        """Send one object a form; what was sent before is the same object again."""
        del name, source
        self._send([outcome.render(form) for form in self.forms])

    def deliver_problem(self, name: str, source: Mapping[str, Any], error: EcgServeError) -> None:
        """Nothing: an archive has no place for it."""

    def _send(self, objects: Sequence[bytes]) -> None:
        from pydicom import dcmread
        from pynetdicom import AE

        datasets = [dcmread(BytesIO(content)) for content in objects]
        node = AE(self.calling_ae_title)
        node.acse_timeout = node.dimse_timeout = node.network_timeout = _TIMEOUT_S
        node.connection_timeout = _TIMEOUT_S
        for dataset in datasets:
            syntax = dataset.file_meta.TransferSyntaxUID
            node.add_requested_context(dataset.SOPClassUID, syntax)
        association = node.associate(self.host, self.port, ae_title=self.ae_title)
        if not association.is_established:
            raise Unavailable("The DICOM node that results are sent to cannot be reached.")
        try:
            for dataset in datasets:
                _check_status(association.send_c_store(dataset))
        except ValueError as error:  # no context was accepted for it
            raise Refused("The DICOM node takes no objects of this kind.") from error
        finally:
            association.release()


def _check_status(answer: Any) -> None:
    status = answer.get("Status") if answer else None
    if status is None or status >> 8 == 0xA7:  # no answer, or out of resources
        raise Unavailable("The DICOM node that results are sent to did not take one.")
    if status != 0 and status >> 12 != 0xB:  # neither success nor a warning
        raise Refused(f"The DICOM node refused the result with status 0x{status:04X}.")
