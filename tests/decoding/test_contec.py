"""Contec ECG90A against another reader's conversion of the same recording."""

from pathlib import Path

import edfio
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from serve_app.decoding import Hints, Limits, Upload, decode, decode_path
from serve_app.errors import CorruptedData, InvalidParameter, InvalidSignal, PayloadTooLarge

LIMB_LEADS = ("I", "II", "III", "aVR", "aVL", "aVF")


@pytest.fixture(scope="module")
def content(data_dir: Path) -> bytes:
    return (data_dir / "formats/contec/0000050.ECG").read_bytes()


def recording(*frames: tuple[int, ...]) -> bytes:
    """A file of the device's layout."""
    header = b"0000001\0" + bytes(2) + b"2020-11-16 21:44:39\0" + bytes(13)
    return header + np.array(frames, "<u2").tobytes() + bytes(37)


def test_equals_its_conversion(data_dir: Path) -> None:
    decoded = decode_path(data_dir / "formats/contec/0000050.ECG")
    converted = edfio.read_edf(data_dir / "formats/edf/contec_0000050.edf")
    # Precordial electrodes were off: the conversion has zeros there, we have no such leads.
    assert (decoded.leads, decoded.fs_hz) == (LIMB_LEADS, converted.signals[0].sampling_frequency)
    steps = decoded.signal_mv.astype(np.float64) / 0.005
    for row, signal in zip(steps, converted.signals, strict=False):
        # It drops halves; its header's scale, 30 uV a step, would make beats of 6 mV.
        assert_allclose(row, signal.digital, atol=1e-3 if signal.label in {"I", "II", "III"} else 1)
    assert not any(signal.digital.any() for signal in converted.signals[6:])


def test_eight_leads_make_twelve() -> None:
    decoded = decode(recording((2048, 2050, *range(2100, 2106)), (2000,) * 8))
    assert len(decoded.leads) == 12
    assert_allclose(decoded.signal_mv[:6, 0], np.array([-2, 0, 2, 1, -2, 1]) * 0.005, atol=1e-8)
    assert_allclose(decoded.signal_mv[6:, 0], np.arange(52, 58) * 0.005, rtol=1e-6)
    assert decoded.format == "contec"


def test_an_electrode_that_falls_off() -> None:
    off = 0x6800
    decoded = decode(recording((2048, off, *(2048,) * 6), (2049, 2049, *(2048,) * 6)))
    assert_array_equal(np.isnan(decoded.signal_mv[:6, 0]), [True, False, True, True, True, True])
    assert not np.isnan(decoded.signal_mv[:, 1]).any()
    only = decode(recording(*[(2048, *(off,) * 7)] * 3))
    assert only.leads == ("II",)
    with pytest.raises(InvalidSignal, match="electrode"):
        decode(recording((off,) * 8))


def test_cut_short(content: bytes) -> None:
    for length in [*range(30, 200), *range(200, len(content), 40_009), len(content) - 1]:
        with pytest.raises(CorruptedData):
            decode(content[:length])
    # By whole frames, too.
    for frames in range(1, 20):
        with pytest.raises(CorruptedData):
            decode(content[: -16 * frames])


def test_claims(content: bytes) -> None:
    named = decode(Upload((("", content),), "application/x-contec-ecg"))
    assert_array_equal(named.signal_mv, decode(content).signal_mv)
    with pytest.raises(InvalidParameter):
        decode(content, Hints(fs_hz=500))
    with pytest.raises(PayloadTooLarge):
        decode(content, limits=Limits(max_samples=1000))
