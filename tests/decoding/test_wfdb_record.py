"""WFDB: every kind of storage equals the reference reader, bit for bit."""

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from serve_app.decoding import Hints, Limits, Upload, decode, decode_path
from serve_app.decoding.wfdb_header import looks_like_header, parse_header
from serve_app.errors import (
    CorruptedData,
    InvalidFormat,
    InvalidParameter,
    InvalidSignal,
    MissingParameter,
    PayloadTooLarge,
)
from serve_app.preprocessing import check
from serve_app.recording import STANDARD_LEADS, make_recording, standard_lead_name

RECORDS = [
    *("beats/mitdb/100", "beats/mitdb/114", "beats/nstdb/118e06", "beats/qtdb/sel231"),
    *("beats/cpsc2021/data_8_2", "twelve_lead/cinc2021/A0001", "twelve_lead/cinc2021/JS20000"),
    *("twelve_lead/ludb/data/101", "twelve_lead/ptbxl/records500/00000/00145_hr"),
    *("formats/wfdb/s0010_re", "formats/wfdb/100_3chan", "formats/wfdb/binformats"),
    *("formats/wfdb/flacformats", "formats/wfdb/mixedsignals", "formats/wfdb/310derive"),
    *("formats/wfdb/311derive_3", "formats/wfdb/test01_00s"),
    "formats/wfdb/multi-segment/fixed1/v102s",
    *("derived/wfdb/00021hr_fmt24", "derived/wfdb/00021hr_fmt32", "derived/wfdb/00021hr_fmt516"),
]
# Leads with different counts of samples a frame, or skewed; they have tests of their own.
OTHERWISE = ("test01_00s_frame", "test01_00s_skewframe", "test01_00s_skew")


@pytest.mark.parametrize("name", RECORDS)
def test_samples_equal_the_reference_reader(data_dir: Path, wfdb: ModuleType, name: str) -> None:
    path = data_dir / f"{name}.hea"
    if not path.exists():
        pytest.skip("this record is not among the recordings here")
    reference = wfdb.rdrecord(str(path.with_suffix("")), smooth_frames=False)
    ecg = [i for i, unit in enumerate(reference.units) if unit == "mV"]
    expected = make_recording(
        np.array([reference.e_p_signal[i] for i in ecg]),
        fs_hz=reference.fs * reference.samps_per_frame[ecg[0]],
        leads=[reference.sig_name[i] or f"signal {i + 1}" for i in ecg],
        format="wfdb",
        sha256="",
    )
    decoded = decode_path(path)
    assert_array_equal(decoded.signal_mv, expected.signal_mv)
    assert (decoded.leads, decoded.fs_hz) == (expected.leads, expected.fs_hz)
    assert decoded.format == "wfdb"
    assert not decoded.units_assumed


@pytest.mark.parametrize("kind", ["hr_fmt24", "hr_fmt32", "hr_fmt516"])
def test_one_recording_in_several_storages(data_dir: Path, kind: str) -> None:
    stored = decode_path(data_dir / f"derived/wfdb/00021{kind}.hea")
    source = decode_path(data_dir / "twelve_lead/ptbxl/records500/00000/00021_hr.hea")
    assert_array_equal(stored.signal_mv, source.signal_mv)
    assert stored.leads == source.leads


def test_dates_that_the_reference_reader_refuses(data_dir: Path, wfdb: ModuleType) -> None:
    """ISO dates in the header: the samples are those that a header without its date gives."""
    path = data_dir / "rhythm_1lead/cinc2017/A00004.hea"
    with pytest.raises(Exception, match=r"."):
        wfdb.rdrecord(str(path.with_suffix("")))
    stored = np.frombuffer(path.with_suffix(".mat").read_bytes(), "<i2", offset=24)
    assert_array_equal(decode_path(path).signal_mv, [(stored / 1000).astype(np.float32)])


