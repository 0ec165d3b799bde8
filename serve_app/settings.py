"""All settings, in one class: environment, Serve YAML and command line use the same names."""

import os
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings import SettingsError as UnreadableSettings

from serve_app.errors import SettingsError

__all__ = [
    "ENGINE_PRECISIONS",
    "EngineChoice",
    "EngineName",
    "Precision",
    "PrecisionChoice",
    "Settings",
    "load_settings",
]

EngineName = Literal["torch", "openvino", "onnx"]
EngineChoice = Literal["auto", EngineName]
Precision = Literal["fp32", "bf16", "fp16", "int8"]
PrecisionChoice = Literal["auto", Precision]
ENGINE_PRECISIONS: Final[Mapping[str, tuple[Precision, ...]]] = {
    "torch": ("fp32", "bf16", "fp16"),
    "openvino": ("fp32", "bf16", "int8"),
    "onnx": ("fp32", "int8"),
}

_PREFIX: Final = "ECG_"
# Read by the signal library and by the tests; no settings of the server.
_OTHERS: Final = frozenset({"ECG_DISABLE_FFI", "ECG_TEST_DATA"})


class Settings(BaseSettings):
    """What can be set; unknown keys and malformed values are refused.

    Times are seconds, sizes mebibytes, CPUs Ray's fractional units.
    """

    model_config = SettingsConfigDict(env_prefix=_PREFIX, extra="forbid", frozen=True)

    host: str = Field("127.0.0.1", description="Address the HTTP server binds to.")
    port: int = Field(8000, ge=1, le=65535, description="Port the HTTP server binds to.")
    grpc_port: int | None = Field(
        None,
        ge=1,
        le=65535,
        description="Port of the Open Inference Protocol over gRPC; without it gRPC is off.",
    )
    profile: Literal["graph", "mono"] = Field(
        "graph", description="graph: preprocessing and model scale apart; mono: one deployment."
    )
    auth: Literal["off"] = Field("off", description="Off is possible on loopback only.")

    cors_origins: tuple[str, ...] = Field(
        (), description='Origins whose pages may ask, as JSON: ["https://viewer.example"].'
    )

    model: str = Field(
        "demo",
        description="`demo`, a directory, a published checkpoint (.pt), hf:OWNER/NAME[@REVISION].",
        min_length=1,
    )
    model_revision: str | None = Field(
        None,
        description="Commit on the Hub, or SHA-256 of the weights file, that must be served, or "
        "the first digits (7 or more) of either; anything else refuses to start.",
        pattern="^[0-9a-fA-F]{7,64}$",
    )
    models: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        (),
        description="Further models that `?model=` may name, written like ECG_MODEL, as JSON: "
        '["/models/v2"].',
    )
    max_loaded_models: int = Field(
        2,
        ge=2,
        description="Models in a replica's memory, the default one included; of the others the "
        "one goes that was not asked for longest.",
    )
    when_model_fails: Literal["refuse", "signal_only"] = Field(
        "refuse",
        description="refuse: 503, and no start without the model; signal_only: `/v1/predict` "
        "answers with the signal's analysis alone, marked `degraded`.",
    )
    engine: EngineChoice = Field(
        "auto",
        description="What runs the model: torch, openvino, onnx. auto: for a large model on a "
        "processor openvino, if it is installed, else torch.",
    )
    precision: PrecisionChoice = Field(
        "auto",
        description="What it computes in: fp32, bf16, fp16, int8. auto: bf16 for a large model "
        "where the hardware multiplies it, int8 for one that is stored so, else fp32.",
    )

    map_weights: bool = Field(
        False,
        description="Leave the weights of a local model in its file, so that the replicas of a "
        "machine share their memory; nobody may write into that file then. In the Hub's cache "
        "they always stay.",
    )

    max_body_mb: PositiveInt = Field(100, description="Largest body, as sent.")
    max_unpacked_mb: PositiveInt = Field(
        256, description="Largest body once decompressed or unzipped."
    )
    request_timeout_s: PositiveFloat = Field(
        60.0, description="For the whole of one request, model included."
    )
    explain_timeout_s: PositiveFloat = Field(
        30.0, description="For one explanation, its wait included; never beyond the request's."
    )

    max_batch_recordings: PositiveInt = Field(
        1000, description="Recordings in one body of `/v1/predict:batch`."
    )
    batch_concurrency: PositiveInt = Field(
        4, description="Recordings of one such body that are worked on side by side."
    )
    idempotency_ttl_s: PositiveFloat = Field(
        86_400.0, description="How long the answer to an `Idempotency-Key` is kept, at most."
    )
    idempotency_mb: PositiveInt = Field(
        32, description="Answers kept for that by one ingress replica; the oldest go first."
    )
    max_long_body_mb: PositiveInt = Field(
        2048,
        description="Largest body, as sent and as unpacked, of a recording that is answered as "
        "NDJSON; it is kept in a temporary file.",
    )
    max_long_hours: PositiveFloat = Field(
        336.0, description="Longest recording answered as NDJSON, and longest live stream."
    )
    max_long_recordings: PositiveInt = Field(
        2, description="Of these, how many an ingress replica takes on at once."
    )
    max_streams: PositiveInt = Field(64, description="Live streams of an ingress replica.")
    stream_max_speed: PositiveFloat = Field(
        20.0, description="How many times faster than real time a live stream is read."
    )
    client_timeout_s: PositiveFloat = Field(
        30.0,
        description="How long the client of a live stream or of a day-long recording may neither "
        "send nor take anything.",
    )

    max_batch_segments: PositiveInt = Field(32, description="Segments in one forward pass.")
    model_cpus: PositiveFloat = Field(1.0, description="CPUs of a model replica; its threads too.")
    model_gpus: NonNegativeFloat = Field(
        0.0, description="GPUs of a model replica; a fraction shares one."
    )
    model_min_replicas: PositiveInt = Field(1, description="Model replicas when idle.")
    model_max_replicas: PositiveInt = Field(4, description="Model replicas under load.")
    preprocessor_cpus: PositiveFloat = Field(0.5, description="CPUs of an ingress replica.")
    preprocessor_threads: PositiveInt = Field(2, description="Recordings decoded side by side.")
    preprocessor_min_replicas: PositiveInt = Field(
        1, description="Ingress replicas when idle; two go on answering when one is lost."
    )
    preprocessor_max_replicas: PositiveInt = Field(4, description="Ingress replicas under load.")
    downscale_delay_s: NonNegativeFloat = Field(
        120.0, description="How long a replica must be of no use before it goes."
    )
    max_ongoing_requests: PositiveInt = Field(
        128, description="Recordings an ingress replica takes on at once; more are told 503."
    )
    max_queued_requests: PositiveInt = Field(
        512, description="Requests of one ingress replica that may wait for a model replica."
    )

    @model_validator(mode="before")
    @classmethod
    def _environment_is_known(cls, given: Any) -> Any:
        known = {_PREFIX + name.upper() for name in cls.model_fields} | _OTHERS
        unknown = sorted(
            name for name in os.environ if name.startswith(_PREFIX) and name not in known
        )
        if unknown:
            raise ValueError(f"unknown variables in the environment: {', '.join(unknown)}")
        return given

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.auth == "off" and not self.on_loopback:
            raise ValueError(
                f"host {self.host} is not loopback and auth is off: bind to 127.0.0.1 and put an "
                "authenticating proxy before it"
            )
        if self.grpc_port == self.port:
            raise ValueError("grpc_port and port are the same")
        able = ENGINE_PRECISIONS.get(self.engine, (self.precision,))  # auto finds one
        if self.precision not in ("auto", *able):
            raise ValueError(f"the engine {self.engine} does not run in {self.precision}")
        if self.model_max_replicas < self.model_min_replicas:
            raise ValueError("model_max_replicas is below model_min_replicas")
        if self.preprocessor_max_replicas < self.preprocessor_min_replicas:
            raise ValueError("preprocessor_max_replicas is below preprocessor_min_replicas")
        return self

    @property
    def model_threads(self) -> int:
        """Threads a model replica may use: its CPUs, rounded, at least one."""
        return max(1, round(self.model_cpus))

    @property
    def on_loopback(self) -> bool:
        """Whether nothing outside this machine is to be answered."""
        return _is_loopback(self.host)


def load_settings(**overrides: Any) -> Settings:
    """Settings from the environment, with ``overrides`` on top (None means: not given).

    Raises:
        SettingsError: A malformed value, an unknown key or an unknown ``ECG_`` variable.
    """
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        return Settings(**given)
    except ValidationError as error:
        raise SettingsError(_readable(error)) from None
    except UnreadableSettings as error:
        raise SettingsError(f"{error}: lists are written as JSON") from None


def _readable(error: ValidationError) -> str:
    lines = [
        f"{'.'.join(str(part) for part in item['loc']) or 'settings'}: "
        f"{item['msg'].removeprefix('Value error, ')}"
        for item in error.errors(include_url=False, include_input=False)
    ]
    return "; ".join(lines)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
