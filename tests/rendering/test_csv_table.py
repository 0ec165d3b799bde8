"""text/csv, as a spreadsheet and a program read it."""

import csv
import io

import pytest

from serve_app.rendering import render


def rows(answered):
    text = render(answered.result, answered.recording, "text/csv").decode()
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_predictions_are_the_results_own(predicted):
    read = rows(predicted)
    assert [row["label"] for row in read] == [p.label for p in predicted.result.predictions]
    for row, prediction in zip(read, predicted.result.predictions, strict=True):
        assert float(row["probability"]) == pytest.approx(prediction.probability, rel=1e-6)
        assert float(row["calibrated_probability"]) == pytest.approx(
            prediction.calibrated_probability, rel=1e-6
        )
        assert (row["positive"] == "true") == prediction.positive
        assert row["demo"] == "true"
        assert row["model_sha256"] == predicted.result.model.sha256
        assert row["recording_sha256"] == predicted.result.recording.sha256


def test_without_a_model_it_is_what_was_measured(analysed):
    read = rows(analysed)
    analysis = analysed.result.analysis
    rate = next(row for row in read if row["name"] == "heart_rate")
    assert float(rate["value"]) == pytest.approx(analysis.heart_rate_bpm)
    beats = [row for row in read if row["kind"] == "beat"]
    assert [float(row["start_s"]) for row in beats] == analysis.r_peaks_s
    assert [float(row["value"]) for row in beats[1:]] == analysis.rr_intervals_ms
    assert beats[0]["value"] == ""


def test_anomalies_have_their_spans(holter):
    anomalies = [row for row in rows(holter) if row["kind"] == "anomaly"]
    expected = holter.result.analysis.anomalies
    assert expected
    assert [row["name"] for row in anomalies] == [anomaly.kind for anomaly in expected]
    starts_s = [float(row["start_s"]) for row in anomalies]
    assert starts_s == pytest.approx([anomaly.start_s for anomaly in expected], abs=1e-6)


def test_times_of_a_day_keep_their_milliseconds(analysed):
    late = analysed.result.analysis.model_copy(
        update={"r_peaks_s": [86399.987], "rr_intervals_ms": []}
    )
    result = analysed.result.model_copy(update={"analysis": late})
    assert b",86399.987," in render(result, analysed.recording, "text/csv")


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_no_cell_is_a_formula(predicted, start):
    evil = predicted.result.predictions[0].model_copy(
        update={"label": f'{start}HYPERLINK("http://example.invalid","x")'}
    )
    result = predicted.result.model_copy(update={"predictions": [evil]})
    text = render(result, predicted.recording, "text/csv").decode()
    (row,) = csv.DictReader(io.StringIO(text, newline=""))
    assert row["label"] == f"'{evil.label}"
    assert list(row) == list(rows(predicted)[0])