@pytest.mark.parametrize(
    "folder", ["formats/wfdb", "derived/wfdb", "twelve_lead/cinc2021", "beats/cpsc2021"]
)
def test_every_lead_that_the_reference_reader_reads(
    data_dir: Path, wfdb: ModuleType, folder: str
) -> None:
    paths = sorted((data_dir / folder).rglob("*.hea"))
    for path in paths:
        reference = wfdb.rdrecord(str(path.with_suffix("")), smooth_frames=False)
        names = [name or f"signal {i + 1}" for i, name in enumerate(reference.sig_name)]
        by_lead = dict(zip(map(standard_lead_name, names), reference.e_p_signal, strict=True))
        decoded = decode_path(path)
        signals = zip(decoded.leads, decoded.signal_mv, strict=True)
        if path.stem not in OTHERWISE:
            for lead, signal in signals:
                assert_array_equal(signal, by_lead[lead].astype(np.float32), err_msg=path.name)
    assert paths


def test_every_public_record_decodes(data_dir: Path) -> None:
    paths = sorted(data_dir.glob("rhythm_1lead/cinc2017/*.hea"))
    paths += sorted(data_dir.glob("twelve_lead/cinc2021/*.hea"))
    for path in paths:
        assert decode_path(path).signal_mv.size > 0


def test_lower_case_leads_are_named_and_ordered(data_dir: Path) -> None:
    assert decode_path(data_dir / "twelve_lead/ludb/data/101.hea").leads == STANDARD_LEADS


def test_extra_leads_are_kept_behind(data_dir: Path) -> None:
    assert decode_path(data_dir / "formats/wfdb/s0010_re.hea").leads == (
        *STANDARD_LEADS,
        *("vx", "vy", "vz"),
    )


def test_pressures_and_monitors_other_signals_are_left_out(data_dir: Path) -> None:
    decoded = decode_path(data_dir / "formats/wfdb/multi-segment/041s/041s.hea")
    assert decoded.leads == ("I", "III", "V")
    # Four samples a frame of 125 Hz, not averaged away.
    assert decoded.fs_hz == 500
    assert decoded.signal_mv.shape == (3, 8000)


@pytest.mark.parametrize(("name", "skew"), [("test01_00s_frame", 0), ("test01_00s_skewframe", 3)])
def test_leads_of_different_rates_are_averaged(
    data_dir: Path, wfdb: ModuleType, name: str, skew: int
) -> None:
    path = data_dir / "formats/wfdb" / name
    reference = wfdb.rdrecord(str(path))
    decoded = decode_path(path.with_suffix(".hea")).signal_mv
    expected = reference.p_signal.T.astype(np.float32)
    assert_array_equal(decoded, expected[:, : 4000 - skew])


def test_a_skewed_record_ends_where_its_first_lead_does(data_dir: Path, wfdb: ModuleType) -> None:
    path = data_dir / "formats/wfdb/test01_00s_skew.hea"
    expected = wfdb.rdrecord(str(path.with_suffix(""))).p_signal.T.astype(np.float32)
    assert np.isnan(expected[1, 3997:]).all()
    decoded = decode_path(path)
    assert_array_equal(decoded.signal_mv, expected[:, :3997])
    check(decoded)  # it can be answered


def test_other_gaps_of_a_skewed_record_stay() -> None:
    stored = np.arange(20, dtype="<i2").reshape(10, 2)
    stored[[0, 6, 9], 0] = -(2**15)  # missing
    header = b"rec 2 500 10\nrec.dat 16 1/mV 16 0 0 0 0 I\nrec.dat 16:2 1/mV 16 0 0 0 0 II"
    signal = decode(Upload((("rec.hea", header), ("rec.dat", stored.tobytes())))).signal_mv
    assert_array_equal(signal[0], [np.nan, 2, 4, 6, 8, 10, np.nan, 14])
    assert_array_equal(signal[1], [5, 7, 9, 11, 13, 15, 17, 19])


def test_round_trip(make_record, short: np.ndarray) -> None:
    decoded = decode(make_record())
    assert decoded.leads == STANDARD_LEADS
    assert decoded.fs_hz == 1000
    assert_array_equal(decoded.signal_mv, short)


def test_zip_and_parts_decode_alike(make_record, made: ModuleType) -> None:
    upload = make_record()
    zipped = made.zip(*((f"folder/{name}", content) for name, content in upload.files))
    assert_array_equal(decode(zipped).signal_mv, decode(upload).signal_mv)
    assert decode(Upload((("", zipped),), "application/x-wfdb")).format == "wfdb"


