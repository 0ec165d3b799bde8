import numpy as np
import pytest

from serve_app.errors import InvalidSignal
from serve_app.recording import STANDARD_LEADS, make_recording, standard_lead_name


def recording(leads, samples=10, **options):
    signal = np.arange(len(leads), dtype=np.float64)[:, None] * np.ones(samples)
    given = {"fs_hz": 500.0, "leads": leads, "format": "test", "sha256": "0"} | options
    return make_recording(signal, **given)


@pytest.mark.parametrize(
    ("given", "standard"),
    [
        ("avr", "aVR"),
        ("AVF", "aVF"),
        ("i", "I"),
        (" v1 ", "V1"),
        ("Lead II", "II"),
        ("LEAD_V6", "V6"),
        ("ECG V2", "V2"),
        ("MDC_ECG_LEAD_aVL", "aVL"),
        ("DII", "II"),
        ("MLII", "MLII"),
        ("V3R", "V3R"),
        ("Lead X", "Lead X"),
    ],
)
def test_lead_names(given, standard):
    assert standard_lead_name(given) == standard


def test_standard_leads_come_first_in_the_standard_order():
    shuffled = ["V6", "vz", "aVL", "II", "V3R", "I"]
    made = recording(shuffled)
    assert made.leads == ("I", "II", "aVL", "V6", "vz", "V3R")
    assert made.signal_mv[:, 0].tolist() == [5, 3, 2, 0, 1, 4]
    assert made.missing_leads == ("III", "aVR", "aVF", "V1", "V2", "V3", "V4", "V5")


def test_a_full_recording_misses_nothing():
    made = recording(list(reversed(STANDARD_LEADS)), samples=5000)
    assert made.leads == STANDARD_LEADS
    assert made.missing_leads == ()
    assert made.duration_s == 10.0


def test_its_array_is_float32_contiguous_and_read_only():
    made = recording(["V1", "I"])
    assert made.signal_mv.dtype == np.float32
    assert made.signal_mv.flags.c_contiguous
    with pytest.raises(ValueError, match="read-only"):
        made.signal_mv[0, 0] = 1


def test_repeated_leads():
    assert recording(["ECG", "ECG", "I"]).leads == ("I", "ECG", "ECG 2")
    with pytest.raises(InvalidSignal, match="aVR"):
        recording(["aVR", "avr"])


@pytest.mark.parametrize("fs_hz", [0, -1, np.nan, np.inf])
def test_impossible_sampling_rates(fs_hz):
    with pytest.raises(InvalidSignal, match="sampling rate"):
        recording(["I"], fs_hz=fs_hz)


def test_no_samples_or_names_that_do_not_fit():
    with pytest.raises(InvalidSignal, match="no samples"):
        recording(["I"], samples=0)
    with pytest.raises(InvalidSignal, match="3 lead names"):
        make_recording(np.zeros((2, 5)), fs_hz=500, leads=["I", "II", "III"], format="", sha256="")
