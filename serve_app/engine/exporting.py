"""A model as an ONNX file, run once before it is given its name."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import onnx

from serve_app.errors import CheckpointError
from serve_app.model.checkpoints import LoadedModel
from serve_app.model.network import EcgFmClassifier

from .comparison import largest_errors, plain_logits
from .onnx_engine import OnnxEngine
from .onnx_graph import onnx_graph
from .protocol import Float32s, Precision

__all__ = ["Exported", "export_onnx"]


@dataclass(frozen=True)
class Exported:
    """An ONNX file that was written.

    Args:
        name: Of the model.
        revision: Its revision.
        precision: ``fp32`` or ``int8``.
        size_bytes: Of the file.
        max_logit_error: Largest |difference| from the plain float32 forward pass on real segments.
        max_probability_error: The same after the sigmoid.
    """

    name: str
    revision: str
    precision: Precision
    size_bytes: int
    max_logit_error: float
    max_probability_error: float

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def export_onnx(
    loaded: LoadedModel[EcgFmClassifier], path: Path, precision: Precision, segments: Float32s
) -> Exported:
    """Write a model as one file, which has its name only when it is whole and computes.

    Args:
        loaded: The model.
        path: The file; one that is there is replaced.
        precision: ``fp32`` or ``int8``.
        segments: (n, leads, samples) float32, standardised, to compare answers on.

    Raises:
        CheckpointError: if the file cannot be written.
    """
    graph = onnx_graph(loaded, precision)
    scores = OnnxEngine(loaded, 1, precision=precision, graph=graph).predict(segments)
    part = path.with_name(f".{path.name}.part")
    try:
        onnx.save(graph, part)
        part.replace(path)
    except OSError as error:
        raise CheckpointError(
            f"The file cannot be written: {error.strerror or 'the disk refuses'}.",
            hint="Name a file in a folder that is there, on a disk with room for it.",
        ) from error
    finally:
        part.unlink(missing_ok=True)
    errors = largest_errors(scores, plain_logits(loaded, segments))
    return Exported(loaded.name, loaded.revision, precision, path.stat().st_size, *errors)
