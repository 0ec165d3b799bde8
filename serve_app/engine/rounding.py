"""The int8 layers of a model: those it was stored with, or rounded here and now."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from pydicom.data import get_testdata_file

from serve_app.decoding import decode_path
from serve_app.model.checkpoints import LoadedModel
from serve_app.model.network import EcgFmClassifier
from serve_app.model.quantization import QuantizedLinear, quantize
from serve_app.preprocessing import prepare

from .protocol import Float32s

__all__ = ["example_segments", "quantized_layers"]


@cache
def example_segments() -> Float32s:
    """(2, 12, 2500) of the 12-lead recording that ships inside pydicom: always at hand."""
    path = get_testdata_file("waveform_ecg.dcm", download=False)
    return prepare(decode_path(Path(str(path)))).segments


def quantized_layers(loaded: LoadedModel[EcgFmClassifier]) -> Mapping[str, QuantizedLinear]:
    """By name; of a model that is not stored in int8 the biases are corrected on one recording."""
    if loaded.quantized is not None:
        return loaded.quantized
    segments = example_segments()
    config = loaded.config
    fits = segments.shape[1:] == (config.in_d, config.segment_samples)
    return quantize(loaded.model, segments if fits else None)
