"""Recordings read a stretch at a time hold the samples that they hold when decoded whole."""

import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest

from serve_app.decoding import Hints, Limits, decode_path
from serve_app.decoding.opening import open_files
from serve_app.decoding.paths import record_paths
from serve_app.errors import (
    CorruptedData,
    InvalidFormat,
    InvalidParameter,
    MissingParameter,
    PayloadTooLarge,
)
from serve_app.settings import load_settings
from serve_app.streaming.source import open_path

LIMITS = Limits(max_samples=1 << 36)
RECORDS = [
    "beats/mitdb/100.hea",
    "beats/nstdb/118e06.hea",
    "derived/wfdb/00021hr_fmt24.hea",
    "derived/wfdb/00021hr_fmt32.hea",
    "formats/wfdb/100_3chan.hea",
    "formats/wfdb/s0010_re.hea",
    "twelve_lead/cinc2021/A0001.hea",
]


@contextmanager
def opened(*files, content_type="", hints=Hints(), whole=LIMITS):  # noqa: B008 - frozen
    with ExitStack() as stack:
        on_disk = []
        for name, content in files:
            file = stack.enter_context(tempfile.TemporaryFile())
            file.write(content)
            on_disk.append((name, file))
        yield stack.enter_context(open_files(on_disk, content_type, hints, LIMITS, whole))


def found(data_dir, name):
    return next(data_dir.rglob(Path(name).name)) if "cinc2021" in name else data_dir / name


def assert_stretches_agree(path, settings):
    whole = decode_path(path)
    samples = whole.signal_mv.shape[1]
    with open_path(path, settings) as recording:
        assert (recording.samples, recording.fs_hz) == (samples, whole.fs_hz)
        assert (recording.leads, recording.sha256) == (whole.leads, whole.sha256)
        for start, stop in [(0, samples), (0, 1), (samples - 1, samples), (333, 601), (500, 501)]:
            np.testing.assert_array_equal(
                recording.read(start, stop).signal_mv, whole.signal_mv[:, start:stop]
            )


@pytest.mark.parametrize("name", RECORDS)
def test_wfdb_at_any_place(data_dir, settings, name):
    assert_stretches_agree(found(data_dir, name), settings)


def test_wfdb_in_segments(data_dir, settings):
    headers = sorted((data_dir / "formats/wfdb/multi-segment").rglob("*.hea"))
    whole = [path for path in headers if "/" in path.read_text().splitlines()[0].split()[0]]
    assert whole
    for path in whole:
        assert_stretches_agree(path, settings)


def test_wfdb_with_several_samples_a_frame(data_dir, settings):
    assert_stretches_agree(data_dir / "formats/wfdb/test01_00s_frame.hea", settings)


@pytest.mark.parametrize("name", ["00021hr_fmt516.hea"])
def test_compressed_wfdb_is_decoded_whole(data_dir, settings, name):
    assert_stretches_agree(data_dir / "derived/wfdb" / name, settings)


def test_an_odd_number_of_packed_samples(made, settings, tmp_path):
    # Three signals of 12 bits: every other frame starts in the middle of a byte.
    rng = np.random.default_rng(3)
    stored = rng.integers(-2000, 2000, 3 * 101)
    octets = bytearray()
    for first, second in np.append(stored, 0).reshape(-1, 2) & 0xFFF:
        octets += bytes([first & 0xFF, first >> 8 | second >> 8 << 4, second & 0xFF])
    (tmp_path / "r.dat").write_bytes(bytes(octets))
    lines = [f"r.dat 212 200 12 0 0 0 0 lead{i}" for i in range(3)]
    (tmp_path / "r.hea").write_text("\n".join(["r 3 250 101", *lines]))
    with open_path(tmp_path / "r.hea", settings) as recording:
        for start in range(0, 100, 7):
            read = recording.read(start, start + 1).signal_mv[:, 0]
            np.testing.assert_allclose(read, stored[3 * start : 3 * start + 3] / 200, atol=1e-6)


