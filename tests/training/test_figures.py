import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from serve_app.model.labels import LABELS
from serve_app.training.figures import auroc, best_threshold, figures_of, joined_scores


@pytest.mark.parametrize("seed", range(5))
def test_auroc_is_the_usual_one(seed):
    rng = np.random.default_rng(seed)
    positive = rng.random(200) < 0.2
    scores = np.round(rng.normal(size=200) + positive, 1)  # with ties
    assert auroc(positive, scores) == pytest.approx(roc_auc_score(positive, scores))


def test_without_positives_there_is_no_figure():
    truth, scores = np.zeros((10, 17)), np.random.default_rng(0).random((10, 17))
    truth[:, 1] = np.nan
    figures = figures_of(truth, scores, [str(i) for i in range(10)])
    assert all(figure.auroc is None and figure.interval is None for figure in figures)
    assert (figures[1].positives, figures[1].negatives) == (0, 0)
    with pytest.raises(ValueError, match="positives"):
        auroc(truth[:, 0] == 1, scores[:, 0])


def of_one_label(count: int) -> np.ndarray:
    """Every fourth recording has the first label; the others are unknown, and cost no time."""
    truth = np.full((count, 17), np.nan)
    truth[:, 0] = np.arange(count) % 4 == 0
    return truth


def test_intervals_hold_the_value_and_narrow_with_numbers():
    rng = np.random.default_rng(1)

    def interval(count):
        truth = of_one_label(count)
        scores = rng.normal(size=(count, 17)) + 1.2 * truth
        figure = figures_of(truth, scores, [str(i) for i in range(count)])[0]
        low, high = figure.interval
        assert low < figure.auroc < high
        return high - low

    assert interval(400) < interval(60)


def test_recordings_of_one_patient_are_drawn_together():
    rng = np.random.default_rng(2)
    truth = of_one_label(60)
    scores = rng.normal(size=(60, 17)) + truth

    def width(patients):
        low, high = figures_of(np.repeat(truth, 5, 0), np.repeat(scores, 5, 0), patients)[
            0
        ].interval
        return high - low

    apart, together = [str(i) for i in range(300)], [str(i // 5) for i in range(300)]
    assert width(together) > 1.5 * width(apart)


def test_thresholds_separate_what_can_be():
    positive = np.arange(100) >= 90
    assert best_threshold(positive, np.where(positive, 0.8, 0.3)) == pytest.approx(0.55, abs=0.02)


def test_scores_are_joined_as_served():
    logits = np.zeros((1, 2, 17), np.float32)
    logits[0, 1] = 2.0
    joined = joined_scores(logits)[0]
    high = 1 / (1 + np.exp(-2.0))
    for label, score in zip(LABELS, joined, strict=True):
        assert score == pytest.approx(high if label.join == "max" else (0.5 + high) / 2)


def test_hits_and_false_alarms_are_counted_at_the_threshold():
    truth, scores = np.full((6, 17), np.nan), np.zeros((6, 17))
    truth[:5, 0] = (1, 1, 0, 0, 0)
    scores[:, 0] = (0.5, 0.49, 0.9, 0.1, 0.2, 0.9)
    figure = figures_of(truth, scores, list("abcdef"))[0]
    assert (figure.hits, figure.positives) == (1, 2)
    assert (figure.false_alarms, figure.negatives) == (1, 3)
