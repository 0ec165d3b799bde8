import numpy as np
import pytest

from serve_app.evaluation.metrics import METRICS, Outcome, calibration_bins, figures


def outcome(truth, scores, threshold=0.5, calibrated=None):
    scores = np.array(scores, float)
    return Outcome(
        np.array(truth, bool),
        scores,
        scores if calibrated is None else np.array(calibrated, float),
        threshold,
        np.arange(len(scores)),
    )


def test_by_hand():
    found, reasons = figures(outcome([0, 0, 1, 1, 1], [0.1, 0.6, 0.6, 0.8, 0.2]))
    # Pairs: 0.6 beats 0.1 and ties 0.6; 0.8 beats both; 0.2 beats 0.1: 4.5 of 6.
    assert found["auroc"] == pytest.approx(4.5 / 6)
    # From the top: 1 of 1, then 2 of 3, then 3 of 4.
    assert found["auprc"] == pytest.approx((1 + 2 / 3 + 3 / 4) / 3)
    assert found["sensitivity"] == pytest.approx(2 / 3)
    assert found["specificity"] == pytest.approx(1 / 2)
    assert found["ppv"] == pytest.approx(2 / 3)
    assert found["f1"] == pytest.approx(2 / 3)
    assert found["brier"] == pytest.approx((0.01 + 0.36 + 0.16 + 0.04 + 0.64) / 5)
    assert reasons == {}


def test_a_score_on_the_threshold_is_positive():
    assert figures(outcome([1], [0.5]))[0]["sensitivity"] == 1.0


def test_calibration_error_of_two_groups():
    # 100 at 0.2 of which 40 are so, 100 at 0.9 of which 80 are: off by 0.2 and by 0.1.
    truth = np.r_[np.arange(100) < 40, np.arange(100) < 80]
    found, _ = figures(outcome(truth, np.repeat([0.2, 0.9], 100)))
    assert found["ece"] == pytest.approx(0.15)


def test_bins_hold_as_many_recordings_each():
    bins = calibration_bins(np.random.default_rng(0).beta(0.1, 10, 1000))
    assert np.bincount(bins).tolist() == [100] * 10
    assert set(calibration_bins(np.zeros(7))) == {1}


@pytest.mark.parametrize(
    ("truth", "scores", "undefined"),
    [
        ([0, 0], [0.1, 0.9], {"auroc", "auprc", "sensitivity"}),
        ([1, 1], [0.1, 0.9], {"auroc", "specificity"}),
        ([0, 1], [0.1, 0.2], {"ppv"}),
        ([0, 0], [0.1, 0.2], {"auroc", "auprc", "sensitivity", "ppv", "f1"}),
        ([], [], set(METRICS)),
    ],
)
def test_what_is_not_defined_has_a_reason_and_is_no_nought(truth, scores, undefined):
    found, reasons = figures(outcome(truth, scores))
    assert {name for name, value in found.items() if value is None} == undefined
    assert reasons.keys() == undefined
    assert all(reasons.values())


def test_order_and_monotone_changes_do_not_matter_to_ranks():
    generator = np.random.default_rng(1)
    truth, scores = generator.random(300) < 0.2, generator.random(300).round(2)
    first, _ = figures(outcome(truth, scores))
    order = generator.permutation(300)
    again, _ = figures(outcome(truth[order], scores[order] ** 3))
    assert (again["auroc"], again["auprc"]) == pytest.approx((first["auroc"], first["auprc"]))
