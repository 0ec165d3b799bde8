"""Which vector instructions the Rust core uses; every choice gives the same bits."""

from __future__ import annotations

import os

from .backend import NATIVE
from .errors import ConfigError

__all__ = ["available_simd_paths", "force_simd_path", "simd_path"]

SWITCH = "ECG_SIMD"
NAMES = ("auto", "portable", "avx2", "avx512")


def simd_path() -> str | None:
    """Name the vector instructions in use: portable, avx2 or avx512; None without the Rust core."""
    return None if NATIVE is None else str(NATIVE.simd_path())


def available_simd_paths() -> list[str]:
    """Name what this processor has, narrowest first; empty without the Rust core."""
    return [] if NATIVE is None else list(NATIVE.available_simd_paths())


def force_simd_path(name: str) -> None:
    """Use these vector instructions from now on, in the whole process.

    Without the Rust core this checks the name and does nothing else. The environment variable
    `ECG_SIMD` does the same at import.

    Args:
        name: "portable", "avx2", "avx512", or "auto" for the widest that the processor has.

    Raises:
        ConfigError: an unknown name, or instructions that this processor lacks.
    """
    if name not in NAMES:
        raise ConfigError(
            f"the vector instructions must be one of {', '.join(NAMES)}, not {name!r}"
        )
    if NATIVE is not None:
        NATIVE.force_simd_path(name)


def _apply_environment() -> None:
    name = os.environ.get(SWITCH, "").strip().lower() or "auto"
    try:
        force_simd_path(name)
    except ConfigError as error:
        raise ConfigError(f"{SWITCH}: {error}") from error


_apply_environment()
