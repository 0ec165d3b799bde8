import ecg_processor_py as core
import numpy as np
import pytest

from serve_app.model.labels import LABELS
from serve_app.preprocessing import analyze, check, prepare
from serve_app.recording import STANDARD_LEADS
from serve_app.simulation import SCENARIOS, Scenario, draw_scenario, simulate

NAMES = [label.name for label in LABELS]


def test_same_seed_same_bits():
    for name in SCENARIOS:
        first, again = simulate(name, seed=4), simulate(name, seed=4)
        assert first.recording.sha256 == again.recording.sha256
        assert np.array_equal(first.clean_mv, again.clean_mv)
        assert np.array_equal(first.r_peaks, again.r_peaks)
        assert first.recording.sha256 != simulate(name, seed=5).recording.sha256


def test_global_generator_neither_matters_nor_is_touched():
    np.random.seed(1)
    before = np.random.get_state()[1].copy()
    first = simulate("pvc", seed=2).recording.sha256
    assert np.array_equal(np.random.get_state()[1], before)
    np.random.seed(9)
    assert simulate("pvc", seed=2).recording.sha256 == first


@pytest.mark.parametrize("fs_hz", [100.0, 257.0, 500.0, 1000.0])
@pytest.mark.parametrize("name", SCENARIOS)
def test_is_a_recording_that_can_be_served(name, fs_hz):
    recording = simulate(name, seed=1, fs_hz=fs_hz).recording
    assert recording.leads == STANDARD_LEADS
    assert recording.signal_mv.shape == (12, 10 * fs_hz)
    assert not recording.signal_mv.flags.writeable
    check(recording)
    assert prepare(recording).segments.shape == (2, 12, 2500)


def test_without_noise_the_recording_is_the_clean_one():
    simulated = simulate(Scenario(noise="none"), seed=3)
    assert np.array_equal(simulated.recording.signal_mv, simulated.clean_mv.astype(np.float32))


def test_every_label_can_be_had():
    shown = np.any([simulate(name).labels for name in SCENARIOS], axis=0)
    assert shown.all(), [name for name, on in zip(NAMES, shown, strict=True) if not on]


def test_drawn_scenarios_show_every_label_often_enough():
    rng = np.random.default_rng(0)
    labels = np.array([simulate(draw_scenario(rng), seed=i).labels for i in range(600)])
    assert labels.mean(0).min() > 0.01
    assert labels.mean(0).max() < 0.8


def test_labels_go_together():
    rng = np.random.default_rng(1)
    for seed in range(300):
        simulated = simulate(draw_scenario(rng), seed=seed)
        has = dict(zip(NAMES, simulated.labels, strict=True))
        if has["1st degree atrioventricular block"]:
            assert has["Atrioventricular block"]
            assert has["Sinus rhythm"]
        if has["Bifascicular block"]:
            assert has["Right bundle branch block"]
        if has["Supraventricular tachycardia with aberrancy"]:
            assert has["Right bundle branch block"] or has["Left bundle branch block"]
        assert has["Tachycardia"] == (simulated.rate_bpm > 100)
        assert has["Bradycardia"] == (simulated.rate_bpm < 60)
        atrial = ("Sinus rhythm", "Atrial fibrillation", "Atrial flutter")
        assert sum(has[name] for name in atrial) <= 1
        assert not (has["Right bundle branch block"] and has["Left bundle branch block"])


def test_beats_that_come_and_go_are_labelled_where_they_are():
    index = NAMES.index("Premature ventricular contraction")
    for seed in range(12):
        simulated = simulate("pvc", seed=seed)
        for start_s in (0.0, 5.0):
            here = [b.kind for b in simulated.beats if start_s <= b.r_s < start_s + 5]
            assert simulated.labels_between(start_s, start_s + 5)[index] == ("ventricular" in here)


def test_r_peaks_agree_with_the_detector():
    """Of the heart's own beats; broad smooth ventricular ones are another matter."""
    own = [name for name in SCENARIOS if name not in HARD]
    found = total = 0
    for name in own:
        for seed in range(8):
            simulated = simulate(name, seed=seed)
            detected = np.asarray(analyze(simulated.recording).qrs_peaks)
            near = np.abs(simulated.r_peaks[:, None] - detected).min(axis=1) <= 0.075 * 500
            found, total = found + int(near.sum()), total + len(near)
    assert total > 1500
    assert found / total >= 0.99


# Ventricular rhythms, P waves that stand alone, and what no one could read.
HARD = ("ventricular tachycardia", "complete block", "poor quality")


def test_r_peaks_of_one_lead_agree_with_the_detector():
    simulated = simulate("sinus", seed=8, duration_s=60)
    detected = np.asarray(core.detect_r_peaks(simulated.recording.signal_mv[1], 500.0))
    assert len(detected) == len(simulated.r_peaks)
    assert np.abs(detected - simulated.r_peaks).max() <= 0.05 * 500


def test_poor_quality_is_poor():
    def median_quality(name: str) -> float:
        scores = [analyze(simulate(name, seed=s).recording).signal_quality for s in range(12)]
        return float(np.median(scores))

    assert median_quality("poor quality") < median_quality("sinus") - 0.1


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"scenario": "healthy"}, "no scenario"),
        ({"duration_s": 0.5}, "duration_s"),
        ({"fs_hz": 50.0}, "fs_hz"),
    ],
)
def test_impossible_wishes_are_refused(wrong, says):
    with pytest.raises(ValueError, match=says):
        simulate(**wrong)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"rhythm": "asystole"}, "rhythm"),
        ({"rate_bpm": 5.0}, "rate_bpm"),
        ({"pr_ms": 700.0}, "pr_ms"),
        ({"repolarisation": "acute"}, "territory"),
        ({"territory": "inferior"}, "territory"),
    ],
)
def test_impossible_scenarios_are_refused(fields, says):
    with pytest.raises(ValueError, match=says):
        Scenario(**fields)
