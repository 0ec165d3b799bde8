"""bytes -> Result in this process."""

import asyncio
import functools
import json

import numpy as np
import pytest

import serve_app.pipeline
from serve_app.decoding import Hints, decode
from serve_app.errors import (
    InferenceTimeout,
    InvalidParameter,
    InvalidSignal,
    ModelNotFound,
    ModelUnavailable,
)
from serve_app.model.demo import demo_config
from serve_app.pipeline import Options, Pipeline
from serve_app.settings import load_settings


def predict(pipeline, sent, **options):
    return asyncio.run(pipeline.predict(sent, **options))


def test_predict_gives_a_whole_result(pipeline, dicom_bytes):
    result = predict(pipeline, dicom_bytes, request_id="r-1")
    assert result.request_id == "r-1"
    assert result.model.demo is True
    assert result.recording.format == "dicom"
    assert result.recording.missing_leads == []
    assert len(result.predictions) == 17
    assert [(each.start_s, each.end_s) for each in result.segments] == [(0, 5), (5, 10)]
    assert result.analysis.heart_rate_bpm == pytest.approx(61, abs=2)
    assert result.quality.acceptable
    assert result.embedding is None
    assert result.timing_ms.total >= result.timing_ms.decode > 0


def test_segments_are_joined_as_the_labels_say(pipeline, dicom_bytes):
    result = predict(pipeline, dicom_bytes)
    of_segments = np.array([each.probabilities for each in result.segments])
    by_label = dict(zip((each.label for each in result.predictions), of_segments.T, strict=True))
    for prediction in result.predictions:
        join = max if prediction.label in ("Poor data quality", "Electronic pacemaker") else None
        if join:
            assert prediction.probability == pytest.approx(max(by_label[prediction.label]))
        if prediction.label in ("Sinus rhythm", "Infarction"):
            assert prediction.probability == pytest.approx(by_label[prediction.label].mean())
        assert prediction.positive == (prediction.probability >= prediction.threshold)


def test_prior_correction_takes_out_the_model_s_own_weights(pipeline, dicom_bytes):
    """The demo's; those of ECG-FM are held to the paper in tests/model/test_labels.py."""
    weights = {label.name: label.pos_weight for label in demo_config().labels}
    for each in predict(pipeline, dicom_bytes).predictions:
        logit = np.log(each.probability / (1 - each.probability)) - np.log(weights[each.label])
        assert each.calibrated_probability == pytest.approx(1 / (1 + np.exp(-logit)), rel=1e-3)


def test_same_bytes_same_answer(pipeline, dicom_bytes):
    first, second = (predict(pipeline, dicom_bytes) for _ in range(2))
    assert first.predictions == second.predictions
    assert first.id != second.id
    assert first.recording.sha256 == second.recording.sha256


def test_a_recording_is_as_good_as_its_bytes(pipeline, dicom_bytes):
    of_bytes, of_recording = (
        predict(pipeline, sent) for sent in (dicom_bytes, decode(dicom_bytes))
    )
    assert of_bytes.predictions == of_recording.predictions


def test_options(pipeline, dicom_bytes):
    result = predict(pipeline, dicom_bytes, options=Options(analysis=False, embedding=True))
    assert result.analysis is None
    assert len(result.embedding) > 16
    assert "embedding" in json.loads(result.to_json())
    assert "embedding" not in json.loads(predict(pipeline, dicom_bytes).to_json())


def test_the_embedding_is_the_one_of_the_predictions(pipeline, dicom_bytes):
    embedded = asyncio.run(pipeline.embed(dicom_bytes, request_id="r-1"))
    predicted = predict(pipeline, dicom_bytes, options=Options(embedding=True))
    assert embedded.embedding == predicted.embedding
    assert embedded.model == predicted.model
    assert embedded.recording == predicted.recording
    assert embedded.request_id == "r-1"
    assert embedded.timing_ms.total >= embedded.timing_ms.inference > 0
    of_segments = embedded.to_array()
    dimensions = asyncio.run(pipeline.models())[0].embedding_dim
    assert (of_segments.shape, of_segments.dtype) == ((2, dimensions), np.float32)
    assert of_segments.mean(axis=0).tolist() == embedded.embedding
    assert not np.array_equal(*of_segments)


