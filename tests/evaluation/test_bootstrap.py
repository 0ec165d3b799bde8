import time

import numpy as np
import pytest

from serve_app.evaluation.bootstrap import intervals, replicates
from serve_app.evaluation.metrics import METRICS, Outcome, calibration_bins, figures


def drawn(n, seed=0, prevalence=0.3, digits=2, patients=None):
    """Scores with ties, of patients with several recordings."""
    generator = np.random.default_rng(seed)
    truth = generator.random(n) < prevalence
    scores = (1 / (1 + np.exp(-generator.normal(truth * 1.5 - 0.7, 1)))).round(digits)
    return Outcome(truth, scores, scores**1.5, 0.5, generator.integers(0, patients or n, n))


def repeated(outcome, counts):
    """The recordings of a replicate, written out."""
    rows = np.repeat(np.arange(len(outcome.truth)), counts[outcome.patients])
    return Outcome(
        outcome.truth[rows],
        outcome.scores[rows],
        outcome.calibrated[rows],
        outcome.threshold,
        outcome.patients[rows],
    )


@pytest.mark.parametrize("prevalence", [0.02, 0.3, 0.97])
def test_replicates_are_scikit_learns_figures_of_the_recordings_written_out(prevalence):
    outcome, rounds = drawn(150, prevalence=prevalence, patients=90), 30
    found = replicates([outcome], 90, rounds, seed=4)[:, 0]
    draws = np.random.default_rng(4).integers(0, 90, (rounds, 90))
    for row, patients in zip(found, draws, strict=True):
        written = repeated(outcome, np.bincount(patients, minlength=90))
        wanted, _ = figures(written)
        for name, value in zip(METRICS, row, strict=True):
            if name == "ece":
                continue  # its bins are those of the set, see below
            assert value == pytest.approx(
                np.nan if wanted[name] is None else wanted[name], nan_ok=True
            )


def test_calibration_error_keeps_the_bins_of_the_set():
    outcome = drawn(200, digits=6)
    found = replicates([outcome], 200, 1, seed=4)[0, 0, METRICS.index("ece")]
    counts = np.bincount(np.random.default_rng(4).integers(0, 200, 200), minlength=200)
    weights, bins = counts[outcome.patients], calibration_bins(outcome.calibrated)
    sums = [
        abs((weights * (outcome.calibrated - outcome.truth))[bins == k].sum()) for k in range(10)
    ]
    assert found == pytest.approx(sum(sums) / weights.sum())


def test_a_seed_gives_the_same_draws_whatever_fits_into_memory(monkeypatch):
    outcome = drawn(100)
    whole = replicates([outcome, outcome], 100, 50, seed=1)
    monkeypatch.setattr("serve_app.evaluation.bootstrap._CHUNK_VALUES", 700)
    chunks = replicates([outcome, outcome], 100, 50, seed=1)
    np.testing.assert_allclose(chunks, whole, rtol=1e-12)
    np.testing.assert_array_equal(whole[:, 0], whole[:, 1])
    assert not np.array_equal(replicates([outcome], 100, 50, seed=2), whole[:, :1], equal_nan=True)


def test_patients_are_resampled_with_all_their_recordings():
    """Copies of a recording tell nothing new: the interval must not shrink."""
    once = drawn(200, digits=6)
    tenfold = repeated(once, np.full(200, 10))
    k = METRICS.index("auroc")
    (own,) = intervals(replicates([once], 200, 400, seed=0)[:, 0, [k]])
    (copied,) = intervals(replicates([tenfold], 200, 400, seed=0)[:, 0, [k]])
    assert (copied.low, copied.high) == pytest.approx((own.low, own.high))
    naive = Outcome(
        tenfold.truth, tenfold.scores, tenfold.calibrated, 0.5, np.arange(len(tenfold.truth))
    )
    (narrow,) = intervals(replicates([naive], 2000, 400, seed=0)[:, 0, [k]])
    assert narrow.high - narrow.low < 0.5 * (own.high - own.low)


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    """AUROC of two normals a distance d apart: Phi(d / sqrt 2)."""
    from scipy.stats import norm

    truth_auroc, k, hits, sets = norm.cdf(1.2 / np.sqrt(2)), METRICS.index("auroc"), 0, 150
    for seed in range(sets):
        generator = np.random.default_rng(seed)
        truth = generator.random(150) < 0.4
        scores = norm.cdf(generator.normal(1.2 * truth, 1))
        outcome = Outcome(truth, scores, scores, 0.5, np.arange(150))
        (found,) = intervals(replicates([outcome], 150, 200, seed)[:, 0, [k]])
        hits += found.low <= truth_auroc <= found.high
    assert 0.88 <= hits / sets <= 0.99


def test_no_interval_where_many_replicates_are_undefined():
    lucky = np.array([0.5] * 90 + [np.nan] * 10)
    assert intervals(np.column_stack([lucky, np.linspace(0, 1, 100), np.full(100, np.nan)]))[
        ::2
    ] == [None, None]
    (found,) = intervals(np.linspace(0, 1, 101)[:, None])
    assert (found.low, found.high) == pytest.approx((0.025, 0.975))
    assert intervals(np.empty((0, 2))) == [None, None]


@pytest.mark.benchmark
def test_a_thousand_samples_of_seventeen_labels_take_seconds():
    outcomes = [drawn(2000, seed, 0.1, 6) for seed in range(17)]
    started_s = time.process_time()
    replicates(outcomes, 2000, 1000, seed=0)
    assert time.process_time() - started_s < 10
