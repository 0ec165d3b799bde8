"""Variability against the figures on which independent libraries agree."""

from dataclasses import asdict

import numpy as np
import pytest
from ecg_processor_py import InvalidSignalError, hrv


def test_reference_record(data_dir, use_ffi):
    nn = np.loadtxt(data_dir / "derived/rr100_5min_nn.txt")
    found = hrv(nn, use_ffi=use_ffi)
    assert found.nn_count == 362
    assert found.sdnn_ms == pytest.approx(25.3721, abs=5e-5)
    assert found.rmssd_ms == pytest.approx(25.9634, abs=5e-5)
    # Four steps are 18 samples at 360 Hz, exactly 50 ms: not above it. Libraries that divide by 360
    # before they multiply by 1000 count two of them for their rounding, which gives 3.6011.
    assert found.pnn50 == pytest.approx(100 * 11 / 361)
    assert found.sd1_ms == pytest.approx(18.3843, abs=5e-5)
    assert found.sd2_ms == pytest.approx(30.8140, abs=5e-5)


def test_too_few_intervals_give_nan_not_zero(use_ffi):
    assert np.isnan(hrv([], use_ffi=use_ffi).mean_nn_ms)
    one = hrv([800.0], use_ffi=use_ffi)
    assert one.mean_nn_ms == 800.0
    assert np.isnan([one.sdnn_ms, one.rmssd_ms, one.pnn50, one.sd1_ms, one.sd2_ms]).all()
    assert one.to_dict()["sdnn_ms"] is None


@pytest.mark.parametrize("rr_ms", [[800, -1], [800, 0], [np.nan], [np.inf], [[800.0]], ["a"]])
def test_impossible_intervals_are_refused(use_ffi, rr_ms):
    with pytest.raises(InvalidSignalError, match="rr_ms"):
        hrv(rr_ms, use_ffi=use_ffi)


def test_twins_agree():
    rng = np.random.default_rng(5)
    for n in (2, 3, 10, 500):
        rr = 800 + 60 * rng.standard_normal(n)
        rust, python = (asdict(hrv(rr, use_ffi=use_ffi)) for use_ffi in (True, False))
        assert rust == pytest.approx(python, rel=1e-9, nan_ok=True)
