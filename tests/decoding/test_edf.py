"""EDF and BDF: the reference reader's samples, the ECG alone, and gaps where they were."""

import io
import mmap
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import edfio
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from serve_app.decoding import Hints, Limits, Upload, decode, decode_path
from serve_app.decoding.edf import looks_like_edf, open_edf
from serve_app.decoding.upload import DEFAULT_LIMITS
from serve_app.errors import (
    CorruptedData,
    EcgServeError,
    InvalidFormat,
    InvalidSignal,
    PayloadTooLarge,
)
from serve_app.recording import STANDARD_LEADS

# Offsets of the fields that every signal shares.
VERSION, PATIENT, HEADER_BYTES, RESERVED = 0, 8, 184, 192
RECORDS, RECORD_S, SIGNALS = 236, 244, 252
FIELDS = {"label": (0, 16), "unit": (96, 8), "physical_min": (104, 8), "physical_max": (112, 8),
          "digital_min": (120, 8), "digital_max": (128, 8), "samples": (216, 8)}  # fmt: skip
Make = Callable[..., bytes]


@pytest.fixture
def make(short: np.ndarray) -> Make:
    """`make((label, unit, samples a second), ...)`: three seconds of EDF, or BDF by `kind`."""

    def write(*signals: tuple[str, str, int], kind: type = edfio.Edf, **extra: object) -> bytes:
        signal_of = edfio.BdfSignal if kind is edfio.Bdf else edfio.EdfSignal
        made = [
            signal_of(
                short[i % 12, : 3 * rate].astype(float),
                rate,
                label=label,
                physical_dimension=unit,
                physical_range=(-5, 5),
            )
            for i, (label, unit, rate) in enumerate(signals)
        ]
        stream = io.BytesIO()
        kind(made, data_record_duration=1, **extra).write(stream)
        return stream.getvalue()

    return write


def edited(body: bytes, place: int, text: str, width: int = 8) -> bytes:
    return body[:place] + text.encode().ljust(width)[:width] + body[place + width :]


def edited_signal(body: bytes, field: str, text: str, index: int = 0) -> bytes:
    """One field of one signal replaced; the header holds a field of all signals, then the next."""
    before, width = FIELDS[field]
    count = int(body[SIGNALS : SIGNALS + 4])
    return edited(body, 256 + before * count + index * width, text, width)


def test_cross_format_oracles(data_dir: Path) -> None:
    """The same beats in EDF, BDF and WFDB are equal sample by sample."""
    for name, record in (("edf/mitdb201_plus.edf", "201"), ("bdf/mitdb119.bdf", "119")):
        decoded = decode_path(data_dir / "derived" / name)
        source = decode_path(data_dir / f"beats/mitdb/{record}.hea")
        assert_array_equal(decoded.signal_mv, source.signal_mv[:, : decoded.signal_mv.shape[1]])
        assert (decoded.leads, decoded.fs_hz) == (source.leads, source.fs_hz)
        assert decoded.format == name[:3]
        assert not decoded.units_assumed


def test_public_file(data_dir: Path) -> None:
    """Records of a single sample, and a broken start time."""
    path = data_dir / "formats/edf/contec_0000050.edf"
    decoded = decode_path(path)
    assert (decoded.leads, decoded.fs_hz) == (STANDARD_LEADS, 800)
    reference = edfio.read_edf(path.read_bytes(), lazy_load_data=False)
    expected = [signal.data for signal in reference.signals]
    assert_allclose(decoded.signal_mv, expected, rtol=1e-6)


