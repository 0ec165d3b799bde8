"""application/fhir+json, read by the models of fhir.resources."""

import json

import pytest
from fhir.resources.R4B.diagnosticreport import DiagnosticReport

from serve_app.rendering import render


def report_of(answered):
    content = render(answered.result, answered.recording, "application/fhir+json")
    return DiagnosticReport.model_validate_json(content), json.loads(content)


def contained(report, kind):
    return [each for each in report.contained if each.get_resource_type() == kind]


def test_the_report_is_valid_preliminary_and_anonymous(predicted):
    report, _ = report_of(predicted)
    assert report.status == "preliminary"
    assert report.code.coding[0].code == "11524-6"
    assert report.subject.reference is None
    assert report.subject.display == "anonymous"
    assert "not reviewed" in report.conclusion
    assert "DEMO" in report.conclusion
    assert report.issued == predicted.result.created_at.replace(
        microsecond=predicted.result.created_at.microsecond // 1000 * 1000
    )


def test_every_reference_has_its_resource(predicted):
    report, plain = report_of(predicted)
    ids = [each.id for each in report.contained]
    assert len(ids) == len(set(ids))
    assert {each.reference for each in report.result} <= {f"#{each}" for each in ids}
    # Who receives it must find every contained resource referred to (dom-3).
    assert all(f'"#{each}"' in json.dumps(plain) for each in ids)


def test_the_rate_and_the_scores_are_the_results_own(predicted):
    report, _ = report_of(predicted)
    observations = {each.id: each for each in contained(report, "Observation")}
    rate = next(
        each
        for each in observations.values()
        if each.code.coding and each.code.coding[0].code == "8867-4"
    )
    expected = predicted.result.analysis.heart_rate_bpm
    assert float(rate.valueQuantity.value) == pytest.approx(expected, abs=1e-6)
    assert rate.valueQuantity.code == "/min"
    scores = observations["predicted"].component
    assert [each.code.text for each in scores] == [p.label for p in predicted.result.predictions]
    for score, prediction in zip(scores, predicted.result.predictions, strict=True):
        assert float(score.valueQuantity.value) == pytest.approx(prediction.probability, abs=1e-6)
        (reference,) = score.referenceRange
        assert float(reference.high.value) == pytest.approx(prediction.threshold, abs=1e-6)
        interpretation = score.interpretation[0].coding[0].code
        assert interpretation == ("POS" if prediction.positive else "NEG")


def test_the_device_is_the_model(predicted):
    (device,) = contained(report_of(predicted)[0], "Device")
    model = predicted.result.model
    assert device.deviceName[0].name == model.name
    assert {version.value for version in device.version} == {model.revision, model.sha256}
    demo = next(each for each in device.extension if each.url.endswith("demo"))
    assert demo.valueBoolean is True


def test_without_a_model_there_is_none(analysed):
    report, _ = report_of(analysed)
    assert not contained(report, "Device")
    assert "No model was asked" in report.conclusion


def test_intervals_get_their_codes_when_there_are_some(analysed):
    analysis = analysed.result.analysis.model_copy(
        update={"intervals": {"qrs_ms": 96.0, "qt_ms": None, "new_ms": 3.0}}
    )
    result = analysed.result.model_copy(update={"analysis": analysis})
    content = render(result, analysed.recording, "application/fhir+json")
    report = DiagnosticReport.model_validate_json(content)
    told = {
        (each.code.coding[0].code if each.code.coding else each.code.text): each.valueQuantity
        for each in contained(report, "Observation")
    }
    assert float(told["8633-0"].value) == 96.0
    assert told["8633-0"].unit == "ms"
    assert "8634-8" not in told
    assert float(told["new_ms"].value) == 3.0
