"""Frozen dataclasses built from fields that are known to be right."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

T = TypeVar("T")


def made(kind: type[T], fields: Mapping[str, Any]) -> T:
    """Give a `kind` with exactly these fields, in a third of the time of its `__init__`.

    A frozen dataclass sets each field through `object.__setattr__`, and there are dozens of them in
    one result. `fields` must be a dict of its own, as it becomes the instance's.
    """
    instance = object.__new__(kind)
    object.__setattr__(instance, "__dict__", fields)
    return instance
