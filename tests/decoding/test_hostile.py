"""Whatever is sent: an EcgServeError or a recording, quickly, and no file left behind."""

import json
from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serve_app.decoding import Hints, Limits, Upload, decode
from serve_app.errors import CorruptedData, EcgServeError, InvalidFormat
from serve_app.recording import STANDARD_LEADS

SMALL = Limits(max_unpacked_bytes=1 << 22, max_samples=1 << 20, max_text_bytes=1 << 20)
FS = Hints(fs_hz=500)
QUICK = settings(
    max_examples=150,
    deadline=2000,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
INSERTS = st.sampled_from(
    [b"\0", b"\xff" * 4, b"9" * 12, b",", b"\n", b'"', b"-", b"[", b"1e999", b"nan", b"../", b"PK"]
) | st.binary(max_size=8)
EDITS = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 40), INSERTS), min_size=1, max_size=6)
Edits = list[tuple[float, int, bytes]]


def mutate(body: bytes, edits: Edits) -> bytes:
    for where, cut, insert in edits:
        # Squared: starts, where formats say what they are, are met more often.
        place = int(where**2 * len(body))
        body = body[:place] + insert + body[place + cut :]
    return body


def survive(upload: Upload | bytes, hints: Hints = FS) -> None:
    error = refusal(upload, hints)
    if error is not None:
        shown = f"{error} {error.hint} {error.extra}"
        assert "/tmp" not in shown
        assert "Traceback" not in shown
        assert error.__cause__ is None


def refusal(upload: Upload | bytes, hints: Hints) -> EcgServeError | None:
    try:
        decoded = decode(upload, hints, SMALL)
    except EcgServeError as error:
        return error
    assert decoded.signal_mv.dtype == np.float32
    assert decoded.signal_mv.shape[0] == len(decoded.leads)
    return None


@pytest.fixture(scope="session")
def seeds(
    dicom_bytes: bytes, short: np.ndarray, made: ModuleType, make_record: Callable[..., Upload]
) -> dict[str, bytes]:
    few = short[:, :40]
    rows = [",".join(map(repr, row)) for row in few.T.tolist()]
    return {
        "csv": "\n".join([",".join(STANDARD_LEADS), *rows]).encode(),
        "decimal comma": "\n".join(";".join(r.split(",")) for r in rows).replace(".", ",").encode(),
        "json": made.json(few, STANDARD_LEADS),
        "npy": made.npy(few),
        "dicom": dicom_bytes,
        "zip": made.zip(*make_record().files),
        "stored zip": made.zip(*make_record().files, method=0),
        "header": make_record().files[0][1],
    }


FORMATS = ["csv", "decimal comma", "json", "npy", "dicom", "zip", "stored zip", "header"]


@pytest.mark.parametrize("kind", FORMATS)
def test_cut_at_any_length(seeds: dict[str, bytes], kind: str) -> None:
    body = seeds[kind]
    for length in [*range(1, 200, 7), *range(200, len(body), max(1, len(body) // 40))]:
        survive(body[:length])


@pytest.mark.parametrize("kind", FORMATS)
@QUICK
@given(edits=EDITS)
def test_mutations(seeds: dict[str, bytes], kind: str, edits: Edits) -> None:
    survive(mutate(seeds[kind], edits))


@QUICK
@given(edits=EDITS)
def test_mutated_headers_with_their_signals(make_record, edits: Edits) -> None:
    header = mutate(make_record().files[0][1], edits)
    survive(make_record(hea=header), Hints())


@pytest.mark.parametrize("storage", ["8", "310", "311", "516", "16:3", "24x2", "212"])
@settings(QUICK, max_examples=25)
@given(content=st.binary(max_size=3000), claimed=st.integers(0, 400))
def test_signal_files_of_garbage(storage: str, content: bytes, claimed: int) -> None:
    lines = [f"r 2 250 {claimed}", *(f"r.dat {storage} 200/mV 12 0 0 0 0 {n}" for n in ("I", "II"))]
    survive(Upload((("r.hea", "\n".join(lines).encode()), ("r.dat", b"fLaC" + content))), Hints())


@QUICK
@given(body=st.binary(min_size=1, max_size=400))
def test_garbage(body: bytes) -> None:
    survive(body)
    survive(b"PK\x03\x04" + body)
    survive(b"\x93NUMPY\x01\x00" + body)
    survive(b"\0" * 128 + b"DICM" + body)
    survive(b"{" + body)


@QUICK
@given(text=st.text(alphabet="0123456789.,;\t\n\"'-eEnaN I:V(m)#", min_size=1, max_size=300))
def test_tables_of_any_shape(text: str) -> None:
    survive(text.encode(), Hints())
    survive(text.encode(), FS)


@QUICK
@given(
    value=st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(["fs_hz", "units", "leads", "signal", "lead_names", "I"]), inner
            )
        ),
        max_leaves=12,
    )
)
def test_json_of_any_shape(value: object) -> None:
    survive(json.dumps({"fs_hz": 500, "leads": value}).encode())
    survive(json.dumps(value).encode())


def test_nesting_does_not_recurse(made: ModuleType) -> None:
    for body in (b"[" * 100_000, b'{"a":' * 100_000, b"[]," * 300_000):
        survive(b'{"leads":' + body)


SEQUENCE = b"\x00\x54\x00\x01SQ\x00\x00"
ITEM = b"\xfe\xff\x00\xe0"
UNDEFINED = b"\xff\xff\xff\xff"


@pytest.mark.parametrize(
    "content",
    [
        SEQUENCE + UNDEFINED + (ITEM + bytes(4)) * 200_000,
        SEQUENCE + (1_600_000).to_bytes(4, "little") + (ITEM + bytes(4)) * 200_000,
        (SEQUENCE + UNDEFINED + ITEM + UNDEFINED) * 50_000,
        b"\x08\x00\x01\x00UI\x00\x00" * 200_000,
    ],
)
def test_dicom_of_nothing_but_elements(content: bytes) -> None:
    error = refusal(b"\0" * 128 + b"DICM" + content, FS)
    assert isinstance(error, InvalidFormat | CorruptedData)


@pytest.mark.parametrize(
    "body",
    [b"1,2\n" + b"," * 1_000_000, b"0:00.1;1\n" * 100_000, b"1,2\n" + b'"' * 1_000_000],
)
def test_tables_of_nothing_but_marks(body: bytes) -> None:
    assert isinstance(refusal(body, Hints(500, None, ("I",))), EcgServeError)