def test_features_of_segments_stand_in_the_recording_s_order(pipeline, sinus_mv, as_npy):
    # Halves that change places leave each lead's mean and deviation as they were.
    first, second = (
        asyncio.run(pipeline.embed(as_npy(signal_mv), hints=Hints(fs_hz=500))).to_array()
        for signal_mv in (sinus_mv, np.roll(sinus_mv, 2500, axis=1))
    )
    np.testing.assert_allclose(first, second[::-1], atol=1e-4)


def test_embed_runs_no_analysis(pipeline, dicom_bytes, monkeypatch):
    def measure(_):
        raise AssertionError("the signal was analysed")

    monkeypatch.setattr(serve_app.pipeline, "measure", measure)
    assert asyncio.run(pipeline.embed(dicom_bytes)).embedding
    with pytest.raises(AssertionError):
        predict(pipeline, dicom_bytes)


def test_embed_refuses_what_predict_refuses(pipeline, dicom_bytes, sinus_mv, as_npy):
    with pytest.raises(ModelNotFound):
        asyncio.run(pipeline.embed(dicom_bytes, options=Options(model="other")))
    with pytest.raises(InvalidSignal, match="shorter than one segment"):
        asyncio.run(pipeline.embed(as_npy(sinus_mv[:, :1500]), hints=Hints(fs_hz=500)))


def test_analyze_asks_no_model(settings, dicom_bytes):
    def no_engine():
        raise AssertionError("a model was asked")

    from serve_app.pipeline import InProcessModel

    result = asyncio.run(Pipeline(settings, InProcessModel(no_engine)).analyze(dicom_bytes))
    assert result.model is None
    assert result.predictions == result.segments == []
    assert len(result.analysis.r_peaks_s) == pytest.approx(10, abs=1)


def test_white_noise_is_never_a_confident_rhythm(pipeline, as_npy):
    noise = np.random.default_rng(1).standard_normal((12, 5000)).astype(np.float32)
    result = asyncio.run(pipeline.analyze(as_npy(noise), hints=Hints(fs_hz=500)))
    assert result.quality.score < 0.5
    assert not result.quality.acceptable
    assert result.analysis.anomalies == []


def test_a_flat_recording_is_analysed_as_such(pipeline, as_npy):
    result = asyncio.run(pipeline.analyze(as_npy(np.zeros((12, 5000))), hints=Hints(fs_hz=500)))
    assert result.quality.score == 0
    assert result.analysis.heart_rate_bpm is None
    assert all("flat" in lead.issues for lead in result.quality.leads.values())
    json.loads(result.to_json())


@pytest.mark.parametrize("model", ["other", "demo@ffff"])
def test_another_model_is_never_stood_in_for(pipeline, dicom_bytes, model):
    with pytest.raises(ModelNotFound):
        predict(pipeline, dicom_bytes, options=Options(model=model))


def test_the_served_model_by_name_and_revision(pipeline, dicom_bytes):
    info = asyncio.run(pipeline.models())[0]
    named = Options(model=f"{info.name}@{info.revision}", precision=info.precision)
    assert predict(pipeline, dicom_bytes, options=named).model.revision == info.revision
    with pytest.raises(InvalidParameter):
        predict(pipeline, dicom_bytes, options=Options(precision="int8"))


class SlowModel:
    async def info(self):
        raise ModelUnavailable("gone")

    async def ask(self, segments):
        await asyncio.sleep(30)


def test_the_deadline_holds(dicom_bytes):
    hurried = Pipeline(load_settings(request_timeout_s=0.3), SlowModel())
    with pytest.raises(InferenceTimeout, match=r"0\.3 s"):
        predict(hurried, dicom_bytes)
    with pytest.raises(InferenceTimeout):
        asyncio.run(hurried.embed(dicom_bytes))


def test_many_at_once_do_not_mix(pipeline, sinus_mv, as_npy):
    bodies = [as_npy(np.roll(sinus_mv, 97 * i, axis=1)) for i in range(12)]
    ask = functools.partial(pipeline.predict, hints=Hints(fs_hz=500))
    alone = [predict(pipeline, body, hints=Hints(fs_hz=500)).predictions for body in bodies]

    async def together():
        return await asyncio.gather(*(ask(body) for body in bodies))

    assert [result.predictions for result in asyncio.run(together())] == alone
