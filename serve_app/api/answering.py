"""What every answer to a recording goes through: validators, repetitions, and its headers.

A result is the same for the same recording, model, options and representation, but for who asked
and when. An ETag names that sameness, so that it can be told before the model is asked.
"""

import asyncio
import hashlib
import importlib.metadata
import math
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

import serve_app
from serve_app.api.compression import CODINGS
from serve_app.api.declarations import PRIVATE, Services, model_headers
from serve_app.api.idempotency import KEY_HEADER, REPLAYED_HEADER, parse_key
from serve_app.decoding import Hints, Upload
from serve_app.engine.explaining import Wish
from serve_app.engine.protocol import EngineInfo
from serve_app.errors import InferenceTimeout, InvalidParameter, ModelUnavailable
from serve_app.pipeline import Options
from serve_app.results import ModelInfo

__all__ = ["TIMEOUT_HEADER", "Question", "Worked", "answer", "timeout_s"]

TIMEOUT_HEADER: Final = "X-Request-Timeout-Seconds"
# Ray Serve heeds the same header and, when the time has passed, ends the request with a bare 408.
_AHEAD_S: Final = 0.05
_SECONDS: Final = re.compile(r"\d{1,6}(\.\d{1,6})?", re.ASCII)
_TAG: Final = re.compile(r'(?:W/)?"([^"]*)"')
_CODED: Final = re.compile(f"-(?:{'|'.join(CODINGS)})$")
_VERSIONS: Final = (serve_app.__version__, importlib.metadata.version("ecg-processor-py"))


@dataclass(frozen=True)
class Question:
    """Everything that an answer depends on, but for the model.

    Attributes:
        upload: The recording.
        media_type: Of the answer.
        hints: Of its format.
        options: None where no model is asked.
        wish: Of an explanation.
    """

    upload: Upload
    media_type: str
    hints: Hints
    options: Options | None = None
    wish: Wish | None = None

    def tag(self, path: str, sha256: str, model: ModelInfo | EngineInfo | None) -> str:
        """A strong ETag, quoted.

        Args:
            path: Of the endpoint.
            sha256: Of the recording.
            model: Which answers; None where none is asked.
        """
        # An explanation is computed in another precision than the one that is served.
        by = model and (model.name, model.sha256, not self.wish and (model.precision, model.engine))
        parts = (path, sha256, self.upload.content_type, self.media_type, self.hints, self.options,
                 self.wish, by, _VERSIONS)  # fmt: skip
        return f'"{hashlib.sha256(repr(parts).encode()).hexdigest()[:32]}"'


@dataclass(frozen=True)
class Worked:
    """An answer that was worked out.

    Attributes:
        body: In the media type that was asked for.
        sha256: Of the recording.
        model: Which answered, if one did.
        complete: False where a part is missing that another time might be there.
        headers: Further ones.
    """

    body: bytes
    sha256: str
    model: ModelInfo | None
    complete: bool = True
    headers: Mapping[str, str] = field(default_factory=dict)


async def answer(
    request: Request,
    services: Services,
    question: Question,
    work: Callable[[], Awaitable[Worked]],
) -> Response:
    """The answer to one recording: what is known already is not worked out again.

    Raises:
        EcgServeError: As ``work`` does; InvalidParameter, RequestInProgress or
            IdempotencyKeyReused for what is wrong with an Idempotency-Key.
    """
    known = request.headers.getlist("if-none-match")
    if known and (tag := await _matching(request, services, question, ",".join(known))):
        return Response(None, 304, {**PRIVATE, "Vary": "Accept", "ETag": tag})
    header = request.headers.get(KEY_HEADER)
    if header is None:
        return await _work(request, question, work)
    key = parse_key(header)
    fingerprint = await asyncio.to_thread(_fingerprint, request, question)
    with services.answered_keys.turn(key, fingerprint) as turn:
        if turn.earlier is not None:
            return _copy(turn.earlier, {REPLAYED_HEADER: "true"})
        turn.answer = await _work(request, question, work)
        # Kept as it is now: the one that is sent has headers added to it.
        return _copy(turn.answer, {})


def timeout_s(request: Request) -> float | None:
    """What is left of the time that the sender gives its request; settings may give it less.

    Raises:
        InvalidParameter: No positive number of seconds.
        InferenceTimeout: Nothing is left.
    """
    header = request.headers.get(TIMEOUT_HEADER)
    if header is None:
        return None
    seconds = float(header) if _SECONDS.fullmatch(header.strip()) else math.nan
    if not seconds > 0:
        raise InvalidParameter(f"{TIMEOUT_HEADER} must be a positive number of seconds.")
    elapsed_s = time.perf_counter() - request.scope["started_s"]
    left_s: float = seconds - min(_AHEAD_S, seconds / 10) - elapsed_s
    if left_s <= 0:
        raise InferenceTimeout(f"The {seconds:g} s are over before the work began.")
    return left_s


async def _work(
    request: Request, question: Question, work: Callable[[], Awaitable[Worked]]
) -> Response:
    done = await work()
    headers = {**PRIVATE, "Vary": "Accept", **done.headers}
    if done.model is not None and question.media_type != "application/json":
        headers |= model_headers(done.model)
    if done.complete:
        headers["ETag"] = question.tag(request.scope["path"], done.sha256, done.model)
    return Response(done.body, headers=headers, media_type=question.media_type)


async def _matching(
    request: Request, services: Services, question: Question, known: str
) -> str | None:
    """The tag in If-None-Match that names the answer; None: it has to be worked out."""
    model = None
    if question.options is not None:
        try:
            model = await services.pipeline.model_info(question.options.model)
        except ModelUnavailable:
            return None
        if question.options.precision not in (None, model.precision):
            return None
    sha256 = await asyncio.to_thread(lambda: question.upload.sha256)
    current = question.tag(request.scope["path"], sha256, model)[1:-1]
    for tag in _TAG.findall(known[:10_000]):
        if _CODED.sub("", tag) == current:
            return f'"{tag}"'
    return None


def _fingerprint(request: Request, question: Question) -> bytes:
    tag = question.tag(request.scope["path"], question.upload.sha256, None)
    return hashlib.sha256(tag.encode()).digest()


def _copy(response: Response, headers: Mapping[str, str]) -> Response:
    copied = Response(response.body, response.status_code)
    copied.raw_headers = [*response.raw_headers]
    copied.headers.update(headers)
    return copied
