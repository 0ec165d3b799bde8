"""Everything that can go wrong and be told to a client.

bytes -> decoding -> preprocessing -> model -> Result: each step raises from this tree, the API
turns each into an RFC 9457 problem with the class's status, code and title.

EcgServeError (500 processing_failed)
├── RecordingError (400 invalid_signal)       the recording is at fault
│   ├── InvalidFormat        400 invalid_format
│   ├── CorruptedData        400 corrupted_data
│   ├── InvalidSignal        400 invalid_signal
│   └── MissingParameter     400 missing_parameter
├── RequestError (400 bad_request)            the request around it is at fault
│   ├── InvalidParameter     400 invalid_parameter
│   ├── NotFound             404 not_found
│   │   └── ModelNotFound    404 model_not_found
│   ├── MethodNotAllowed     405 method_not_allowed
│   ├── NotAcceptable        406 not_acceptable
│   ├── ClientTimeout        408 client_timeout: it neither sends nor takes what it asked for
│   ├── RequestInProgress    409 request_in_progress
│   ├── PayloadTooLarge      413 payload_too_large
│   ├── AddressTooLong       414 address_too_long
│   ├── UnsupportedMediaType 415 unsupported_media_type
│   ├── SchemaViolation      422 schema_violation
│   ├── IdempotencyKeyReused 422 idempotency_key_reused
│   └── HeadersTooLarge      431 headers_too_large
├── Unavailable (503 overloaded)              try again later: Retry-After
│   ├── Overloaded           503 overloaded
│   ├── ModelUnavailable     503 model_unavailable
│   └── ResourceExhausted    503 resource_exhausted
├── InferenceTimeout         504 inference_timeout
├── NotInstalled             501 not_installed: an extra of this installation is missing
├── CheckpointError          503 model_unavailable: a model's files are damaged, foreign or hostile
└── SettingsError            settings that cannot be served
"""

from collections.abc import Mapping
from typing import Any, ClassVar

__all__ = [
    "AddressTooLong",
    "CheckpointError",
    "ClientTimeout",
    "CorruptedData",
    "EcgServeError",
    "HeadersTooLarge",
    "IdempotencyKeyReused",
    "InferenceTimeout",
    "InvalidFormat",
    "InvalidParameter",
    "InvalidSignal",
    "MethodNotAllowed",
    "MissingParameter",
    "ModelNotFound",
    "ModelUnavailable",
    "NotAcceptable",
    "NotFound",
    "NotInstalled",
    "Overloaded",
    "PayloadTooLarge",
    "RecordingError",
    "RequestError",
    "RequestInProgress",
    "ResourceExhausted",
    "SchemaViolation",
    "SettingsError",
    "Unavailable",
    "UnsupportedMediaType",
]


class EcgServeError(Exception):
    """Base of all: what happened, what to do, and machine-readable facts.

    Args:
        detail: What happened, in a sentence; never a path, a trace or a patient's data.
        hint: What the caller can do about it.
        extra: Further members of the problem document, JSON-able.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "processing_failed"
    title: ClassVar[str] = "Processing failed"
    default_hint: ClassVar[str] = "Try again; if it persists, report the request id."

    def __init__(
        self, detail: str, hint: str | None = None, extra: Mapping[str, Any] | None = None
    ) -> None:
        # All arguments go to the base constructor, so that the error survives pickling.
        super().__init__(detail, hint, extra)
        self.detail = detail
        self.hint = hint or self.default_hint
        self.extra: dict[str, Any] = dict(extra or {})

    def __str__(self) -> str:
        """The detail alone, for logs and the command line."""
        return self.detail


class RecordingError(EcgServeError):
    """The recording itself is at fault."""

    status = 400
    code = "invalid_signal"
    title = "Invalid recording"
    default_hint = "Check the recording and send it again."


class InvalidFormat(RecordingError):
    """No decoder recognises the bytes, or they break their format's rules."""

    code = "invalid_format"
    title = "Invalid format"
    default_hint = (
        "Send WFDB, DICOM, EDF, BDF, ISHNE, MFER, SCP-ECG, Contec, MUSE, Philips, aECG, FHIR, "
        "MATLAB, HDF5, Parquet, NumPy, CSV, Apple Health or JSON, and name it in Content-Type."
    )


class CorruptedData(RecordingError):
    """The format is known, the data are truncated or damaged."""

    code = "corrupted_data"
    title = "Corrupted data"
    default_hint = "The file is damaged or cut short; export or copy it again."


class InvalidSignal(RecordingError):
    """Decoded well, but no signal that can be used: too short, flat, not finite, leads missing."""

    code = "invalid_signal"
    title = "Invalid signal"


class MissingParameter(RecordingError):
    """The format does not say something that must be known, such as the sampling rate."""

    code = "missing_parameter"
    title = "Missing parameter"
    default_hint = "Add the parameter, for example ?fs_hz=500."