@pytest.mark.parametrize("kind", [edfio.Edf, edfio.Bdf])
def test_samples_equal_the_reference_reader(make: Make, kind: type) -> None:
    body = make(*((f"ECG {lead}", "mV", 200) for lead in STANDARD_LEADS), kind=kind)
    read = edfio.read_bdf if kind is edfio.Bdf else edfio.read_edf
    expected = [signal.data for signal in read(body).signals]
    decoded = decode(body)
    assert (decoded.leads, decoded.fs_hz) == (STANDARD_LEADS, 200)
    assert_allclose(decoded.signal_mv, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(("unit", "factor"), [("uV", 1e-3), ("mV", 1), ("V", 1e3), ("nV", 1e-6)])
def test_units(make: Make, unit: str, factor: float) -> None:
    expected = decode(make(("ECG II", "mV", 200))).signal_mv
    decoded = decode(make(("ECG II", unit, 200)))
    assert_allclose(decoded.signal_mv, expected * factor, rtol=1e-6)
    assert not decoded.units_assumed


def test_the_micro_sign_of_latin_1(make: Make) -> None:
    body = make(("ECG II", "uV", 200))
    signed = body.replace(b"uV      ", b"\xb5V      ")
    assert_array_equal(decode(signed).signal_mv, decode(body).signal_mv)
    assert not decode(signed).units_assumed


def test_a_file_without_units_takes_a_hint(make: Make) -> None:
    body = make(("ECG II", "", 200))
    assert decode(body).units_assumed
    assert_allclose(
        decode(body, Hints(units="uV")).signal_mv, decode(body).signal_mv / 1000, rtol=1e-6
    )


@pytest.mark.parametrize(
    ("label", "lead"),
    [
        ("ECG II", "II"),
        ("EKG V5", "V5"),
        ("Lead I", "I"),
        ("ECG Lead aVF", "aVF"),
        ("ecg-V1", "V1"),
        ("ECG", "ECG"),
        ("EKG1", "EKG1"),
        ("ECG 1", "ECG 1"),
        ("ECG MLII", "MLII"),
        ("ECG LA-RA", "I"),
        ("avl", "aVL"),
        ("ECGII", "ECGII"),
        ("EEG EKG1-REF", "EEG EKG1-REF"),
        ("CM5", "CM5"),
        ("V3R", "V3R"),
    ],
)
def test_the_ecg_is_found_by_its_label(make: Make, label: str, lead: str) -> None:
    body = make(("EEG Fpz-Cz", "uV", 100), ("EOG left", "uV", 100), (label, "uV", 100),
                ("Resp oro-nasal", "", 1), ("SaO2", "%", 1), ("C3-M2", "uV", 200))  # fmt: skip
    decoded = decode(body)
    assert (decoded.leads, decoded.fs_hz) == ((lead,), 100)


def test_a_signal_without_a_telling_name_is_taken_where_none_has_one(make: Make) -> None:
    assert decode(make(("EMG chin", "uV", 100), ("Ch 3", "uV", 100))).leads == ("Ch 3",)


@pytest.mark.parametrize(
    "signals",
    [
        [("EEG Fpz-Cz", "uV", 100), ("EMG submental", "uV", 100)],
        [("Fp1", "uV", 100), ("Cz", "uV", 100)],
        [("SaO2", "%", 1)],
        [("ECG II", "mmHg", 100)],
    ],
)
def test_no_ecg(make: Make, signals: list[tuple[str, str, int]]) -> None:
    with pytest.raises(InvalidSignal, match="ECG"):
        decode(make(*signals))


def test_of_several_rates_the_commonest_is_read(make: Make) -> None:
    body = make(("ECG I", "mV", 100), ("ECG II", "mV", 200), ("ECG V1", "mV", 200))
    assert (decode(body).leads, decode(body).fs_hz) == (("II", "V1"), 200)
    assert decode(make(("ECG I", "mV", 100), ("ECG II", "mV", 200))).fs_hz == 200


def test_annotations_and_patient_never_show(make: Make) -> None:
    patient = edfio.Patient(name="Doe^Jane", code="MRN-77")
    body = make(
        ("ECG II", "mV", 200),
        annotations=[edfio.EdfAnnotation(1.5, None, "Doe collapsed")],
        patient=patient,
    )
    assert decode(body).leads == ("II",)
    for damaged in (body, edited(body, RECORDS, "Doe")):
        shown = repr(_error(damaged) or decode(damaged))
        assert "Doe" not in shown
        assert "MRN" not in shown


def discontinuous(make: Make, onsets: list[str], kind: type = edfio.Edf) -> bytes:
    """Three records of a second, each with the given onset."""
    marks = [edfio.EdfAnnotation(second + 0.5, None, "x" * 20) for second in range(3)]
    body = make(("ECG II", "mV", 200), kind=kind, annotations=marks)
    body = edited(body, RESERVED, "EDF+D" if kind is edfio.Edf else "BDF+D", 5)
    signal_bytes, record_bytes = 200 * (2 if kind is edfio.Edf else 3), (len(body) - 768) // 3
    for i, onset in enumerate(onsets):
        place, width = 768 + i * record_bytes + signal_bytes, record_bytes - signal_bytes
        times = f"+{onset}\x14\x14\0".encode().ljust(width, b"\0")
        body = body[:place] + times + body[place + width :]
    return body


@pytest.mark.parametrize("kind", [edfio.Edf, edfio.Bdf])
def test_gaps_are_missing_samples(make: Make, kind: type) -> None:
    whole = decode(make(("ECG II", "mV", 200), kind=kind)).signal_mv
    gapped = decode(discontinuous(make, ["7", "8", "9"], kind)).signal_mv
    assert_array_equal(gapped, whole)
    gapped = decode(discontinuous(make, ["0", "3", "4"], kind)).signal_mv
    assert gapped.shape == (1, 1000)
    assert_array_equal(gapped[:, :200], whole[:, :200])
    assert np.isnan(gapped[:, 200:600]).all()
    assert_array_equal(gapped[:, 600:], whole[:, 200:])


def test_rounded_times_are_no_gaps(make: Make) -> None:
    whole = decode(make(("ECG II", "mV", 200))).signal_mv
    body = discontinuous(make, ["0", "1.004", "1.998"])
    assert_array_equal(decode(body).signal_mv, whole)


@pytest.mark.parametrize(
    ("onsets", "error"),
    [
        (["0", "0", "1"], CorruptedData),
        (["5", "1", "9"], CorruptedData),
        (["0", "1", "999999999999"], PayloadTooLarge),
        (["0", "1", "x"], CorruptedData),
    ],
)
def test_times_that_cannot_be(make: Make, onsets: list[str], error: type) -> None:
    with pytest.raises(error):
        decode(discontinuous(make, onsets))


def test_discontinuous_without_times(make: Make) -> None:
    with pytest.raises(InvalidFormat, match="when its records start"):
        decode(edited(make(("ECG II", "mV", 200)), RESERVED, "EDF+D", 5))


@pytest.mark.parametrize("kind", [edfio.Edf, edfio.Bdf])
def test_any_stretch_equals_the_whole(make: Make, kind: type) -> None:
    bodies = [
        make(("ECG II", "uV", 200), ("ECG V1", "mV", 200), ("EEG", "uV", 7), kind=kind),
        discontinuous(make, ["0", "3", "7"], kind),
    ]
    for body in bodies:
        blocks = open_edf(memoryview(body), DEFAULT_LIMITS)
        whole = blocks.read(0, blocks.samples)
        for start, stop in ((0, 0), (0, 1), (199, 201), (37, 555), (250, 400), (599, 600)):
            assert_array_equal(blocks.read(start, stop), whole[:, start:stop])


def test_a_day_is_read_a_stretch_at_a_time(make: Make, tmp_path: Path) -> None:
    body = make(("ECG II", "mV", 200))
    path = tmp_path / "day.edf"
    with path.open("wb") as file:
        file.write(edited(body, RECORDS, "86400"))
        file.write(body[-400:] * (86400 - 3))
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        tracemalloc.start()
        blocks = open_edf(mapped, DEFAULT_LIMITS)
        last = blocks.read(blocks.samples - 200, blocks.samples)
        peak_bytes = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert blocks.samples == 86400 * 200
    assert_array_equal(last, decode(body).signal_mv[:, -200:])
    assert peak_bytes < 100_000


@pytest.mark.parametrize("kind", [edfio.Edf, edfio.Bdf])
def test_of_a_long_record_no_more_is_read_than_asked_for(make: Make, kind: type) -> None:
    samples, sample_bytes = 3_000_000, 2 if kind is edfio.Edf else 3
    body = make(("ECG II", "mV", 200), kind=kind)
    header = edited(edited(body, RECORDS, "1"), RECORD_S, str(samples // 200))
    header = edited_signal(header, "samples", str(samples))[:512]
    content = header + body[512:] + bytes(sample_bytes * (samples - 600))
    blocks = open_edf(content, DEFAULT_LIMITS)
    tracemalloc.start()
    stretch = blocks.read(17, 500)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert_array_equal(stretch, decode(body).signal_mv[:, 17:500])
    assert peak_bytes < 100_000


def test_a_recording_that_was_going_on(make: Make) -> None:
    body = make(("ECG II", "mV", 200))
    assert_array_equal(decode(edited(body, RECORDS, "-1")).signal_mv, decode(body).signal_mv)
    assert decode(edited(body, RECORDS, "-1")[:-1]).signal_mv.shape == (1, 400)


def test_decimal_commas_and_swapped_range(make: Make) -> None:
    body = make(("ECG II", "mV", 200))
    commas = edited_signal(edited_signal(body, "physical_min", "-5,0"), "physical_max", "5,0")
    assert_array_equal(decode(commas).signal_mv, decode(body).signal_mv)
    inverted = edited_signal(edited_signal(body, "physical_min", "5"), "physical_max", "-5")
    assert_allclose(decode(inverted).signal_mv, -decode(body).signal_mv, atol=1e-6)


@pytest.mark.parametrize("kind", [edfio.Edf, edfio.Bdf])
def test_cut_at_every_field(make: Make, kind: type) -> None:
    body = make(("ECG II", "mV", 200), kind=kind)
    places = [8, 88, 168, 176, 184, 192, 236, 244, 252, 256]
    places += [256 + before for before, _ in FIELDS.values()] + [511, 512, 600, len(body) - 1]
    for place in places:
        assert isinstance(_error(body[:place]), EcgServeError), place
    assert isinstance(_error(body[:600]), CorruptedData)


@pytest.mark.parametrize("text", ["", "x", "-7", "0", "99999999", "1e9", "nan", "1e999", "-1.5"])
def test_numbers_that_cannot_be(make: Make, text: str) -> None:
    body = make(("ECG II", "mV", 200), ("EEG", "uV", 10))
    for place, width in ((HEADER_BYTES, 8), (RECORDS, 8), (RECORD_S, 8), (SIGNALS, 4)):
        damaged = edited(body, place, text, width)
        refused = isinstance(_error(damaged), EcgServeError)
        assert refused or decode(damaged).signal_mv.size <= 2 * 600
    for field in ("physical_min", "digital_max", "samples"):
        _error(edited_signal(body, field, text))


@pytest.mark.parametrize("field", ["physical_max", "digital_max"])
def test_no_range(make: Make, field: str) -> None:
    body = make(("ECG II", "mV", 200))
    low = "-5" if field == "physical_max" else "-32768"
    with pytest.raises(InvalidFormat, match="range"):
        decode(edited_signal(body, field, low))


def test_thousands_of_signals() -> None:
    fields = "".join(
        value.ljust(width) * 9999
        for value, width in zip(
            ("ECG II", "", "mV", "-5", "5", "-9", "9", "", "1", ""),
            (16, 80, 8, 8, 8, 8, 8, 80, 8, 32),
            strict=True,
        )
    )
    fixed = "0".ljust(184) + "2560000".ljust(52) + "1".ljust(8) + "1".ljust(8) + "9999"
    with pytest.raises(InvalidSignal, match="9999 leads"):
        decode((fixed + fields).encode() + bytes(2 * 9999))


def test_a_million_pieces_are_refused_before_they_are_read(make: Make) -> None:
    body = discontinuous(make, ["0", "5", "9"])
    record = body[768 : 768 + (len(body) - 768) // 3]
    clock = record[400:].rstrip(b"\0")
    onsets = (
        clock.replace(b"+0", b"+%d" % second).ljust(60, b"\0") for second in range(0, 500_000, 2)
    )
    samples = edited_signal(edited_signal(body, "samples", "1"), "samples", "30", 1)
    header = edited(edited(samples[:768], RECORDS, "250000"), RECORD_S, "0.1")
    with pytest.raises(InvalidFormat, match="pieces"):
        decode(header + b"".join(b"\0\0" + onset for onset in onsets))


def test_limits(make: Make) -> None:
    body = make(("ECG I", "mV", 200), ("ECG II", "mV", 200))
    assert decode(body, limits=Limits(max_samples=1200)).signal_mv.shape == (2, 600)
    with pytest.raises(PayloadTooLarge):
        decode(body, limits=Limits(max_samples=1199))


def test_recognised_by_content(make: Make) -> None:
    edf, bdf = make(("ECG I", "mV", 200)), make(("ECG I", "mV", 200), kind=edfio.Bdf)
    for body, kind in ((edf, "edf"), (bdf, "bdf")):
        assert decode(body).format == kind
        for content_type in (f"application/{kind}", f"application/x-{kind}"):
            assert decode(Upload((("", body),), content_type)).format == kind
    assert not looks_like_edf(b"0       " + b"1,2,3\n" * 60)
    with pytest.raises(InvalidFormat, match="looks like BDF"):
        decode(Upload((("", bdf),), "application/edf"))


def _error(body: bytes) -> EcgServeError | None:
    try:
        decode(body)
    except EcgServeError as error:
        return error
    return None
