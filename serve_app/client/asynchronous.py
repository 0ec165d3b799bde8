"""The client for asynchronous code."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar, Unpack

import httpx2

from serve_app.client import calls
from serve_app.client.calls import BatchItem, Call, Sent
from serve_app.client.long import ReadInThread, cut_short, long_call, read_first, read_line
from serve_app.client.retries import DEFAULT_RETRIES, Retries
from serve_app.explanations import Explanation
from serve_app.results import Embedding, ModelCard, Result
from serve_app.streaming.lines import AnyLine, RecordingLine, SummaryLine

if TYPE_CHECKING:
    from serve_app.client.live import Stream

__all__ = ["AsyncClient"]

_T = TypeVar("_T")


class AsyncClient:
    """A connection to one server, kept between calls; tasks may share it.

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
        self._http = httpx2.AsyncClient(base_url=url, timeout=timeout_s, headers=headers)
        self._retries = retries
        self._headers = headers

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Let the connections go."""
        await self._http.aclose()

    async def predict(self, sent: Sent, **query: Unpack[calls.PredictQuery]) -> Result:
        """As POST /v1/predict."""
        return await self._send(calls.recording_call("/v1/predict", sent, query, calls.read_result))

    async def analyze(self, sent: Sent, **query: Unpack[calls.HintsQuery]) -> Result:
        """As POST /v1/analyze."""
        return await self._send(calls.recording_call("/v1/analyze", sent, query, calls.read_result))

    async def embed(self, sent: Sent, **query: Unpack[calls.ModelQuery]) -> Embedding:
        """As POST /v1/embed; ``.to_array()`` gives the segments' features to NumPy."""
        return await self._send(
            calls.recording_call("/v1/embed", sent, query, calls.read_embedding)
        )

    async def explain(self, sent: Sent, **query: Unpack[calls.ExplainQuery]) -> Explanation:
        """As POST /v1/explain; ``.to_array()`` gives the values to NumPy."""
        return await self._send(
            calls.recording_call("/v1/explain", sent, query, calls.read_explanation)
        )

    async def rendered(
        self,
        what: Literal["predict", "analyze"],
        sent: Sent,
        media_type: str,
        **query: Unpack[calls.PredictQuery],
    ) -> bytes:
        """The answer in another form, such as ``image/svg+xml`` or ``application/fhir+json``."""
        return await self._send(calls.rendered(what, sent, media_type, query))

    async def predict_batch(
        self, sent: Iterable[Sent], **query: Unpack[calls.PredictQuery]
    ) -> AsyncIterator[BatchItem]:
        """As POST /v1/predict:batch: one item each, in order, as soon as it is there."""
        call = calls.batch(list(sent), query)
        response = await self._open(call)
        async with aclosing(response):
            try:
                async for line in response.aiter_lines():
                    if line:
                        yield calls.batch_item(line)
            except httpx2.TransportError as error:
                raise calls.unreachable(error) from error

    async def follow(
        self, what: Literal["predict", "analyze"], sent: Sent, **query: Unpack[calls.FollowQuery]
    ) -> AsyncGenerator[AnyLine, None]:
        """A recording of any length: what is read, each window as soon as it is there, the summary.

        Files are sent as they are read, and are never in memory as a whole. It is tried again only
        until the first line came; ``timeout_s`` is for each wait, not for the whole.

        Raises:
            ServerProblem: Also for one that the server tells after some lines.
            Unavailable: Also where the answer ends without its summary.
        """
        with long_call(what, sent, query) as call:
            response, lines, first = await self._first_line(call)
            async with aclosing(response):
                last: AnyLine = first
                yield last
                try:
                    async for text in lines:
                        last = read_line(text)
                        yield last
                except httpx2.TransportError as error:
                    raise cut_short(last, error) from error
        if not isinstance(last, SummaryLine):
            raise cut_short(last)

    def stream(
        self, fs_hz: float, leads: Sequence[str], **start: Unpack[calls.StreamStart]
    ) -> AbstractAsyncContextManager["Stream"]:
        """As WS /v1/stream, for the time of an ``async with``: samples in, events out.

        Args:
            fs_hz: Samples a second, 100 to 2000.
            leads: A name for each row of what will be sent.
            start: What else the stream begins with.

        Raises:
            InvalidParameter: No stream can begin like this.
            ServerProblem: The server refuses it, ends it, or has no stream at this address.
            Unavailable: The server cannot be reached.
        """
        from serve_app.client.live import stream  # websockets: for who streams

        return stream(
            str(self._http.base_url), fs_hz=fs_hz, leads=leads, headers=self._headers, **start
        )

    async def models(self) -> list[ModelCard]:
        """As GET /v1/models."""
        return await self._send(calls.models())

    async def model(self, name: str) -> ModelCard:
        """As GET /v1/models/{name}; ``name`` may be NAME@REVISION."""
        return await self._send(calls.model(name))

    async def is_ready(self) -> bool:
        """Whether it answers, model included; never raises, never asks twice."""
        try:
            return (await self._http.get("/readyz")).is_success
        except httpx2.TransportError:
            return False

    async def _send(self, call: Call[_T]) -> _T:
        try:
            async for attempt in self._retries.context():
                with attempt:
                    response = await self._http.request(call.method, call.path, **call.options)
                    if not response.is_success:
                        raise calls.problem_of(response)
        except httpx2.TransportError as error:
            raise calls.unreachable(error) from error
        return call.read(response.content)

    async def _open(self, call: Call[Any]) -> httpx2.Response:
        """The beginning of an answer that is read as it comes."""
        request = self._http.build_request(call.method, call.path, **call.options)
        try:
            async for attempt in self._retries.context():
                with attempt:
                    response = await self._begin(request)
        except httpx2.TransportError as error:
            raise calls.unreachable(error) from error
        return response

    async def _first_line(
        self, call: Call[Any]
    ) -> tuple[httpx2.Response, AsyncIterator[str], RecordingLine]:
        """The answer, what is left of its lines, and the first of them."""
        request = self._http.build_request(call.method, call.path, **call.options)
        if isinstance(request.stream, httpx2.SyncByteStream):
            request.stream = ReadInThread(request.stream)
        try:
            async for attempt in self._retries.context():
                with attempt:
                    async with AsyncExitStack() as failing:
                        response = await self._begin(request)
                        failing.push_async_callback(response.aclose)
                        lines = response.aiter_lines()
                        first = read_first(await anext(lines, ""))
                        failing.pop_all()
        except httpx2.TransportError as error:
            raise calls.unreachable(error) from error
        return response, lines, first

    async def _begin(self, request: httpx2.Request) -> httpx2.Response:
        response = await self._http.send(request, stream=True)
        if not response.is_success:
            await response.aread()
            raise calls.problem_of(response)
        return response
