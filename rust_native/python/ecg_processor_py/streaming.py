"""`StreamingAnalyzer`: beats of a signal that is still arriving."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from . import checks
from .backend import choose
from .errors import ConfigError, InvalidSignalError
from .kernel import RawBeat
from .types import BackendName, ECGAnalysisConfig, _plain

__all__ = ["Beat", "StreamingAnalyzer"]

# Fields of the configuration that mean something to a stream.
HONOURED = ("sampling_rate", "enable_anomaly_detection", "enable_hrv")


@dataclass(frozen=True)
class Beat:
    """One beat of a stream.

    Attributes:
        index: R peak, in samples since the first of the stream.
        time_s: the same in seconds.
        rr_ms: interval from the beat before, ms; NaN for the first.
        heart_rate: 60 000 over the median of the last eight intervals, bpm; NaN for the first.
        confidence: probability that it is a beat, 0 to 1.
        premature: it comes at least 20 % before the median of the eight intervals before.
    """

    index: int
    time_s: float
    rr_ms: float
    heart_rate: float
    confidence: float
    premature: bool

    def to_dict(self) -> dict[str, Any]:
        """Give a JSON-able form, NaN as None."""
        return {name: _plain(value) for name, value in asdict(self).items()}


class StreamingAnalyzer:
    """Find beats while the signal arrives, each within 0.5 s of signal after its R peak.

    The detector of `detect_r_peaks` looks every 40 ms at the last ten seconds. Beats do not depend
    on how the stream is cut into chunks; memory and time a sample are bounded. What only later
    signal shows (a weak beat in a gap) is not given.

    Of `config` a stream honours `sampling_rate`, which must be `fs_hz`, and
    `enable_anomaly_detection`: without it no beat is `premature`. `enable_hrv` asks for nothing
    that a `Beat` has. The others are limits of an analysis that a stream does not make (rhythm,
    noise and quality of a whole recording); any other value than their default is refused.

    Args:
        fs_hz: samples per second, 100 to 2000.
        leads: rows of each chunk; several are judged together.
        config: as above; None for the defaults.
        use_ffi: backend, as in `ECGAnalyzerFFI`.

    Raises:
        ConfigError: a parameter is out of bounds, rates differ, or `config` has a value that a
            stream cannot honour.
    """

    def __init__(
        self,
        fs_hz: float,
        leads: int = 1,
        config: ECGAnalysisConfig | None = None,
        use_ffi: bool | None = None,
    ) -> None:
        """Begin at the first sample."""
        self._fs_hz = checks.sampling_rate(fs_hz, analysis=True)
        self._leads = checks.integer(leads, "leads", 1, checks.MOST_LEADS)
        _require_honoured(config, self._fs_hz)
        self._tells_premature = config is None or bool(config.enable_anomaly_detection)
        kernel, self._backend = choose(use_ffi)
        self._stream = kernel.open_stream(self._fs_hz, self._leads)

    @property
    def backend(self) -> BackendName:
        """The backend in use: "rust" or "python"."""
        return self._backend

    def push(self, chunk: ArrayLike) -> list[Beat]:
        """Take the next samples and give the beats that can be told now.

        Args:
            chunk: `(samples,)` for one lead, or `(leads, samples)`, mV, of any length, also none.

        Raises:
            InvalidSignalError: NaN, infinities, beyond 1000 mV, or another number of leads; or,
                as a block of 2 s ends, that every lead that moves swings by more than 50 mV in
                three or more of the last five blocks (in most of them, if the chunk is longer):
                `analyze` refuses such a recording as one in microvolts or ADU. Nothing of the
                chunk is taken, and the stream goes on with the next one, or with the same one
                corrected; `flush` forgets what was taken in a wrong unit.
        """
        if _is_empty(chunk):
            return []
        signal, _ = checks.as_signal(chunk, "chunk")
        if len(signal) != self._leads:
            raise InvalidSignalError(
                f"chunk has {len(signal)} leads, the stream has {self._leads}: give it as "
                f"({self._leads}, samples)"
            )
        return self._beats(self._stream.push(signal))

    def flush(self) -> list[Beat]:
        """End the stream: give the beats of its last half second, and begin anew."""
        return self._beats(self._stream.flush())

    def _beats(self, raw: list[RawBeat]) -> list[Beat]:
        beats = [Beat(*one) for one in raw]
        if self._tells_premature:
            return beats
        return [replace(beat, premature=False) for beat in beats]


def _require_honoured(config: ECGAnalysisConfig | None, fs_hz: float) -> None:
    """Refuse what a stream would have to ignore."""
    if config is None:
        return
    if not isinstance(config, ECGAnalysisConfig):
        raise ConfigError(f"config must be an ECGAnalysisConfig, not {type(config).__name__}")
    if config.sampling_rate != fs_hz:
        raise ConfigError(
            f"config has a sampling_rate of {config.sampling_rate:g} Hz, the stream {fs_hz:g} Hz"
        )
    usual = ECGAnalysisConfig(sampling_rate=config.sampling_rate)
    for field in fields(config):
        value = getattr(config, field.name)
        if field.name not in HONOURED and value != getattr(usual, field.name):
            raise ConfigError(
                f"a stream cannot honour {field.name}={value!r}, only {', '.join(HONOURED)}: leave "
                "it at its default, or analyze the whole recording with it"
            )


def _is_empty(chunk: ArrayLike) -> bool:
    """Tell a chunk of no samples, of whatever number of leads."""
    if isinstance(chunk, np.ndarray):
        return chunk.ndim in (1, 2) and chunk.shape[-1] == 0
    return isinstance(chunk, (list, tuple)) and len(chunk) == 0
