"""Errors of the library.

```
ECGError
├── InvalidSignalError (also ValueError)   the samples, their shape or their leads are unusable
├── ConfigError (also ValueError)          a parameter or environment variable is out of bounds
└── NativeError (also RuntimeError)        the Rust core failed: a caught panic
    └── NativeUnavailableError (also ImportError)   the Rust core was asked for and is not there
```

Every message says what to do. All of them survive pickling, so they may cross processes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .types import ECGAnalysisResult

__all__ = [
    "ConfigError",
    "ECGError",
    "InvalidSignalError",
    "NativeError",
    "NativeUnavailableError",
]


class ECGError(Exception):
    """Root of everything this library raises on purpose.

    Attributes:
        batch_index: position of the failing signal, when the error left `analyze_batch`.
        batch_results: what `analyze_batch` has for every signal, in order (results and errors), so
            that one bad signal does not lose the others.
    """

    batch_index: int | None = None
    batch_results: list[ECGAnalysisResult | ECGError] | None = None


class InvalidSignalError(ECGError, ValueError):
    """The signal cannot be analysed as it is."""


class ConfigError(ECGError, ValueError):
    """A parameter, a configuration field or an environment variable is out of bounds."""


class NativeError(ECGError, RuntimeError):
    """The Rust core failed in a way that is a defect of this library."""


class NativeUnavailableError(NativeError, ImportError):
    """The Rust core was required but is missing or switched off."""