def test_digest_does_not_depend_on_the_order_of_parts(make_record) -> None:
    upload = make_record()
    swapped = Upload(upload.files[::-1])
    assert decode(upload).sha256 == decode(swapped).sha256
    assert decode(make_record("other")).sha256 != decode(upload).sha256


@pytest.mark.parametrize("rename", [lambda _: "", lambda name: f"C:\\ecg\\{name}"])
def test_names_of_parts(make_record, rename) -> None:
    upload = make_record()
    renamed = Upload(tuple((rename(name), content) for name, content in upload.files))
    assert_array_equal(decode(renamed).signal_mv, decode(upload).signal_mv)


def test_missing_samples_are_nan(make_record, short: np.ndarray) -> None:
    stored = np.rint(short * 800).astype("<i2").T.copy()
    stored[7, 1] = -32768
    decoded = decode(make_record(dat=stored.tobytes()))
    assert np.isnan(decoded.signal_mv[1, 7])
    assert np.isnan(decoded.signal_mv).sum() == 1


def test_units_are_made_millivolts(make_record, short: np.ndarray) -> None:
    header = make_record().files[0][1]
    for unit, gain in (("uV", "0.8"), ("µV", "0.8"), ("V", "800000"), ("nV", "8e-4")):
        text = header.replace(b"800(0)/mV", f"{gain}(0)/{unit}".encode())
        np.testing.assert_allclose(decode(make_record(hea=text)).signal_mv, short, rtol=1e-6)


def test_no_ecg_is_refused(make_record) -> None:
    header = make_record().files[0][1].replace(b"/mV", b"/mmHg")
    with pytest.raises(InvalidSignal):
        decode(make_record(hea=header))


def test_sampling_rate_is_never_guessed(make_record) -> None:
    header = make_record().files[0][1].replace(b"rec 12 1000 600 10:00:00 01/02/1970", b"rec 12")
    with pytest.raises(MissingParameter) as caught:
        decode(make_record(hea=header))
    assert caught.value.extra == {"parameters": ["fs_hz"]}
    assert decode(make_record(hea=header), Hints(fs_hz=1000)).signal_mv.shape == (12, 600)


def test_hints_must_agree(make_record) -> None:
    agreeing = Hints(fs_hz=1000.5, units="mV", leads=STANDARD_LEADS)
    assert decode(make_record(), agreeing).fs_hz == 1000
    for hints in (
        Hints(fs_hz=500),
        Hints(units="uV"),
        Hints(leads=("II", "I", *STANDARD_LEADS[2:])),
        Hints(leads=("I",)),
        Hints(fs_hz=float("nan")),
    ):
        with pytest.raises(InvalidParameter):
            decode(make_record(), hints)


def test_a_hint_may_name_a_nameless_lead(data_dir: Path) -> None:
    path = data_dir / "rhythm_1lead/cinc2017/A00004.hea"
    assert decode_path(path).leads == ("ECG",)
    assert decode_path(path, Hints(leads=("I",))).leads == ("I",)


def test_missing_file_is_named(make_record) -> None:
    header = make_record().files[:1]
    for upload in (Upload(header), Upload((("", header[0][1]),))):
        with pytest.raises(CorruptedData, match=r"rec\.dat"):
            decode(upload)


def test_fewer_samples_than_promised(make_record) -> None:
    content = make_record().files[1][1]
    with pytest.raises(CorruptedData, match="cut short"):
        decode(make_record(dat=content[:-1]))
    promised = make_record().files[0][1].replace(b" 1000 600 ", b" 1000 2000000000 ")
    with pytest.raises(CorruptedData, match="cut short"):
        decode(make_record(hea=promised))


def test_length_may_be_left_out(make_record) -> None:
    header = make_record().files[0][1].replace(b" 1000 600 10:00:00 01/02/1970", b" 1000")
    assert decode(make_record(hea=header)).signal_mv.shape == (12, 600)


