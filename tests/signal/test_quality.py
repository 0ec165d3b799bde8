"""Quality: what is wrong is named, noise lowers the score, noisy recordings score below clean."""

import csv

import numpy as np
import pytest
import scipy.io
from ecg_processor_py import signal_quality

BEATS = list(range(150, 4900, 400))


def test_a_clean_lead_scores_high(clean_lead, use_ffi):
    found = signal_quality(clean_lead, 360.0, use_ffi=use_ffi)
    assert found.score > 0.95
    assert found.leads[0].issues == ()


@pytest.mark.parametrize("shape", [5000, (3, 5000)])
def test_a_flat_signal_scores_nothing(use_ffi, shape):
    found = signal_quality(np.zeros(shape), 500.0, use_ffi=use_ffi)
    assert found.score == 0.0
    assert {lead.issues for lead in found.leads} == {("flat",)}


def test_each_fault_is_named(strip, use_ffi):
    clean = strip(BEATS) + 0.001 * np.random.default_rng(0).standard_normal(5000)
    t = np.arange(5000) / 500.0
    came_off = clean.copy()
    came_off[3500:] = 4.0
    leads = {
        "clean": clean,
        "clipped": np.minimum(clean, 0.6),
        "noise": clean + 0.3 * np.random.default_rng(1).standard_normal(5000),
        "baseline": clean + 2.0 * np.sin(2 * np.pi * 0.15 * t),
        "disconnected": came_off,
        "railed": np.full(5000, -5.0),
    }
    found = signal_quality(np.stack(list(leads.values())), 500.0, use_ffi=use_ffi)
    issues = {name: lead.issues for name, lead in zip(leads, found.leads, strict=True)}
    assert issues["clean"] == ()
    assert issues["clipped"] == ("clipped",)
    assert issues["noise"] == ("noise",)
    assert issues["baseline"] == ("baseline",)
    assert "disconnected" in issues["disconnected"]
    assert issues["railed"] == ("flat", "disconnected")
    assert found.leads[0].score == max(lead.score for lead in found.leads)


def test_more_noise_never_raises_the_score(clean_lead, use_ffi):
    noise = np.random.default_rng(2).standard_normal(clean_lead.shape)
    scores = [
        signal_quality(clean_lead + level * noise, 360.0, use_ffi=use_ffi).score
        for level in (0.0, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
    ]
    assert scores == sorted(scores, reverse=True)
    assert scores[-1] < 0.2


def test_the_noise_threshold_decides_what_is_noise(clean_lead, use_ffi):
    x = clean_lead + 0.1 * np.random.default_rng(2).standard_normal(clean_lead.shape)
    strict = signal_quality(x, 360.0, noise_threshold=0.02, use_ffi=use_ffi)
    lenient = signal_quality(x, 360.0, noise_threshold=0.5, use_ffi=use_ffi)
    assert strict.leads[0].issues == ("noise",)
    assert lenient.leads[0].issues == ()
    assert strict.score < lenient.score


def test_amplitude_offset_and_polarity_do_not_matter(clean_lead, use_ffi):
    expected = signal_quality(clean_lead, 360.0, use_ffi=use_ffi).score
    for x in (-clean_lead, 10 * clean_lead, clean_lead + 300.0):
        score = signal_quality(x, 360.0, use_ffi=use_ffi).score
        assert score == pytest.approx(expected, abs=1e-6)


def test_noisy_recordings_score_below_others(data_dir, use_ffi):
    folder = data_dir / "rhythm_1lead/cinc2017"
    with (folder / "REFERENCE.csv").open() as table:
        labels = dict(csv.reader(table))
    noisy, others = [], []
    for name, label in labels.items():
        x = scipy.io.loadmat(folder / f"{name}.mat")["val"][0] / 1000.0
        (noisy if label == "~" else others).append(signal_quality(x, 300.0, use_ffi=use_ffi).score)
    auc = np.mean(np.array(others)[:, None] > np.array(noisy))
    assert auc > 0.93


def test_twins_agree(ludb, cpsc2019):
    for record in [*ludb[:15], *cpsc2019]:
        rust = signal_quality(record.signal_mv, record.fs_hz, use_ffi=True)
        python = signal_quality(record.signal_mv, record.fs_hz, use_ffi=False)
        for a, b in zip(rust.leads, python.leads, strict=True):
            assert a.score == pytest.approx(b.score, abs=1e-6), record.name
            assert a.issues == b.issues, record.name
