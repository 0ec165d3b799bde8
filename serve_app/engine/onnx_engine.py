"""ONNX Runtime on the processor: float32, or int8 weights with inputs rounded on the fly."""

import onnxruntime
from onnx import ModelProto

from serve_app.model.checkpoints import LoadedModel
from serve_app.model.network import EcgFmClassifier

from .batched import DEFAULT_MAX_BATCH, BatchedEngine, describe
from .onnx_graph import INPUT, OUTPUTS, onnx_graph
from .protocol import Float32s, Precision

__all__ = ["OnnxEngine"]


class OnnxEngine(BatchedEngine):
    """A classifier in ONNX Runtime.

    Args:
        loaded: The model; it stays as it is, the engine has its own weights.
        threads: Processor threads.
        max_batch: Segments that are run at a time; more are split up.
        precision: ``fp32`` or ``int8``.
        graph: The model as ``onnx_graph`` gives it, where it is at hand.

    Raises:
        ValueError: if threads or max_batch are below 1, or for another precision.
    """

    def __init__(
        self,
        loaded: LoadedModel[EcgFmClassifier],
        threads: int,
        max_batch: int = DEFAULT_MAX_BATCH,
        precision: Precision = "fp32",
        graph: ModelProto | None = None,
    ) -> None:
        super().__init__(describe(loaded, "onnx", precision, threads, max_batch))
        graph = graph or onnx_graph(loaded, precision)
        self._weights_bytes = sum(len(each.raw_data) for each in graph.graph.initializer)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Threads that wait for work would take the processor from the ingress.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(
            graph.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )

    @property
    def weights_bytes(self) -> int:
        """Size of the weights as they are multiplied."""
        return self._weights_bytes

    def _forward(self, segments: Float32s) -> tuple[Float32s, Float32s]:
        logits, embeddings = self._session.run(list(OUTPUTS), {INPUT: segments})
        return logits, embeddings
