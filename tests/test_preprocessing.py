"""What the model is given, and what is refused before it is asked."""

import numpy as np
import pytest

from serve_app.errors import InvalidSignal
from serve_app.preprocessing import analyze, check, prepare
from serve_app.recording import STANDARD_LEADS, make_recording


def recording(signal_mv, leads=STANDARD_LEADS, fs_hz=500.0):
    return make_recording(signal_mv, fs_hz=fs_hz, leads=leads, format="test", sha256="0")


def test_ten_seconds_give_two_standardised_segments(sinus_mv):
    prepared = prepare(recording(sinus_mv))
    assert prepared.segments.shape == (2, 12, 2500)
    assert prepared.segments.dtype == np.float32
    whole = prepared.segments.transpose(1, 0, 2).reshape(12, -1)
    assert np.allclose(whole.mean(axis=1), 0, atol=1e-5)
    assert np.allclose(whole.std(axis=1), 1, atol=1e-5)


def test_units_and_offsets_cancel_out(sinus_mv):
    plain = prepare(recording(sinus_mv)).segments
    scaled = prepare(recording(sinus_mv * 3 + 1)).segments
    assert np.allclose(plain, scaled, atol=1e-3)


def test_the_remainder_is_told(sinus_mv):
    assert prepare(recording(sinus_mv[:, :4000])).unpredicted_s == pytest.approx(3.0)


def test_missing_leads_are_refused_by_name_or_zeroed_as_asked(sinus_mv):
    ten = recording(sinus_mv[:10], STANDARD_LEADS[:10])
    with pytest.raises(InvalidSignal, match="V5, V6") as refused:
        prepare(ten)
    assert refused.value.extra["missing_leads"] == ["V5", "V6"]
    assert refused.value.extra["analysis_possible"] is True
    zeroed = prepare(ten, "zero")
    assert zeroed.zero_filled_leads == ("V5", "V6")
    assert not zeroed.segments[:, 10:].any()
    assert np.array_equal(zeroed.segments[:, :10], prepare(recording(sinus_mv)).segments[:, :10])


def test_no_standard_lead_at_all(sinus_mv):
    with pytest.raises(InvalidSignal, match="none of the 12"):
        prepare(recording(sinus_mv[:2], ["ECG1", "ECG2"]), "zero")


def test_further_leads_are_left_out(sinus_mv):
    fifteen = recording(
        np.vstack([sinus_mv[:3] * 2, sinus_mv]), ["V3R", "V4R", "V7", *STANDARD_LEADS]
    )
    assert np.array_equal(prepare(fifteen).segments, prepare(recording(sinus_mv)).segments)


@pytest.mark.parametrize("samples", [1, 499, 500, 1500, 2499])
def test_shorter_than_a_segment(sinus_mv, samples):
    short = recording(sinus_mv[:, :samples])
    with pytest.raises(InvalidSignal, match="shorter than one segment") as refused:
        prepare(short)
    try:
        analyze(short)
        analysed = True
    except InvalidSignal:
        analysed = False
    assert refused.value.extra["analysis_possible"] is analysed
    assert ("/v1/analyze" in refused.value.hint) is analysed


def test_everything_that_is_wrong_is_said_at_once():
    with pytest.raises(InvalidSignal, match=r"leads missing.*shorter.*flat"):
        prepare(recording(np.ones((1, 1000)), ["I"]))


def test_one_flat_lead_becomes_zeros(sinus_mv):
    flat = sinus_mv.copy()
    flat[4] = 0.7
    assert not prepare(recording(flat)).segments[:, 4].any()


@pytest.mark.parametrize("bad", [np.nan, 900.0])
def test_names_with_commas_or_blanks_are_told_in_quotes(sinus_mv, bad):
    broken = sinus_mv[:4].copy()
    broken[:3, 7] = bad
    leads = ["sig 1, fmt 16", "MLII", "V1 2", "fine"]
    with pytest.raises(InvalidSignal, match=r'in: "sig 1, fmt 16", MLII, "V1 2"\.$') as told:
        check(recording(broken, leads))
    assert told.value.extra["leads"] == leads[:3]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_samples_that_are_not_finite_are_refused_by_lead(sinus_mv, bad):
    broken = sinus_mv.copy()
    broken[7, 1234] = bad
    with pytest.raises(InvalidSignal, match=r"non-finite.*V2\."):
        check(recording(broken))


def test_microvolts_read_as_millivolts_are_told(sinus_mv):
    with pytest.raises(InvalidSignal, match="200 mV") as refused:
        check(recording(sinus_mv * 1000))
    assert "uV" in refused.value.hint


def test_an_electrode_offset_is_no_reason_to_refuse(sinus_mv):
    check(recording(sinus_mv + 300))


@pytest.mark.parametrize("fs_hz", [50, 99.9, 2000.1])
def test_sampling_rates_out_of_range(sinus_mv, fs_hz):
    with pytest.raises(InvalidSignal, match="sampling rate"):
        check(recording(sinus_mv, fs_hz=fs_hz))


def test_analysis_needs_no_12_leads(sinus_mv):
    analysis = analyze(recording(sinus_mv[1:2], ["II"]))
    assert analysis.heart_rate == pytest.approx(61, abs=2)
    assert len(analysis.lead_quality) == 1


def test_preprocessing_equals_upstream_s_own(data_dir):
    """ECG-FM's pipeline stored what it made of this CODE-15 recording."""
    from scipy.io import loadmat

    folder = data_dir / "twelve_lead" / "code15"
    raw = loadmat(folder / "code_15_438277.mat")
    stored = loadmat(folder / "ecgfm_segmented" / "code_15_438277_0.mat")["feats"]
    fs_hz = float(np.squeeze(raw["curr_sample_rate"]))
    prepared = prepare(recording(raw["feats"] / 100, fs_hz=fs_hz))
    assert np.allclose(prepared.segments[0], stored, atol=1e-5)


@pytest.mark.parametrize("ends", [(-np.inf, np.inf), (np.inf, np.inf), (-3e38, 3e38)])
def test_what_overflows_is_told_without_a_warning(sinus_mv, ends):
    signal = sinus_mv.copy()
    signal[3, :2] = ends
    with pytest.raises(InvalidSignal, match="aVR"):
        check(recording(signal))
