"""What is told of the server and its models: metadata and configuration."""

from dataclasses import dataclass
from typing import Any, Final

import serve_app
from serve_app.api.oip_inference import INPUTS, OUTPUTS, Declared
from serve_app.engine.identity import Identity, is_revision
from serve_app.engine.protocol import EngineInfo
from serve_app.errors import ModelNotFound
from serve_app.pipeline import Pipeline

__all__ = [
    "EXTENSIONS",
    "SERVER",
    "ServedModel",
    "find_model",
    "served_models",
]

SERVER: Final = ("ecg-fm-serve", serve_app.__version__)
EXTENSIONS: Final = ("binary_tensor_data", "model_configuration", "statistics", "model_repository")
# Names as the protocol has them, where it does.
_PLATFORMS: Final = {"torch": "pytorch_torch", "onnx": "onnx_onnxv1", "openvino": "openvino"}
_Shaped = list[tuple[str, str, list[int]]]


@dataclass(frozen=True)
class ServedModel:
    """A model as the protocol tells of it.

    Attributes:
        name: What it is asked for by.
        version: Its revision; "" where only loading it would show.
        platform: Of the engine that runs it; "" until it is loaded.
        labels: Of its outputs; none until it is loaded.
        features: Length of an embedding; -1 until it is loaded.
        loaded: Else it loads with the first question to it.
    """

    name: str
    version: str
    platform: str = ""
    labels: tuple[str, ...] = ()
    features: int = -1
    loaded: bool = False

    @property
    def inputs(self) -> _Shaped:
        """Name, datatype and shape of each."""
        return self._shaped(INPUTS)

    @property
    def outputs(self) -> _Shaped:
        """Name, datatype and shape of each."""
        return self._shaped(OUTPUTS)

    def _shaped(self, declared: Declared) -> _Shaped:
        lengths = {"labels": len(self.labels) or -1, "features": self.features}
        return [
            (name, datatype, [lengths[d] if isinstance(d, str) else d for d in shape])
            for name, (datatype, shape) in declared.items()
        ]

    def metadata(self) -> dict[str, Any]:
        """For ``GET /v2/models/NAME``."""
        return {
            "name": self.name,
            "versions": [self.version] if self.version else [],
            "platform": self.platform,
            "inputs": _described(self.inputs),
            "outputs": _described(self.outputs),
        }

    def configuration(self) -> dict[str, Any]:
        """For ``GET /v2/models/NAME/config``; here the labels have their names."""
        typed = [
            [
                {"name": name, "data_type": f"TYPE_{_config_type(datatype)}", "dims": shape}
                for name, datatype, shape in tensors
            ]
            for tensors in (self.inputs, self.outputs)
        ]
        return {
            "name": self.name,
            "platform": self.platform,
            "backend": "",
            "max_batch_size": 0,
            "input": [entry | {"optional": True} for entry in typed[0]],
            "output": typed[1],
            "parameters": {"labels": {"string_value": ",".join(self.labels)}},
        }


async def served_models(pipeline: Pipeline) -> list[ServedModel]:
    """All that can be asked, the default first."""
    return [_served(info) for info in await pipeline.models()]


async def find_model(pipeline: Pipeline, name: str, version: str = "") -> ServedModel:
    """One of them.

    Args:
        pipeline: Where they are.
        name: ``NAME`` or ``NAME@REVISION``.
        version: 7 or more digits of the SHA-256 or commit, as in ``?model=NAME@REVISION``, or "".

    Raises:
        ModelNotFound: There is none.
        ModelUnavailable: No model replica tells.
    """
    infos = await pipeline.models()
    asked = [(name, version)]
    if "@" in name and not version:
        asked.append((name.rpartition("@")[0], name.rpartition("@")[2]))
    for wanted, digits in asked:
        for info in infos:
            fits = not digits or is_revision(digits, info.sha256, info.commit)
            if info.name == wanted and fits:
                return _served(info)
    raise ModelNotFound(f"Model {name[:200]!r} is not served here in that version.")


def _served(info: EngineInfo | Identity) -> ServedModel:
    if isinstance(info, Identity):
        return ServedModel(info.name, info.revision or "")
    return ServedModel(
        name=info.name,
        version=info.revision,
        platform=_PLATFORMS[info.engine],
        labels=tuple(label.name for label in info.labels),
        features=info.embedding_dim,
        loaded=True,
    )


def _described(tensors: _Shaped) -> list[dict[str, Any]]:
    return [
        {"name": name, "datatype": datatype, "shape": shape} for name, datatype, shape in tensors
    ]


def _config_type(datatype: str) -> str:
    return "STRING" if datatype == "BYTES" else datatype
