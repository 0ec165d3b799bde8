"""The fit of the detector's weights: the regression, the labels, the noise, and the detection."""

import numpy as np
import pytest
from ecg_processor_py import reference
from scipy.optimize import minimize

from benchmarks import beat_candidates, fit_detector
from benchmarks.beat_candidates import judge_rows, near_beats
from benchmarks.databases import READERS, TUNED_ON, AnnotatedRecord, load
from benchmarks.logistic import fit_logistic
from benchmarks.scoring import score_beats


@pytest.fixture(scope="module")
def ludb():
    return load("ludb")


@pytest.fixture(scope="module")
def mitdb():
    return load("mitdb")


@pytest.fixture(scope="module")
def drawn():
    """Samples of a known logistic model, whose features have different units."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(40_000, 3)) * (0.1, 1.0, 10.0)
    odds = 0.5 + features @ (10.0, -2.0, 0.05)
    is_true = rng.random(len(odds)) < 1.0 / (1.0 + np.exp(-odds))
    return features, is_true, rng.uniform(0.5, 2.0, len(odds))


def test_the_regression_recovers_known_weights(drawn):
    model = fit_logistic(*drawn)
    np.testing.assert_allclose(model.weights, (10.0, -2.0, 0.05), rtol=0.05)
    assert model.bias == pytest.approx(0.5, abs=0.05)


def test_the_regression_minimises_what_it_says(drawn):
    features, is_true, sample_weights = (array[:500] for array in drawn)
    scaled, c = features / features.std(axis=0), 0.02

    def cost(solution):
        odds = scaled @ solution[:3] + solution[3]
        loss = np.logaddexp(0.0, np.where(is_true, -odds, odds))
        shares = sample_weights / sample_weights.mean()
        return 0.5 * (solution[:3] ** 2).sum() + c * (shares * loss).sum()

    model = fit_logistic(features, is_true, sample_weights, c)
    own = np.append(model.weights * features.std(axis=0), model.bias)
    best = minimize(cost, np.zeros(4), method="Powell", options={"ftol": 1e-14, "xtol": 1e-9})
    np.testing.assert_allclose(own, best.x, atol=1e-4)
    assert np.abs(own[:3]).max() < 1.5  # held back: unregularised it is about 2


def test_a_measurement_that_never_changes_weighs_nothing(drawn):
    features, is_true, sample_weights = drawn
    model = fit_logistic(np.insert(features, 1, 7.0, axis=1), is_true, sample_weights)
    assert model.weights[1] == pytest.approx(0.0, abs=1e-6)


def test_labels_are_the_nearest_candidates_within_reach():
    samples, beats = np.array([0, 90, 130, 300, 500]), np.array([-5, 100, 340, 461, 541])
    labels = near_beats(samples, beats, 40.0)
    assert labels.tolist() == [True, True, False, True, True]
    assert not near_beats(samples[:4], beats[3:], 40.0).any()
    assert not near_beats(samples[:0], beats, 40.0).any()


def test_each_beat_of_a_short_record_is_one_candidate(ludb):
    judged = list(beat_candidates.judged_leads(ludb[0]))
    assert [one.lead for one in judged] == [*range(12), None]
    together = judged[-1]
    assert together.is_beat.sum() == len(ludb[0].r_peaks)
    assert together.features.shape == (len(together.at_s), 11)
    samples = together.at_s * ludb[0].fs_hz
    first, last = ludb[0].scored
    assert together.counted.tolist() == ((samples >= first) & (samples <= last)).tolist()
    assert not together.counted.all()


def test_fibrillation_is_left_out():
    t = np.arange(3600) / 360.0
    signal_mv = np.exp(-0.5 * (((t + 0.4) % 0.8 - 0.4) / 0.012) ** 2)[None]
    beats = np.arange(288, 3600, 288)
    spans = ((1000, 2000),)
    record = AnnotatedRecord("made", "r", 360.0, signal_mv, ("II",), beats, excluded=spans)
    judged = judge_rows(record, 0)
    inside = judged.at_s[~judged.counted] * 360.0
    assert len(inside)
    assert inside.min() >= 1000
    assert inside.max() <= 2000


def test_the_weights_in_use_find_what_the_detector_finds(mitdb, ludb):
    for record, lead in ((mitdb[3], 0), (mitdb[3], None), (ludb[5], 1), (ludb[5], None)):
        rows = record.signal_mv if lead is None else record.signal_mv[[lead]]
        found = judge_rows(record, lead).detect(fit_detector.IN_USE)
        assert found.tolist() == reference.detect_r_peaks(rows, record.fs_hz).tolist()


def test_weights_of_one_database_find_beats_of_another(mitdb, ludb):
    judged = [judge_rows(record, 1) for record in ludb]
    model = fit_detector.training_set(judged, 0).fit()
    assert score_beats(mitdb[0], judge_rows(mitdb[0], 0).detect(model)).f1 > 99.0


def test_noise_is_that_of_118e06_where_it_was_added(mitdb):
    noisy = {r.name: r for r in beat_candidates.with_electrode_motion(mitdb, load("nstdb")[0])}
    assert "118" not in noisy
    clean = mitdb[0]
    added = noisy["100"].signal_mv - clean.signal_mv
    # Nothing is added to the first five minutes, then to each other two.
    assert np.abs(added[:, :107_000]).max() < 0.02
    assert added[:, 109_000:150_000].std() > 0.1
    np.testing.assert_array_equal(noisy["100"].r_peaks, clean.r_peaks)


def test_a_fit_without_a_database_has_none_of_its_subjects(mitdb):
    assert fit_detector.subject_of(mitdb[0]) == "mitdb 100"
    qtdb = [fit_detector.subject_of(record) for record in load("qtdb")]
    assert qtdb[:3] == ["mitdb 100", "qtdb sel16265", "mitdb 231"]
    assert fit_detector.subject_of(load("nstdb")[0]) == "mitdb 118"
    subjects = np.array(["mitdb 100", "ludb 100", "mitdb 100", "qtdb sel301"])
    databases = np.array(["mitdb", "ludb", "qtdb", "qtdb"])
    training = fit_detector.TrainingSet(np.zeros((4, 11)), np.zeros(4, bool), databases, subjects)
    left = training.without(("mitdb",), {"mitdb 100"})
    assert left.database.tolist() == ["ludb", "qtdb"]
    assert left.subject.tolist() == ["ludb 100", "qtdb sel301"]


@pytest.mark.parametrize("database", [name for name in READERS if name != "svdb"])
def test_records_that_were_fitted_are_named(database):
    assert {record.name for record in load(database)} == TUNED_ON[database]