@pytest.mark.parametrize(
    "name", ["../rec.dat", "/etc/passwd", "..\\rec.dat", "C:\\rec.dat", "a/b.dat", ".hidden"]
)
def test_names_elsewhere_are_refused(make_record, name: str) -> None:
    header = make_record().files[0][1].replace(b"rec.dat", name.encode())
    with pytest.raises(InvalidFormat, match="plain name") as caught:
        decode(make_record(hea=header))
    assert "passwd" not in str(caught.value)


@pytest.mark.parametrize(
    "line",
    [b"rec 12 1000 x", b"rec 99999 1000", b"rec 0 1000", b"rec/5000 12 1000", b"rec", b"", b"#"],
)
def test_broken_record_lines(make_record, line: bytes) -> None:
    lines = make_record().files[0][1].split(b"\r\n")
    with pytest.raises((InvalidFormat, CorruptedData)):
        decode(make_record(hea=b"\n".join([line, *lines[1:]])))


@pytest.mark.parametrize(
    "storage", [b"17", b"16:5x", b"8:999999999", b"212+99999999", b"516", b"16x9999", b"x", b"0"]
)
def test_broken_storage(make_record, storage: bytes) -> None:
    header = make_record().files[0][1].replace(b".dat 16 ", b".dat " + storage + b" ")
    with pytest.raises((InvalidFormat, CorruptedData)):
        decode(make_record(hea=header))


def test_two_records_are_one_too_many(make_record) -> None:
    both = Upload(make_record("one").files + make_record("two").files)
    with pytest.raises(InvalidFormat, match="2 WFDB records"):
        decode(both)


def test_segments_with_a_gap(make_record, short: np.ndarray) -> None:
    master = b"all/4 12 1000 1500\nlayout 0\na 600\n~ 300\nb 600\n"
    layout = b"layout 2 1000 0\n~ 0 800/mV 16 0 0 0 0 I\n~ 0 800/mV 16 0 0 0 0 V6\n"
    files = (("all.hea", master), ("layout.hea", layout))
    decoded = decode(Upload(files + make_record("a").files + make_record("b").files))
    assert decoded.leads == ("I", "V6")
    assert decoded.signal_mv.shape == (2, 1500)
    assert_array_equal(decoded.signal_mv[:, 900:], short[[0, 11]])
    assert np.isnan(decoded.signal_mv[:, 600:900]).all()


def test_a_segment_is_missing_or_of_another_length(make_record) -> None:
    for master in (b"all/2 12 1000\na 600\nb 600\n", b"all/1 12 1000\na 601\n"):
        with pytest.raises(CorruptedData):
            decode(Upload((("all.hea", master), *make_record("a").files)))


def test_segments_cannot_multiply_without_end(make_record) -> None:
    master = b"all/1000 12 1000\n" + b"a 600000000\n" * 1000
    with pytest.raises(PayloadTooLarge):
        decode(Upload((("all.hea", master), *make_record("a").files)))


def test_sample_limit(make_record) -> None:
    with pytest.raises(PayloadTooLarge):
        decode(make_record(), limits=Limits(max_samples=7199))
    assert decode(make_record(), limits=Limits(max_samples=7200))


def test_date_and_comments_are_not_parsed(make_record) -> None:
    header = make_record().files[0][1]
    for date in (b"2014-05-01", b"99:99:99 05-May-2020", b"\xff\xfe"):
        text = header.replace(b"10:00:00 01/02/1970", date)
        assert decode(make_record(hea=text)).fs_hz == 1000


def test_header_details() -> None:
    header = parse_header(
        b"\n# note\r\nr 1 250/360(5) 0\r\nr.dat 212x2:3+24 0 12 1024 -5 7 0 D 3\n"
    )
    signal = header.signals[0]
    assert (header.fs_hz, header.frames) == (250, None)
    assert (signal.per_frame, signal.skew, signal.offset) == (2, 3, 24)
    assert (signal.gain, signal.baseline, signal.initial) == (200, 1024, -5)
    assert (signal.units, signal.name) == ("mV", "D 3")


def test_a_header_is_told_from_a_table() -> None:
    assert looks_like_header(b"100 2 360 650000\r\n100.dat 212 200 11 1024 995 -22131 0 MLII\r\n")
    assert not looks_like_header(b"1 2 3\n4 5 6\n")
    assert not looks_like_header(b"I,II\n1,2\n")