class RequestError(EcgServeError):
    """The request around the recording is at fault."""

    status = 400
    code = "bad_request"
    title = "Bad request"
    default_hint = "See /openapi.json for what this endpoint takes."


class InvalidParameter(RequestError):
    """A query parameter has a value that is not allowed."""

    code = "invalid_parameter"
    title = "Invalid parameter"


class NotFound(RequestError):
    """No such path."""

    status = 404
    code = "not_found"
    title = "Not found"


class ModelNotFound(NotFound):
    """The named model is not served here."""

    code = "model_not_found"
    title = "Model not found"
    default_hint = "GET /v1/models lists the models that are served."


class MethodNotAllowed(RequestError):
    """The path exists, the method does not."""

    status = 405
    code = "method_not_allowed"
    title = "Method not allowed"


class NotAcceptable(RequestError):
    """The answer cannot be given in the media type that was asked for."""

    status = 406
    code = "not_acceptable"
    title = "Not acceptable"
    default_hint = "Ask for application/json."


class ClientTimeout(RequestError):
    """The client neither sends what it announced nor takes what it asked for."""

    status = 408
    code = "client_timeout"
    title = "Client too slow"
    default_hint = "Send and read without pauses, or raise ECG_CLIENT_TIMEOUT_S."


class RequestInProgress(RequestError):
    """A request with the same Idempotency-Key is being worked on."""

    status = 409
    code = "request_in_progress"
    title = "Request in progress"
    default_hint = "Wait for the first request, or ask again later with the same key."


class PayloadTooLarge(RequestError):
    """The body, as sent or as unpacked, is over the limit."""

    status = 413
    code = "payload_too_large"
    title = "Payload too large"
    default_hint = "Send less at once, or raise ECG_MAX_BODY_MB and ECG_MAX_UNPACKED_MB."


class AddressTooLong(RequestError):
    """The path and query together are over the limit."""

    status = 414
    code = "address_too_long"
    title = "Address too long"
    default_hint = "Send the recording in the body; the query holds options alone."


class UnsupportedMediaType(RequestError):
    """The Content-Type or Content-Encoding is not one that is read here."""

    status = 415
    code = "unsupported_media_type"
    title = "Unsupported media type"
    default_hint = "Use application/octet-stream to have the format recognised by content."


class SchemaViolation(RequestError):
    """A JSON body that breaks its schema; ``extra["errors"]`` names each field."""

    status = 422
    code = "schema_violation"
    title = "JSON body breaks its schema"


class IdempotencyKeyReused(RequestError):
    """The same Idempotency-Key came with another request."""

    status = 422
    code = "idempotency_key_reused"
    title = "Idempotency-Key used for another request"
    default_hint = "Make a new key for each new request."


class HeadersTooLarge(RequestError):
    """The header fields together are over the limit."""

    status = 431
    code = "headers_too_large"
    title = "Headers too large"
    default_hint = "Send fewer or shorter headers, cookies included."


class Unavailable(EcgServeError):
    """Not now: the answer carries Retry-After."""

    status = 503
    code = "overloaded"
    title = "Unavailable"
    default_hint = "Try again in a moment, or when Retry-After says."
    retry_after_s: ClassVar[int] = 1


class Overloaded(Unavailable):
    """More work is waiting than can be done in time."""

    title = "Overloaded"


class ModelUnavailable(Unavailable):
    """The model cannot be reached or is not loaded."""

    code = "model_unavailable"
    title = "Model unavailable"
    default_hint = (
        "Try again in a moment, or when Retry-After says; POST /v1/analyze needs no model."
    )
    retry_after_s = 5


class ResourceExhausted(Unavailable):
    """Disk or memory ran out while the request was being worked on."""

    code = "resource_exhausted"
    title = "Resource exhausted"
    retry_after_s = 10


class InferenceTimeout(EcgServeError):
    """The model did not answer within the time that settings allow."""

    status = 504
    code = "inference_timeout"
    title = "Inference timeout"
    default_hint = "Send a shorter recording, or raise ECG_REQUEST_TIMEOUT_S."


class NotInstalled(EcgServeError):
    """What was asked for needs a library that is not installed here.

    501, not 4xx: the request is right, and no 503: asking again does not help.
    """

    status = 501
    code = "not_installed"
    title = "Not installed"


class CheckpointError(EcgServeError):
    """A model's files are missing, damaged, of another architecture, or hostile."""

    status = 503
    code = "model_unavailable"
    title = "Model cannot be loaded"
    default_hint = "Check ECG_MODEL: a directory of ours, or a published ECG-FM checkpoint (.pt)."


class SettingsError(EcgServeError):
    """Settings that are malformed or cannot be served together."""

    code = "invalid_settings"
    title = "Invalid settings"
    default_hint = "See docs/settings.md; `ecg-serve config check` tells more."
