"""The methods of the Open Inference Protocol over gRPC, as Ray Serve finds them on the ingress.

Ray's own gRPC server in each ingress replica calls the method of a deployment that is named as the
service's. Nothing here imports the compiled messages: they take the protocol's names in this
process, which a client of the same protocol in it needs as well.
"""

from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from serve_app.api.declarations import Services

if TYPE_CHECKING:
    from deployments.open_inference import InferenceService

__all__ = ["SERVICER_FUNCTION", "GrpcMethods"]

# For `grpc_options` of Ray Serve.
SERVICER_FUNCTION: Final = "deployments.open_inference.add_to_server"


class GrpcMethods:
    """What the ingress answers over gRPC; the class that inherits says with what."""

    @property
    def services(self) -> Services:
        """Of the HTTP application, which answers beside."""
        raise NotImplementedError

    @cached_property
    def _inference(self) -> "InferenceService":
        from deployments.open_inference import InferenceService

        return InferenceService(self.services)

    async def ServerLive(self, request: Any, grpc_context: Any) -> Any:  # noqa: N802
        """The process answers."""
        return await self._inference.server_live(request, grpc_context)

    async def ServerReady(self, request: Any, grpc_context: Any) -> Any:  # noqa: N802
        """The default model is loaded and warm."""
        return await self._inference.server_ready(request, grpc_context)

    async def ModelReady(self, request: Any, grpc_context: Any) -> Any:  # noqa: N802
        """A model can be asked."""
        return await self._inference.model_ready(request, grpc_context)

    async def ServerMetadata(self, request: Any, grpc_context: Any) -> Any:  # noqa: N802
        """Name, version and extensions."""
        return await self._inference.server_metadata(request, grpc_context)

    async def ModelMetadata(self, request: Any, grpc_context: Any) -> Any:  # noqa: N802
        """Inputs and outputs of a model."""
        return await self._inference.model_metadata(request, grpc_context)

    async def ModelInfer(self, request: Any, grpc_context: Any) -> Any:  # noqa: N802
        """Tensors in, tensors out."""
        return await self._inference.model_infer(request, grpc_context)
