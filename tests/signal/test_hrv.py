"""Variability against the figures on which independent libraries agree, and which beats count."""

from dataclasses import asdict, fields

import numpy as np
import pytest
import scipy.interpolate
import scipy.signal
from ecg_processor_py import HRVMetrics, InvalidSignalError, hrv, normal_intervals


@pytest.fixture(scope="module")
def nn(data_dir):
    return np.loadtxt(data_dir / "derived/rr100_5min_nn.txt")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sdnn_ms", 25.3721),
        ("rmssd_ms", 25.9634),
        ("pnn50", 3.6011),
        ("sd1_ms", 18.3843),
        ("sd2_ms", 30.8140),
        ("sample_entropy", 2.186915),
        ("dfa_alpha1", 0.5978),
        ("lf_hf", 0.0446),
    ],
)
def test_reference_record(nn, use_ffi, name, value):
    digits = 6 if name == "sample_entropy" else 4
    assert getattr(hrv(nn, use_ffi=use_ffi), name) == pytest.approx(value, abs=0.51 * 10**-digits)


def test_the_arithmetic_of_the_intervals_does_not_move_pnn50(nn, use_ffi):
    """Four steps are exactly 50 ms; how many come out above it depends on how one divides."""
    samples = np.round(nn * 0.36)
    ways = [samples / 360 * 1000, samples * 1000 / 360, samples / 0.36, np.round(nn, 6)]
    assert len({int((np.abs(np.diff(rr)) > 50).sum()) for rr in ways}) > 1
    for rr in ways:
        assert hrv(rr, use_ffi=use_ffi).pnn50 == pytest.approx(100 * 13 / 361)


def test_whole_milliseconds_are_held_to_the_letter(use_ffi):
    found = hrv([800, 850, 901, 851, 830, 850], use_ffi=use_ffi)
    assert (found.pnn50, found.pnn20) == (pytest.approx(20.0), pytest.approx(80.0))


def test_power_is_that_of_scipy(nn, use_ffi):
    times = np.cumsum(nn) / 1000.0
    even = np.arange(times[0], times[-1], 0.25)
    x = scipy.interpolate.CubicSpline(times, nn, bc_type="natural")(even)
    hz, density = scipy.signal.welch(x, 4.0, nperseg=256)
    found = hrv(nn, use_ffi=use_ffi)
    bands = {"vlf_ms2": (0.0033, 0.04), "lf_ms2": (0.04, 0.15), "hf_ms2": (0.15, 0.4)}
    for name, (low, high) in bands.items():
        band = (hz >= low) & (hz < high)
        power = np.trapezoid(density[band], hz[band])
        assert getattr(found, name) == pytest.approx(power, rel=1e-9)


@pytest.mark.parametrize(("hz", "band"), [(0.025, "vlf_ms2"), (0.1, "lf_ms2"), (0.25, "hf_ms2")])
def test_a_swing_is_found_in_its_band(use_ffi, hz, band):
    rr = _swinging(hz, 600)
    found = hrv(rr, use_ffi=use_ffi)
    powers = {name: getattr(found, name) for name in ("vlf_ms2", "lf_ms2", "hf_ms2")}
    assert max(powers, key=powers.get) == band
    # The window spreads the slowest swing beyond the two bins of its band.
    assert band == "vlf_ms2" or powers[band] == pytest.approx(800.0, rel=0.15)


def _swinging(hz, count):
    """Intervals of 800 ms that swing by 40 ms (800 ms² of power)."""
    rr, time = [], 0.0
    for _ in range(count):
        rr.append(800 + 40 * np.sin(2 * np.pi * hz * time / 1000))
        time += rr[-1]
    return np.array(rr)


def test_noise_and_its_sum_have_their_known_scaling(use_ffi):
    noise = np.random.default_rng(2).standard_normal(20_000)
    assert hrv(1000 + 20 * noise, use_ffi=use_ffi).dfa_alpha1 == pytest.approx(0.5, abs=0.1)
    walk = 1e5 + np.cumsum(noise)
    assert hrv(walk, use_ffi=use_ffi).dfa_alpha1 == pytest.approx(1.5, abs=0.1)


LEAST = {
    "mean_nn_ms": 1,
    **dict.fromkeys(("sdnn_ms", "rmssd_ms", "pnn50", "pnn20"), 2),
    **dict.fromkeys(("sd1_ms", "sd2_ms"), 3),
    "dfa_alpha1": 64,
    "sample_entropy": 100,
    # 64 s from the first to the last interval, which are 800 ms on average.
    **dict.fromkeys(("vlf_ms2", "lf_ms2", "hf_ms2", "lf_hf"), 81),
}


