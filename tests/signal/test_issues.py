"""Plain faults of a lead: the rules themselves, and on real leads what they find."""

import numpy as np
import pytest
from ecg_processor_py.reference import issues

FS = 500.0
T = np.arange(5000) / FS


@pytest.fixture
def clean(strip) -> np.ndarray:
    noise = 0.001 * np.random.default_rng(0).standard_normal(5000)
    return strip(list(range(150, 4900, 400))) + noise


def tone(hz: float, mv: float, fs_hz: float = FS) -> np.ndarray:
    return mv * np.sin(2.0 * np.pi * hz * np.arange(round(10 * fs_hz)) / fs_hz + 0.3)


@pytest.mark.parametrize("start", [0, 1, 250, 3001])
@pytest.mark.parametrize(("length", "held"), [(249, 0.0), (250, 0.05), (1000, 0.2)])
def test_half_a_second_of_equal_samples_is_held(clean, start, length, held):
    clean[start : start + length] = -7.0
    assert issues.held_part(clean, FS) == pytest.approx(held)


def test_what_hardly_moves_or_is_held_is_flat(clean):
    assert issues.is_flat(0.003 * clean / np.ptp(clean), 0.0)
    assert issues.is_flat(clean, 0.95)
    assert not issues.is_flat(clean, 0.5)
    assert issues.is_railed(np.full(5, -3.0))
    assert not issues.is_railed(np.zeros(5))


def test_extremes_that_are_cut_off_are_clipped(clean):
    assert not issues.is_clipped(clean, FS)
    assert issues.is_clipped(np.minimum(clean, 0.6), FS)
    assert issues.is_clipped(np.maximum(-clean, -0.6), FS)


def test_out_of_range_is_far_for_long_or_a_large_offset(clean):
    assert not issues.is_out_of_range(clean + 290.0)
    assert issues.is_out_of_range(clean + 310.0)
    assert issues.is_out_of_range(clean - 310.0)
    away = clean.copy()
    away[1000:1200] += 30.0
    assert not issues.is_out_of_range(away)
    away[1000:1300] += 30.0
    assert issues.is_out_of_range(away)


@pytest.mark.parametrize("fs_hz", [128.0, 250.0, 257.0, 360.0, 500.0, 1000.0])
@pytest.mark.parametrize("hz", [49.9, 50.0, 60.0, 60.1])
def test_mains_are_told_by_amplitude(fs_hz, hz):
    x = tone(hz, 0.11, fs_hz) + 250.0
    assert issues.mains_hz(x, fs_hz, 1.0) == round(hz)
    assert issues.mains_hz(x, fs_hz, 1.2) is None
    assert issues.mains_hz(0.3 * x, fs_hz, 0.1) is None


def test_other_tones_and_noise_are_no_mains(clean):
    for hz in (20.0, 45.0, 55.0, 65.0):
        assert issues.mains_hz(clean + tone(hz, 0.3), FS, 1.0) is None
    noise = np.random.default_rng(0).standard_normal(5000)
    assert issues.mains_hz(clean + noise, FS, 1.0) is None
    assert issues.mains_hz(tone(50.0, 1.0, 100.0), 100.0, 1.0) is None


def test_mains_added_to_real_leads_are_found_and_no_others(ludb):
    told, silent = [], []
    for record in ludb:
        for row in record.signal_mv:
            qrs_mv = float(np.ptp(row))
            silent.append(issues.mains_hz(row, FS, qrs_mv))
            told.append(issues.mains_hz(row + tone(50.0, max(0.06, 0.12 * qrs_mv)), FS, qrs_mv))
    assert np.mean([found == 50.0 for found in told]) > 0.98
    assert np.mean([found is not None for found in silent]) < 0.02


def test_clean_leads_have_no_fault(ludb):
    for record in ludb:
        for row in record.signal_mv:
            held = issues.held_part(row, FS)
            assert held < issues.HELD_PART
            assert not issues.is_flat(row, held)
            assert not issues.is_out_of_range(row)
