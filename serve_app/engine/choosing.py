"""Which library runs a model, and in what precision: as settings say, or by the hardware."""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Final

import torch

from serve_app.errors import SettingsError
from serve_app.model.checkpoints import LoadedModel
from serve_app.model.network import EcgFmClassifier
from serve_app.settings import ENGINE_PRECISIONS, EngineChoice, PrecisionChoice

from .batched import DEFAULT_MAX_BATCH, BatchedEngine
from .protocol import EngineName, Precision
from .torch_engine import TorchEngine

__all__ = ["available_engines", "choose", "make_engine"]

# Below this size torch in fp32 is as fast as anything.
_LARGE: Final = 10_000_000
_LIBRARIES: Final[Mapping[EngineName, str]] = {
    "torch": "torch",
    "openvino": "openvino",
    "onnx": "onnxruntime",
}
# Not measured: no GPU was at hand.
_GPU_MAX_BATCH: Final = 64
_ORDER: Final = ("fp32", "bf16", "fp16", "int8")


def available_engines() -> list[tuple[EngineName, Precision]]:
    """What is installed and runs on this machine, float32 first."""
    pairs: list[tuple[EngineName, Precision]] = [
        (engine, precision)
        for engine in _LIBRARIES
        for precision in ENGINE_PRECISIONS[engine]
        if _installed(engine) and _runs_here(engine, precision)
    ]
    return sorted(pairs, key=lambda pair: _ORDER.index(pair[1]))


def choose(
    loaded: LoadedModel[EcgFmClassifier],
    engine: EngineChoice = "auto",
    precision: PrecisionChoice = "auto",
) -> tuple[EngineName, Precision]:
    """Decide what ``auto`` leaves open.

    A large model runs in OpenVINO if that is installed, and in bf16 where the hardware multiplies
    it. int8 is chosen only where it is asked for, or the model is stored in it.

    Raises:
        SettingsError: What is asked for is not installed, or does not run on this machine.
    """
    if precision == "auto":
        precision = _auto_precision(loaded, engine)
    if engine == "auto":
        engine = _auto_engine(loaded, precision)
    if not _installed(engine):
        raise SettingsError(
            f"The engine {engine} is not installed.",
            hint=f"pip install 'ecg-fm-serve[{engine}]', or choose another by ECG_ENGINE.",
        )
    if precision not in ENGINE_PRECISIONS[engine] or not _runs_here(engine, precision):
        raise SettingsError(
            f"The engine {engine} does not run in {precision} on this machine.",
            hint="Choose another by ECG_PRECISION or ECG_ENGINE, or leave both at auto.",
        )
    return engine, precision


def make_engine(
    loaded: LoadedModel[EcgFmClassifier],
    engine: EngineChoice = "auto",
    precision: PrecisionChoice = "auto",
    *,
    threads: int = 1,
    max_batch: int = DEFAULT_MAX_BATCH,
) -> BatchedEngine:
    """The engine that ``choose`` names, not yet warm.

    Raises:
        SettingsError: as ``choose``.
    """
    name, chosen = choose(loaded, engine, precision)
    # Imported where they are used: neither need be installed.
    if name == "openvino":
        from .openvino_engine import OpenVinoEngine

        return OpenVinoEngine(loaded, threads, max_batch, chosen)
    if name == "onnx":
        from .onnx_engine import OnnxEngine

        return OnnxEngine(loaded, threads, max_batch, chosen)
    if torch.cuda.is_available():
        return TorchEngine(loaded, threads, max(max_batch, _GPU_MAX_BATCH), chosen, "cuda")
    return TorchEngine(loaded, threads, max_batch, chosen)


def _auto_precision(loaded: LoadedModel[EcgFmClassifier], engine: EngineChoice) -> Precision:
    if loaded.precision == "int8" and _int8_engine(engine):
        return "int8"
    # Of ONNX Runtime there is no bf16 on processors.
    return (
        "bf16"
        if loaded.parameters >= _LARGE and engine != "onnx" and _multiplies_bf16()
        else "fp32"
    )


def _auto_engine(loaded: LoadedModel[EcgFmClassifier], precision: Precision) -> EngineName:
    if precision == "int8":
        return _int8_engine("auto") or "openvino"
    fits = precision in ENGINE_PRECISIONS["openvino"] and _runs_here("openvino", precision)
    on_processor = not torch.cuda.is_available()
    if fits and on_processor and loaded.parameters >= _LARGE and _installed("openvino"):
        return "openvino"
    return "torch"


def _int8_engine(wanted: EngineChoice) -> EngineName | None:
    """The fastest that is installed, or the one that is wanted if it can."""
    able: tuple[EngineName, ...] = ("openvino", "onnx")
    found = [each for each in able if wanted in ("auto", each) and _installed(each)]
    return found[0] if found else None


def _multiplies_bf16() -> bool:
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported())
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def _installed(engine: EngineName) -> bool:
    return find_spec(_LIBRARIES[engine]) is not None


def _runs_here(engine: EngineName, precision: Precision) -> bool:
    """PyTorch computes in anything, if slowly; OpenVINO in bf16 only where the processor does."""
    return engine != "openvino" or precision != "bf16" or _multiplies_bf16()
