"""The client for plain code."""

from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack, closing
from types import TracebackType
from typing import Any, Literal, Self, TypeVar, Unpack

import httpx2

from serve_app.client import calls
from serve_app.client.calls import BatchItem, Call, Sent
from serve_app.client.long import cut_short, long_call, read_first, read_line
from serve_app.client.retries import DEFAULT_RETRIES, Retries
from serve_app.explanations import Explanation
from serve_app.results import Embedding, ModelCard, Result
from serve_app.streaming.lines import AnyLine, RecordingLine, SummaryLine

__all__ = ["Client"]

_T = TypeVar("_T")


class Client:
    """A connection to one server, kept between calls; threads may share it.

    Args:
        url: Such as ``http://127.0.0.1:8000``.
        timeout_s: For one answer.
        retries: What is asked again; ``NO_RETRIES`` asks once.
        headers: Sent with every request.

    Every method raises ServerProblem for what the server tells, Unavailable where it does not
    answer, and NotFound for a file that cannot be read.
    """

    def __init__(
        self,
        url: str,
        timeout_s: float = 120.0,
        *,
        retries: Retries = DEFAULT_RETRIES,
        headers: dict[str, str] | None = None,
    ) -> None:
        self._http = httpx2.Client(base_url=url, timeout=timeout_s, headers=headers)
        self._retries = retries

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
        """Let the connections go."""
        self._http.close()

    def predict(self, sent: Sent, **query: Unpack[calls.PredictQuery]) -> Result:
        """As POST /v1/predict."""
        return self._send(calls.recording_call("/v1/predict", sent, query, calls.read_result))

    def analyze(self, sent: Sent, **query: Unpack[calls.HintsQuery]) -> Result:
        """As POST /v1/analyze."""
        return self._send(calls.recording_call("/v1/analyze", sent, query, calls.read_result))

    def embed(self, sent: Sent, **query: Unpack[calls.ModelQuery]) -> Embedding:
        """As POST /v1/embed; ``.to_array()`` gives the segments' features to NumPy."""
        return self._send(calls.recording_call("/v1/embed", sent, query, calls.read_embedding))

    def explain(self, sent: Sent, **query: Unpack[calls.ExplainQuery]) -> Explanation:
        """As POST /v1/explain; ``.to_array()`` gives the values to NumPy."""
        return self._send(calls.recording_call("/v1/explain", sent, query, calls.read_explanation))

    def rendered(
        self,
        what: Literal["predict", "analyze"],
        sent: Sent,
        media_type: str,
        **query: Unpack[calls.PredictQuery],
    ) -> bytes:
        """The answer in another form, such as ``image/svg+xml`` or ``application/fhir+json``."""
        return self._send(calls.rendered(what, sent, media_type, query))

    def predict_batch(
        self, sent: Iterable[Sent], **query: Unpack[calls.PredictQuery]
    ) -> Iterator[BatchItem]:
        """As POST /v1/predict:batch: one item each, in order, as soon as it is there."""
        call = calls.batch(list(sent), query)
        with closing(self._open(call)) as response:
            try:
                yield from map(calls.batch_item, filter(None, response.iter_lines()))
            except httpx2.TransportError as error:
                raise calls.unreachable(error) from error

    def follow(
        self, what: Literal["predict", "analyze"], sent: Sent, **query: Unpack[calls.FollowQuery]
    ) -> Generator[AnyLine, None, None]:
        """A recording of any length: what is read, each window as soon as it is there, the summary.

        Files are sent as they are read, and are never in memory as a whole. It is tried again only
        until the first line came; ``timeout_s`` is for each wait, not for the whole.

        Raises:
            ServerProblem: Also for one that the server tells after some lines.
            Unavailable: Also where the answer ends without its summary.
        """
        with long_call(what, sent, query) as call:
            response, lines, first = self._first_line(call)
            with closing(response):
                last: AnyLine = first
                yield last
                try:
                    for text in lines:
                        last = read_line(text)
                        yield last
                except httpx2.TransportError as error:
                    raise cut_short(last, error) from error
        if not isinstance(last, SummaryLine):
            raise cut_short(last)

    def models(self) -> list[ModelCard]:
        """As GET /v1/models."""
        return self._send(calls.models())

    def model(self, name: str) -> ModelCard:
        """As GET /v1/models/{name}; ``name`` may be NAME@REVISION."""
        return self._send(calls.model(name))

    def is_ready(self) -> bool:
        """Whether it answers, model included; never raises, never asks twice."""
        try:
            return self._http.get("/readyz").is_success
        except httpx2.TransportError:
            return False

    def _send(self, call: Call[_T]) -> _T:
        try:
            for attempt in self._retries.context():
                with attempt:
                    response = self._http.request(call.method, call.path, **call.options)
                    if not response.is_success:
                        raise calls.problem_of(response)
        except httpx2.TransportError as error:
            raise calls.unreachable(error) from error
        return call.read(response.content)

    def _open(self, call: Call[Any]) -> httpx2.Response:
        """The beginning of an answer that is read as it comes."""
        request = self._http.build_request(call.method, call.path, **call.options)
        try:
            for attempt in self._retries.context():
                with attempt:
                    response = self._begin(request)
        except httpx2.TransportError as error:
            raise calls.unreachable(error) from error
        return response

    def _first_line(self, call: Call[Any]) -> tuple[httpx2.Response, Iterator[str], RecordingLine]:
        """The answer, what is left of its lines, and the first of them."""
        request = self._http.build_request(call.method, call.path, **call.options)
        try:
            for attempt in self._retries.context():
                with attempt, ExitStack() as failing:
                    response = failing.enter_context(closing(self._begin(request)))
                    lines = response.iter_lines()
                    first = read_first(next(lines, ""))
                    failing.pop_all()
        except httpx2.TransportError as error:
            raise calls.unreachable(error) from error
        return response, lines, first

    def _begin(self, request: httpx2.Request) -> httpx2.Response:
        response = self._http.send(request, stream=True)
        if not response.is_success:
            response.read()
            raise calls.problem_of(response)
        return response
