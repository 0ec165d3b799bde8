"""Which implementation runs: the Rust module where it is built, else the NumPy reference."""

from __future__ import annotations

import importlib
import logging
import os
from typing import Any

from . import reference
from .errors import ConfigError, NativeUnavailableError
from .kernel import Kernel
from .types import BackendName

logger = logging.getLogger("ecg_processor_py")

DISABLE = "ECG_DISABLE_FFI"
HOW_TO_BUILD = (
    "build it with `rust_native/scripts/build_ffi.sh --build --install-wheel` or "
    "`pip install ./rust_native` (needs a Rust toolchain)"
)


def choose(use_ffi: bool | None) -> tuple[Kernel, BackendName]:
    """Give the kernel for `use_ffi`: None takes Rust if it is there, True insists, False declines.

    Raises:
        NativeUnavailableError: Rust was insisted on and is missing or switched off.
        ConfigError: `use_ffi` is none of the three.
    """
    if use_ffi not in (None, True, False):
        raise ConfigError(f"use_ffi must be True, False or None, not {use_ffi!r}")
    if use_ffi is False:
        return reference, "python"
    if NATIVE is not None:
        return NATIVE, "rust"
    if use_ffi:
        cure = "unset it" if switched_off() else HOW_TO_BUILD
        raise NativeUnavailableError(f"the Rust core cannot be used ({WHY_NOT}); {cure}")
    return reference, "python"


def switched_off() -> bool:
    """Read `ECG_DISABLE_FFI`.

    Raises:
        ConfigError: it is set to something that is neither yes nor no.
    """
    value = os.environ.get(DISABLE, "").strip().lower()
    if value in ("1", "true", "yes", "on"):
        return True
    if value in ("", "0", "false", "no", "off"):
        return False
    raise ConfigError(f"{DISABLE} must be 1 or 0, not {value!r}")


def _load() -> tuple[Any, str]:
    if switched_off():
        return None, f"{DISABLE} is set"
    try:
        return importlib.import_module("._native", __package__), ""
    except ImportError as error:
        logger.warning(
            "the Rust core is missing, falling back to NumPy (slower): %s; %s", error, HOW_TO_BUILD
        )
        return None, str(error)


NATIVE, WHY_NOT = _load()
BACKEND: BackendName = "python" if NATIVE is None else "rust"


def build_info() -> dict[str, Any]:
    """Tell what is running: versions, compiler, build profile, features.

    Returns:
        `backend`, `version`, `algorithm_version`, and for Rust `rustc`, `profile`, `target`,
        `features` (of the build), `cpu_features` (found at run time) and `simd_path` (in use);
        these are None or empty without it.
    """
    from . import __version__
    from .kernel import ALGORITHM_VERSION

    info: dict[str, Any] = {
        "backend": BACKEND,
        "version": __version__,
        "algorithm_version": ALGORITHM_VERSION,
        "rustc": None,
        "profile": None,
        "target": None,
        "features": [],
        "cpu_features": [],
        "simd_path": None,
    }
    if NATIVE is not None:
        info.update(NATIVE.build_info())
    return info
