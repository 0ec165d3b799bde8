"""Hints in the words of the place where they are read.

They are written for HTTP: `?name=value` is a query parameter. A shell has options instead, a stream
the members of its first message.
"""

import re
from collections.abc import Callable, Mapping
from typing import Final

__all__ = ["in_shell", "in_stream"]

# A full stop or a bracket after the value is the sentence's.
_VALUE: Final = r"[^\s&;()]*?"
_PARAMETER: Final = re.compile(rf"[?&]([a-z][a-z_]*)=({_VALUE})(?=[.,;)]?(?:\s|$|&)|[;)])")
_SHELL: Final = {
    "POST /v1/analyze": "`ecg-serve analyze`",
    "POST /v1/predict": "`ecg-serve predict`",
    "See /openapi.json for what this endpoint takes.": "See --help for what this command takes.",
    ", and name it in Content-Type": "",
}
_STREAM: Final = {
    "POST /v1/analyze": '"predictions": false in the first message',
    "See /openapi.json for what this endpoint takes.": (
        "See docs/streaming.md for what a stream takes."
    ),
}


def in_shell(hint: str) -> str:
    """``?fs_hz=500`` is ``--fs-hz 500``, and endpoints are commands."""
    return _reworded(hint, _option, _SHELL)


def in_stream(hint: str) -> str:
    """``?missing_leads=zero`` is ``"missing_leads": "zero"`` in the first message."""
    return _reworded(hint, _member, _STREAM)


def _reworded(
    hint: str, parameter: Callable[[re.Match[str]], str], words: Mapping[str, str]
) -> str:
    for of_http, here in words.items():
        hint = hint.replace(of_http, here)
    return _PARAMETER.sub(parameter, hint)


def _option(found: re.Match[str]) -> str:
    name, value = found.groups()
    option = f"--{name.replace('_', '-')} {value}".rstrip()
    return f" {option}" if found[0].startswith("&") else option


def _member(found: re.Match[str]) -> str:
    name, value = found.groups()
    names = [each if each == "..." else f'"{each}"' for each in value.split(",")]
    told = f"[{', '.join(names)}]" if name == "leads" else names[0]
    return f'"{name}": {told} in the first message'
