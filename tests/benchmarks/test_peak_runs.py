"""Detectors run in processes of their own: what they find, and what becomes of those that fail."""

import numpy as np
import pytest
from ecg_processor_py import detect_r_peaks

from benchmarks import peak_runs
from benchmarks.databases import AnnotatedRecord
from benchmarks.peers import DETECTORS, NamedDetector

OURS = DETECTORS["ours, Rust, one lead"]
FS_HZ = 360.0


def record(samples):
    """Beats of 1 mV each 0.8 s."""
    t = np.arange(samples) / FS_HZ
    signal_mv = np.exp(-0.5 * (((t + 0.4) % 0.8 - 0.4) / 0.012) ** 2)[None]
    return AnnotatedRecord("made", "r", FS_HZ, signal_mv, ("II",), np.array([288, 576]))


def test_the_process_finds_what_the_function_finds():
    made = record(3600)
    run = peak_runs.run_one(OURS, made)
    assert not run.failure
    assert run.peaks.tolist() == detect_r_peaks(made.signal_mv[0], FS_HZ).tolist()
    assert 0 < run.cpu_s < 5


def test_a_failure_is_told_and_finds_nothing():
    run = peak_runs.run_one(OURS, record(100))
    assert "InvalidSignalError" in run.failure
    assert not len(run.peaks)


def test_one_that_takes_too_long_is_stopped(monkeypatch):
    monkeypatch.setattr(peak_runs, "LIMIT_S", 0.0)
    assert peak_runs.run_one(OURS, record(3600)).failure == "over 0 s"


def test_only_peers_are_remembered(monkeypatch, tmp_path):
    monkeypatch.setattr(peak_runs, "CACHE", tmp_path)
    made = record(3600)
    peak_runs.run_one(OURS, made)
    assert not list(tmp_path.iterdir())
    peer = NamedDetector(OURS.name, "numpy", OURS.find)
    first = peak_runs.run_one(peer, made)
    monkeypatch.setattr(peak_runs, "_limited", lambda *_: pytest.fail("asked again"))
    assert peak_runs.run_one(peer, made).peaks.tolist() == first.peaks.tolist()
