"""Results of real recordings, asked for once."""

import asyncio
from dataclasses import dataclass

import pytest

from serve_app.decoding import decode, decode_path
from serve_app.recording import Recording
from serve_app.results import Result


@dataclass(frozen=True)
class Answered:
    result: Result
    recording: Recording


@pytest.fixture(scope="session")
def predicted(pipeline, dicom_bytes):
    """The demo model's answer to a real 12-lead recording of 10 s."""
    return Answered(asyncio.run(pipeline.predict(dicom_bytes)), decode(dicom_bytes))


@pytest.fixture(scope="session")
def analysed(pipeline, dicom_bytes):
    """The same without a model."""
    return Answered(asyncio.run(pipeline.analyze(dicom_bytes)), decode(dicom_bytes))


@pytest.fixture(scope="session")
def holter(pipeline, data_dir):
    """Two leads, a minute."""
    recording = decode_path(data_dir / "derived/dicom/ambulatory_ecg_mitdb208.dcm")
    return Answered(asyncio.run(pipeline.analyze(recording)), recording)


@pytest.fixture(scope="session")
def single_lead(pipeline, data_dir):
    """One lead, called ECG, half a minute."""
    recording = decode_path(data_dir / "rhythm_1lead/cinc2017/A00069.hea")
    return Answered(asyncio.run(pipeline.analyze(recording)), recording)
