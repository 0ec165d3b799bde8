import numpy as np
import pytest

from serve_app.evaluation.calibration_fit import fit_label, fit_line, fit_threshold
from serve_app.evaluation.metrics import Outcome
from serve_app.model.labels import Label, calibrated

LABEL = Label("Atrial fibrillation", pos_weight=8.9)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def drawn(n, slope, intercept, seed=0, patients=None):
    """Truth that follows a line on the logit of the score."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 2, n)
    truth = generator.random(n) < sigmoid(slope * logits + intercept)
    scores = sigmoid(logits)
    owners = generator.integers(0, patients or n, n)
    before = calibrated(scores[:, None], [LABEL])[:, 0]
    return Outcome(truth, scores, before, 0.5, owners)


@pytest.mark.parametrize(("temperature", "intercept"), [(1.0, 0.0), (2.5, 0.0), (0.5, -3.0)])
def test_a_known_temperature_is_found_again(temperature, intercept):
    outcome = drawn(40_000, 1 / temperature, intercept)
    slope, found = fit_line(outcome.scores, outcome.truth)
    assert 1 / slope == pytest.approx(temperature, rel=0.05)
    assert found == pytest.approx(intercept, abs=0.1)


def test_the_line_is_scikit_learns_logistic_regression_of_platt_s_targets():
    from sklearn.linear_model import LogisticRegression

    outcome = drawn(400, 1.3, -0.5)
    slope, intercept = fit_line(outcome.scores, outcome.truth)
    high = (outcome.truth.sum() + 1) / (outcome.truth.sum() + 2)
    low = 1 / ((~outcome.truth).sum() + 2)
    share = np.where(outcome.truth, high, low)
    logits = np.log(outcome.scores / (1 - outcome.scores))
    twice = LogisticRegression(C=np.inf, tol=1e-10).fit(
        np.r_[logits, logits][:, None], np.repeat([1, 0], 400), np.r_[share, 1 - share]
    )
    assert (slope, intercept) == pytest.approx((twice.coef_[0, 0], twice.intercept_[0]), abs=1e-4)


def test_classes_that_are_told_apart_keep_a_finite_line():
    scores = np.r_[np.linspace(0.01, 0.4, 20), np.linspace(0.6, 0.99, 20)]
    slope, intercept = fit_line(scores, np.arange(40) >= 20)
    assert 0 < slope < 50
    assert abs(intercept) < 50
    ends = np.r_[np.zeros(20), np.ones(20)]
    assert np.isfinite(fit_line(ends, np.arange(40) >= 20)).all()


def test_threshold_of_the_largest_f1():
    outcome = drawn(500, 2.0, -1.0)
    scores, truth = outcome.scores, outcome.truth
    found = fit_threshold(scores, truth)

    def f1(threshold):
        said = scores >= threshold
        return 2 * (said & truth).sum() / (said.sum() + truth.sum())

    assert f1(found) == max(f1(each) for each in scores)
    assert found not in scores


@pytest.mark.parametrize("sensitivity", [0.5, 0.9, 1.0])
def test_threshold_of_a_sensitivity_is_the_highest_that_reaches_it(sensitivity):
    outcome = drawn(500, 2.0, -1.0)
    scores, truth = outcome.scores, outcome.truth
    found = fit_threshold(scores, truth, sensitivity)
    assert (scores[truth] >= found).mean() >= sensitivity
    higher = scores[truth & (scores >= found)].min()
    assert (scores[truth] > higher).mean() < sensitivity


def test_effect_is_honest_of_patients_left_out():
    outcome = drawn(2000, 0.7, -0.4, patients=700)
    found = fit_label(LABEL, outcome, seed=0)
    assert found.calibration.slope == pytest.approx(0.7, rel=0.2)
    before, after = found.effect.brier
    assert before == pytest.approx(np.mean((outcome.calibrated - outcome.truth) ** 2))
    assert after < before
    assert found.effect.ece[1] < 0.5 * found.effect.ece[0]
    assert 0 < found.effect.f1[1] <= 1


def test_no_gain_is_told_where_there_is_none():
    """Fitted on few that are calibrated already, the left-out patients must show the cost."""
    outcome = drawn(200, 1.0, -np.log(LABEL.pos_weight), seed=3)
    within = calibrated(
        outcome.scores[:, None],
        [Label("x", slope=(line := fit_line(outcome.scores, outcome.truth))[0], intercept=line[1])],
    )[:, 0]
    fitted_on_itself = np.mean((within - outcome.truth) ** 2)
    assert fit_label(LABEL, outcome, seed=0).effect.brier[1] > fitted_on_itself


@pytest.mark.parametrize(
    ("truth", "patients", "reason"),
    [
        (np.arange(100) < 9, np.arange(100), "too few positives: 9 of 9 patients"),
        (np.arange(100) >= 9, np.arange(100), "too few negatives"),
        (np.arange(100) < 50, np.where(np.arange(100) < 50, 0, np.arange(100)), "50 of 1 patients"),
    ],
)
def test_too_few_are_not_fitted(truth, patients, reason):
    scores = np.linspace(0.9, 0.1, 100)
    found = fit_label(LABEL, Outcome(truth, scores, scores, 0.5, patients), seed=0)
    assert found.calibration is None
    assert reason in found.reason


def test_scores_that_fall_with_the_truth_are_not_turned_round():
    outcome = drawn(500, -1.0, 0.0)
    assert "do not rise" in fit_label(LABEL, outcome, seed=0).reason
