import math
import subprocess
import sys

import numpy as np
import pytest

from serve_app.model.labels import (
    LABELS,
    Label,
    calibrated,
    calibrated_logits,
    join_segments,
)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-x))


def test_labels_are_the_published_ones() -> None:
    assert len(LABELS) == 17
    assert LABELS[0].name == "Poor data quality"
    assert LABELS[16].name == "Electronic pacemaker"
    assert [i for i, label in enumerate(LABELS) if label.join == "max"] == [0, 2, 4, 5, 16]
    assert [label.name for label in LABELS if label.noisy] == ["Accessory pathway conduction"]
    assert {label.threshold for label in LABELS} == {0.5}


def test_join_takes_mean_or_maximum_as_each_label_says() -> None:
    scores = np.random.default_rng(0).random((4, 17), dtype=np.float32)
    joined = join_segments(scores)
    assert joined.shape == (17,)
    assert joined.dtype == np.float32
    for column, label in enumerate(LABELS):
        want = scores[:, column].max() if label.join == "max" else scores[:, column].mean()
        assert joined[column] == pytest.approx(want)


def test_join_of_one_segment_is_that_segment() -> None:
    scores = np.random.default_rng(1).random((1, 17), dtype=np.float32)
    np.testing.assert_array_equal(join_segments(scores), scores[0])


@pytest.mark.parametrize("shape", [(0, 17), (17,), (2, 16), (1, 2, 17)])
def test_join_refuses_other_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="expected"):
        join_segments(np.zeros(shape, np.float32))


def test_calibration_of_probabilities_and_of_logits_agree() -> None:
    logits = np.random.default_rng(2).normal(0, 4, (5, 17))
    np.testing.assert_allclose(
        calibrated(sigmoid(logits)), sigmoid(calibrated_logits(logits)), rtol=1e-9
    )


def test_half_for_ventricular_tachycardia_means_one_in_a_thousand() -> None:
    assert calibrated(np.full(17, 0.5))[4] == pytest.approx(0.0009, abs=5e-5)
    assert calibrated_logits(np.zeros(17))[4] == pytest.approx(-math.log(1104.575439))


def test_calibration_keeps_certainty_and_order() -> None:
    np.testing.assert_array_equal(calibrated(np.zeros((1, 17))), np.zeros((1, 17)))
    np.testing.assert_array_equal(calibrated(np.ones((1, 17))), np.ones((1, 17)))
    rising = np.linspace(0, 1, 50)[:, None].repeat(17, 1)
    assert (np.diff(calibrated(rising), axis=0) > 0).all()


def test_a_fitted_line_stands_above_the_prior_correction() -> None:
    labels = [Label("a", pos_weight=7.0), Label("b", pos_weight=7.0, slope=0.5, intercept=1.5)]
    assert [label.calibration for label in labels] == ["prior_correction", "platt"]
    logits = np.random.default_rng(3).normal(0, 4, (9, 2))
    want = np.column_stack([logits[:, 0] - math.log(7.0), 0.5 * logits[:, 1] + 1.5])
    np.testing.assert_allclose(calibrated_logits(logits, labels), want)
    np.testing.assert_allclose(calibrated(sigmoid(logits), labels), sigmoid(want), rtol=1e-9)
    np.testing.assert_array_equal(
        calibrated(np.array([[0.0, 0.0], [1.0, 1.0]]), labels).T, [[0, 1]] * 2
    )


def test_calibration_refuses_another_number_of_labels() -> None:
    with pytest.raises(ValueError, match="expected"):
        calibrated(np.zeros((2, 16)))


@pytest.mark.parametrize(
    "fields",
    [
        {"name": ""},
        {"name": "a", "join": "sum"},
        {"name": "a", "pos_weight": 0.0},
        {"name": "a", "pos_weight": math.nan},
        {"name": "a", "threshold": 1.5},
        {"name": "a", "slope": 0.0},
        {"name": "a", "slope": math.inf},
        {"name": "a", "intercept": math.nan},
    ],
)
def test_label_refuses_nonsense(fields: dict) -> None:
    with pytest.raises(ValueError, match=r"must|needs"):
        Label(**fields)


def test_labels_and_protocol_need_no_torch() -> None:
    code = (
        "import sys, serve_app.model.labels, serve_app.engine.protocol;"
        "sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
