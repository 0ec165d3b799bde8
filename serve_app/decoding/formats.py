"""The table of formats: a decoder is one file and one line here."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from serve_app.decoding.aecg import decode_aecg, looks_like_aecg
from serve_app.decoding.blocks import Blocks, Content
from serve_app.decoding.contec import decode_contec, looks_like_contec
from serve_app.decoding.csv_table import decode_csv, looks_like_csv
from serve_app.decoding.decoded import Decoded
from serve_app.decoding.dicom import decode_dicom, looks_like_dicom, open_dicom
from serve_app.decoding.edf import decode_edf, looks_like_bdf, looks_like_edf, open_edf
from serve_app.decoding.fhir import decode_fhir
from serve_app.decoding.fhir_resources import looks_like_fhir
from serve_app.decoding.hdf5_file import decode_hdf5, looks_like_hdf5
from serve_app.decoding.ishne import decode_ishne, looks_like_ishne, open_ishne
from serve_app.decoding.json_body import decode_json, looks_like_json
from serve_app.decoding.matlab import decode_matlab, looks_like_matlab
from serve_app.decoding.mfer import decode_mfer, looks_like_mfer, open_mfer
from serve_app.decoding.muse import decode_muse, looks_like_muse
from serve_app.decoding.npy_array import decode_npy, looks_like_npy, open_npy
from serve_app.decoding.parquet_table import decode_parquet, looks_like_parquet
from serve_app.decoding.philips import decode_philips, looks_like_philips
from serve_app.decoding.scp_ecg import decode_scp
from serve_app.decoding.scp_sections import looks_like_scp
from serve_app.decoding.upload import Hints, Limits
from serve_app.decoding.wfdb_header import looks_like_header
from serve_app.decoding.xml_document import looks_like_xml, refuse_xml
from serve_app.decoding.zip_archive import looks_like_zip
from serve_app.errors import InvalidFormat, UnsupportedMediaType

__all__ = [
    "CONTENT_TYPES",
    "FORMATS",
    "WFDB",
    "ZIP",
    "Format",
    "claimed_format",
    "covers",
    "recognise",
    "unrecognised",
]

Decoder = Callable[[bytes, Hints, Limits], Decoded]
Opener = Callable[[Content, Limits], Blocks]


@dataclass(frozen=True)
class Format:
    """A format: how to tell it, and how to read it.

    Attributes:
        name: As in ``Recording.format``.
        title: As in messages.
        content_types: The media types that name it.
        looks_like: Whether these bytes are of this format; never raises.
        decode: Decodes one file; None for what is made of several (WFDB, zip).
        open_blocks: Opens one file to be read a stretch at a time, where the format allows it.
    """

    name: str
    title: str
    content_types: tuple[str, ...]
    looks_like: Callable[[bytes], bool]
    decode: Decoder | None
    open_blocks: Opener | None = None


ZIP: Final = Format("zip", "a zip archive", ("application/zip", "application/x-zip-compressed",
                    "application/x-npz"), looks_like_zip, None)  # fmt: skip
WFDB: Final = Format("wfdb", "a WFDB header", ("application/x-wfdb",), looks_like_header, None)
# In the order of asking: the surest signature first, CSV last.
FORMATS: Final = (
    ZIP,
    Format("npy", "npy", ("application/x-npy", "application/npy"), looks_like_npy, decode_npy,
           open_npy),
    Format("scp", "SCP-ECG", ("application/x-scp-ecg", "application/scp-ecg"),
           looks_like_scp, decode_scp),
    Format("contec", "a Contec recording", ("application/x-contec-ecg",),
           looks_like_contec, decode_contec),
    Format("hdf5", "HDF5", ("application/x-hdf5", "application/x-hdf"), looks_like_hdf5,
           decode_hdf5),
    Format("parquet", "Parquet", ("application/vnd.apache.parquet", "application/x-parquet"),
           looks_like_parquet, decode_parquet),
    Format("dicom", "DICOM", ("application/dicom",), looks_like_dicom, decode_dicom, open_dicom),
    Format("muse", "GE MUSE XML", (), looks_like_muse, decode_muse),
    Format("philips", "Philips ECG XML", (), looks_like_philips, decode_philips),
    Format("aecg", "HL7 aECG", (), looks_like_aecg, decode_aecg),
    Format("fhir", "FHIR", ("application/fhir+json", "application/fhir+xml"),
           looks_like_fhir, decode_fhir),
    Format("xml", "XML", ("application/xml", "text/xml"), looks_like_xml, refuse_xml),
    Format("edf", "EDF", ("application/edf", "application/x-edf"),
           looks_like_edf, decode_edf, open_edf),
    Format("bdf", "BDF", ("application/bdf", "application/x-bdf"),
           looks_like_bdf, decode_edf, open_edf),
    Format("ishne", "ISHNE", ("application/x-ishne", "application/ishne"),
           looks_like_ishne, decode_ishne, open_ishne),
    Format("mfer", "MFER", ("application/x-mfer", "application/mfer"),
           looks_like_mfer, decode_mfer, open_mfer),
    Format("json", "JSON", ("application/json",), looks_like_json, decode_json),
    Format("matlab", "MATLAB", ("application/x-matlab-data", "application/matlab-mat"),
           looks_like_matlab, decode_matlab),
    WFDB,
    Format("csv", "CSV", ("text/csv", "application/csv", "text/tab-separated-values"),
           looks_like_csv, decode_csv),
)  # fmt: skip

# What a Content-Type covers beside its own format.
_COVERED: Final = {"wfdb": {"zip"}, "xml": {"muse", "philips", "aecg", "fhir"}, "json": {"fhir"}}
_ANY: Final = ("application/octet-stream", "binary/octet-stream", "multipart/form-data", "")
_BY_TYPE: Final = {kind: fmt for fmt in FORMATS for kind in fmt.content_types}
CONTENT_TYPES: Final = ("application/octet-stream", *_BY_TYPE)
_FOREIGN: Final = (
    *((b"%PDF", "a PDF document"), (b"\x89PNG", "a picture"), (b"\xff\xd8\xff", "a picture")),
    *((b"GIF8", "a picture"), (b"MATLAB 5", "a MATLAB file")),
    (b"\x1f\x8b", "gzip; name it in Content-Encoding"),
    (b"\x28\xb5\x2f\xfd", "zstd; name it in Content-Encoding"),
)


def claimed_format(content_type: str) -> Format | None:
    """The format that a Content-Type names; None where it leaves the format open.

    Raises:
        UnsupportedMediaType: A type that is not known; the hint lists those that are.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind in _ANY:
        return None
    if kind not in _BY_TYPE:
        raise UnsupportedMediaType(
            f"Content-Type {kind[:60]!r} is not read here.",
            hint=f"Use one of: {', '.join(CONTENT_TYPES)}; the first has the format recognised.",
        )
    return _BY_TYPE[kind]


def covers(claimed: Format, found: Format) -> bool:
    """Whether a body of one format may come under the name of the other."""
    return found is claimed or found.name in _COVERED.get(claimed.name, ())


def recognise(data: bytes) -> Format | None:
    """The format that the bytes are of, whatever they are called."""
    return next((fmt for fmt in FORMATS if fmt.looks_like(data)), None)


def unrecognised(data: bytes) -> InvalidFormat:
    """The error for bytes of no format that is read here, with what can be told of them."""
    start = data[:64].removeprefix(b"\xef\xbb\xbf").lstrip()
    for magic, what in _FOREIGN:
        if start.startswith(magic):
            return InvalidFormat(f"No decoder reads this: it looks like {what}.")
    return InvalidFormat("No decoder recognises the content.")