def test_too_few_intervals_give_nan_not_zero(use_ffi):
    rr = 800 + 20 * np.sin(np.arange(100))
    assert set(LEAST) == {f.name for f in fields(HRVMetrics)} - {"nn_count"}
    for name, least in LEAST.items():
        assert np.isfinite(getattr(hrv(rr[:least], use_ffi=use_ffi), name)), name
        assert np.isnan(getattr(hrv(rr[: least - 1], use_ffi=use_ffi), name)), name
    assert hrv([800.0], use_ffi=use_ffi).to_dict()["sdnn_ms"] is None


def test_a_pacemaker_has_no_variability(use_ffi):
    found = hrv([1000.0] * 300, use_ffi=use_ffi)
    assert (found.sdnn_ms, found.rmssd_ms, found.pnn50, found.sample_entropy) == (0, 0, 0, 0)
    assert found.hf_ms2 == pytest.approx(0.0, abs=1e-9)
    assert np.isnan([found.dfa_alpha1, found.lf_hf]).all()


@pytest.mark.parametrize("rr_ms", [[800, -1], [800, 0], [np.nan], [np.inf], [[800.0]], ["a"]])
def test_impossible_intervals_are_refused(use_ffi, rr_ms):
    for function in (hrv, normal_intervals):
        with pytest.raises(InvalidSignalError, match="rr_ms"):
            function(rr_ms, use_ffi=use_ffi)


def test_intervals_of_years_take_no_memory(use_ffi):
    found = hrv([1e12, 2e12, 1e12, 5e11], use_ffi=use_ffi)
    assert np.isnan(found.hf_ms2)


def test_ectopic_beats_and_artefacts_are_left_out(use_ffi):
    rr = np.full(60, 800.0)
    rr[10:12] = 560, 1040
    rr[20:22] = 330, 470
    rr[30] = 1600
    rr[40] = 2500
    normal = normal_intervals(rr, use_ffi=use_ffi)
    assert np.flatnonzero(~normal).tolist() == [10, 11, 20, 21, 30, 40]


def test_breathing_and_fibrillation_are_kept(use_ffi):
    breathing = 850 + 200 * np.sin(2 * np.pi * np.arange(300) / 5.3)
    assert normal_intervals(breathing, use_ffi=use_ffi).all()
    fibrillation = np.random.default_rng(0).uniform(450, 1050, 400)
    assert normal_intervals(fibrillation, use_ffi=use_ffi).mean() > 0.9


def test_normal_intervals_of_real_rhythms(rhythms, use_ffi):
    """Annotated beats: nearly all normal ones kept, ectopic ones left out where it is steady."""
    for name in ("100", "105", "118", "119", "208"):
        beats = rhythms[name]
        rr = np.diff(beats.peaks_s) * 1000
        normal = normal_intervals(rr, unlike=beats.unlike, use_ffi=use_ffi)
        odd = beats.ectopic | beats.unlike
        ectopic = odd[1:] | odd[:-1]
        assert normal[~ectopic].mean() > 0.98, name
        assert normal[ectopic].mean() < 0.25, name
    for name in ("data_8_2", "data_8_3", "data_8_4"):
        rr = np.diff(rhythms[name].peaks_s) * 1000
        assert normal_intervals(rr, use_ffi=use_ffi).mean() > 0.75, name


def test_unlike_has_a_mark_for_each_beat(use_ffi):
    with pytest.raises(InvalidSignalError, match="one mark for each of 4 beats"):
        normal_intervals([800.0] * 3, unlike=[False] * 3, use_ffi=use_ffi)


def test_twins_agree_on_noise():
    rng = np.random.default_rng(5)
    for n in (2, 3, 10, 90, 500, 5000):
        rr = 800 + 60 * rng.standard_normal(n)
        rust, python = (asdict(hrv(rr, use_ffi=use_ffi)) for use_ffi in (True, False))
        assert rust == pytest.approx(python, rel=1e-9, nan_ok=True)


def test_twins_agree_on_every_annotated_record(rhythms):
    for beats in rhythms.values():
        rr = np.diff(beats.peaks_s) * 1000
        for unlike in (None, beats.unlike):
            rust, python = (normal_intervals(rr, unlike=unlike, use_ffi=f) for f in (True, False))
            np.testing.assert_array_equal(rust, python)
        rust, python = (asdict(hrv(rr[rust], use_ffi=use_ffi)) for use_ffi in (True, False))
        assert rust == pytest.approx(python, rel=1e-9, nan_ok=True)
