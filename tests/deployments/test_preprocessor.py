"""The ingress class without Ray, as `mono` makes it: what its handle's methods take and give."""

import asyncio
import inspect

import pytest

from deployments.ecg_fm import LocalModel
from deployments.preprocessor import Preprocessor
from serve_app.decoding import decode
from serve_app.engine.registry import registry_of
from serve_app.errors import CorruptedData, InvalidParameter, InvalidSignal


@pytest.fixture(scope="module")
def preprocessor(settings):
    return Preprocessor(settings, lambda: LocalModel(registry_of(settings), 4))


def test_embed_gives_what_predict_gives(preprocessor, dicom_bytes):
    async def ask():
        predicted = await preprocessor.predict(dicom_bytes, embedding=True)
        return predicted, [await preprocessor.embed(s) for s in (dicom_bytes, decode(dicom_bytes))]

    predicted, embedded = asyncio.run(ask())
    for each in embedded:
        assert each.embedding == predicted.embedding
        assert each.model == predicted.model
        assert len(each.segments) == 2


def test_embed_takes_options_and_raises_the_errors_of_the_tree(preprocessor, sinus_mv, as_npy):
    def embed(**options):
        return asyncio.run(preprocessor.embed(as_npy(sinus_mv[:2]), fs_hz=500, **options))

    zeros = embed(units="mV", leads=("I", "II"), missing_leads="zero")
    assert len(zeros.recording.zero_filled_leads) == 10
    with pytest.raises(InvalidSignal):
        embed(leads=("I", "II"))
    with pytest.raises(InvalidParameter):
        embed(leads=("I", "II"), missing_leads="zero", precision="int3")


def test_embed_takes_all_that_predict_takes_but_what_it_answers_anyway():
    of_predict, of_embed = (
        inspect.signature(method).parameters
        for method in (Preprocessor.predict, Preprocessor.embed)
    )
    assert of_predict.keys() - of_embed.keys() == {"analysis", "embedding"}
    assert of_embed.keys() <= of_predict.keys()


def test_many_recordings_are_answered_in_their_order(preprocessor, dicom_bytes):
    async def ask():
        sent = [dicom_bytes, dicom_bytes[:5000], decode(dicom_bytes)]
        return [outcome async for outcome in preprocessor.predict_batch(sent, analysis=False)]

    one, bad, other = asyncio.run(ask())
    assert one.predictions == other.predictions
    assert one.analysis is None
    assert isinstance(bad, CorruptedData)


def test_a_batch_takes_all_that_predict_takes():
    of_predict, of_batch = (
        list(inspect.signature(method).parameters)[2:]
        for method in (Preprocessor.predict, Preprocessor.predict_batch)
    )
    assert of_batch == of_predict
