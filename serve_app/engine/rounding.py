"""The int8 layers of a model: those it was stored with, or rounded here and now."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np
from pydicom.data import get_testdata_file

from serve_app.decoding import decode_path
from serve_app.model.checkpoints import LoadedModel
from serve_app.model.network import EcgFmClassifier
from serve_app.model.quantization import QuantizedLinear, quantize
from serve_app.model.sensitivity import quantize_within
from serve_app.preprocessing import prepare
from serve_app.simulation import SCENARIOS, simulate

from .protocol import Float32s

__all__ = ["example_segments", "quantized_layers", "varied_segments"]

# Searching takes a pass for each block: a second or two here, minutes of a large model.
_SMALL = 10_000_000
_AIM = 0.01


@cache
def example_segments() -> Float32s:
    """(2, 12, 2500) of the 12-lead recording that ships inside pydicom: always at hand."""
    path = get_testdata_file("waveform_ecg.dcm", download=False)
    return prepare(decode_path(Path(str(path)))).segments


@cache
def varied_segments() -> Float32s:
    """(n, 12, 2500): the recording of pydicom, and 5 s of every scenario of the simulator."""
    simulated = [simulate(name, seed=1, duration_s=5.0) for name in SCENARIOS]
    segments = [prepare(each.recording, "zero").segments for each in simulated]
    return np.concatenate([example_segments(), *segments])


def quantized_layers(loaded: LoadedModel[EcgFmClassifier]) -> Mapping[str, QuantizedLinear]:
    """By name: as they are stored, or rounded now.

    Of a small model, whose errors average out less, what errs most is left out.
    """
    if loaded.quantized is not None:
        return loaded.quantized
    config = loaded.config
    if (config.in_d, config.segment_samples) != example_segments().shape[1:]:
        return quantize(loaded.model)
    if loaded.parameters < _SMALL:
        return quantize_within(loaded, varied_segments(), _AIM).model.quantized or {}
    return quantize(loaded.model, example_segments())
