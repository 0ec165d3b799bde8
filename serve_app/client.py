"""Ask a server: the answers of /v1/predict, embed, explain and analyze, problems as exceptions."""

from collections.abc import Mapping
from types import TracebackType
from typing import Any, ClassVar, Literal, Self

import httpx2

from serve_app.decoding import Upload
from serve_app.errors import EcgServeError, Unavailable
from serve_app.explanations import Explanation
from serve_app.results import Embedding, Result

__all__ = ["Client", "ServerProblem"]


class ServerProblem(EcgServeError):
    """A problem that the server told; ``problem`` is its whole document."""

    title: ClassVar[str] = "The server told a problem"

    def __init__(self, problem: Mapping[str, Any]) -> None:
        super().__init__(str(problem.get("detail", "No detail.")), problem.get("hint"), problem)
        self.problem = dict(problem)


class Client:
    """A connection to one server.

    Args:
        url: Such as ``http://127.0.0.1:8000``.
        timeout_s: For a whole answer.
    """

    def __init__(self, url: str, timeout_s: float = 120.0) -> None:
        self._http = httpx2.Client(base_url=url, timeout=timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let the connection go."""
        self._http.close()

    def predict(self, upload: Upload, **query: object) -> Result:
        """As POST /v1/predict; ``query`` holds its query parameters."""
        return Result.model_validate_json(self._ask("predict", upload, query))

    def embed(self, upload: Upload, **query: object) -> Embedding:
        """As POST /v1/embed; ``.to_array()`` gives the segments' features to NumPy."""
        return Embedding.model_validate_json(self._ask("embed", upload, query))

    def explain(self, upload: Upload, **query: object) -> Explanation:
        """As POST /v1/explain; ``.to_array()`` gives the values to NumPy."""
        return Explanation.model_validate_json(self._ask("explain", upload, query))

    def analyze(self, upload: Upload, **query: object) -> Result:
        """As POST /v1/analyze."""
        return Result.model_validate_json(self._ask("analyze", upload, query))

    def _ask(
        self,
        what: Literal["predict", "embed", "explain", "analyze"],
        upload: Upload,
        query: Mapping[str, object],
    ) -> bytes:
        given = {name: str(value) for name, value in query.items() if value is not None}
        try:
            response = self._http.post(f"/v1/{what}", params=given, **_body(upload))
        except httpx2.TransportError as error:
            raise Unavailable(
                f"The server cannot be reached ({type(error).__name__}).", hint="Is it running?"
            ) from error
        if response.is_success:
            return response.content
        raise ServerProblem(_problem(response))


def _body(upload: Upload) -> dict[str, Any]:
    if len(upload.files) > 1:
        return {"files": [("file", file) for file in upload.files]}
    return {"content": upload.files[0][1], "headers": {"Content-Type": upload.content_type}}


def _problem(response: httpx2.Response) -> dict[str, Any]:
    try:
        problem = response.json()
    except ValueError:
        problem = None
    if isinstance(problem, dict):
        return problem
    return {"status": response.status_code, "detail": f"HTTP status {response.status_code}."}