def test_dicom_at_any_place(dicom_path, settings):
    assert_stretches_agree(dicom_path, settings)


def test_every_dicom_sample(data_dir, settings):
    paths = sorted([*data_dir.glob("*/dicom/*.dcm")])
    assert len(paths) > 2
    for path in paths:
        assert_stretches_agree(path, settings)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("transpose", [False, True])
def test_npy_at_any_place(made, short, order, transpose):
    array = np.asarray(short.T if transpose else short, order=order)
    with opened(("", made.npy(array))) as blocks:
        assert blocks.samples == short.shape[1]
        np.testing.assert_array_equal(blocks.read(17, 99), short[:, 17:99])


def test_integers_need_their_unit(made, short):
    content = made.npy((short * 1000).astype(np.int16))
    with pytest.raises(MissingParameter), opened(("", content)):
        pass
    with opened(("", content), hints=Hints(units="uV")) as blocks:
        assert blocks.samples == short.shape[1]


def test_zipped_records_are_unpacked_to_disk(made, make_record, short):
    archive = made.zip(*make_record().files)
    with opened(("", archive)) as blocks:
        np.testing.assert_allclose(blocks.read(5, 50), short[:, 5:50], atol=1e-3)


def test_text_is_decoded_whole_and_within_the_limit(made, short, recording):
    content = made.json(short, recording.leads)
    with opened(("", content)) as blocks:
        np.testing.assert_allclose(blocks.read(5, 50), short[:, 5:50], atol=1e-6)
    small = Limits(max_unpacked_bytes=1 << 10)
    with pytest.raises(PayloadTooLarge, match="as a whole"), opened(("", content), whole=small):
        pass


def test_what_cannot_be_opened(made, make_record, short, dicom_bytes):
    rec = dict(make_record().files)
    cases = [
        ([("", b"")], InvalidFormat),
        ([("", b"hello")], InvalidFormat),
        ([("", made.npy(short)[:-100])], CorruptedData),
        ([("", made.npy(short)[:40])], CorruptedData),
        ([("", dicom_bytes[:9000])], CorruptedData),
        ([("rec.hea", rec["rec.hea"])], CorruptedData),
        ([("rec.hea", rec["rec.hea"]), ("rec.dat", rec["rec.dat"][:99])], CorruptedData),
        ([("", made.zip(*make_record().files)[:-30])], CorruptedData),
        ([("", made.zip(("a.zip", made.zip(("b.csv", b"1,2")))))], InvalidFormat),
        ([("", made.zip(("../a.hea", b"r 1 500 9")))], InvalidFormat),
    ]
    for files, error in cases:
        with pytest.raises(error), opened(*files):
            pass


def test_an_archive_of_many_entries(made):
    archive = made.zip(*[(f"{i}.csv", b"1,2") for i in range(300)])
    with pytest.raises(PayloadTooLarge), opened(("", archive)):
        pass


def test_a_claim_is_held_to(made, short):
    with (
        pytest.raises(InvalidFormat),
        opened(("", made.npy(short)), content_type="application/dicom"),
    ):
        pass


def test_a_header_that_promises_a_year(tmp_path, settings):
    (tmp_path / "r.hea").write_text("r/1 1 500 15768000000\n~ 15768000000\n")
    with pytest.raises((PayloadTooLarge, CorruptedData)), open_path(tmp_path / "r.hea", settings):
        pass


def test_hints_are_held_to(data_dir, settings):
    path = data_dir / "beats/mitdb/100.hea"
    with pytest.raises(InvalidParameter), open_path(path, settings, Hints(fs_hz=500)):
        pass
    assert len(record_paths(path)) == 2


def test_longer_than_the_settings_allow(data_dir):
    path = data_dir / "beats/mitdb/100.hea"
    settings = load_settings(max_long_hours=0.25)
    with pytest.raises(PayloadTooLarge, match=r"0\.5 h"), open_path(path, settings):
        pass
