"""Accept -> the media type, Accept-Encoding -> the coding that is answered (RFC 9110, 12.5)."""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from starlette.datastructures import Headers

from serve_app.errors import NotAcceptable

__all__ = ["choose_media_type", "preferred_coding"]

_QUALITY: Final = re.compile(r"0(\.\d{0,3})?|1(\.0{0,3})?", re.ASCII)


def choose_media_type(headers: Headers, offered: Sequence[str]) -> str:
    """The offered type that is wanted most.

    Equal wishes go to the type that was named more exactly, then to the one offered first.

    Args:
        headers: Of the request; without Accept anything is wanted.
        offered: Such as ``"application/json"``, ours first.

    Raises:
        NotAcceptable: None of them is wanted.
    """
    accept = ",".join(headers.getlist("accept"))
    ranges = list(_ranges(accept)) or [("*/*", 1.0)]
    wishes = {kind: _wish(kind, ranges) for kind in offered}
    # max() keeps the first of equals.
    best = max(offered, key=wishes.__getitem__)
    if wishes[best][0] > 0:
        return best
    told = " or ".join(offered)
    raise NotAcceptable(
        f"This endpoint answers {told}, not {accept[:100]!r}.", hint=f"Ask for {told}."
    )


def preferred_coding(headers: Headers, offered: Sequence[str]) -> str | None:
    """The offered content coding that is wanted most; None: as it is.

    Args:
        headers: Of the request; without Accept-Encoding nothing is coded.
        offered: Such as ``"gzip"``, ours first, which is taken among equals.
    """
    accept = ",".join(headers.getlist("accept-encoding"))
    if not accept:
        return None
    wishes = dict(_ranges(accept))
    rest = wishes.get("*", 0.0)
    best = max(offered, key=lambda coding: wishes.get(coding, rest))
    wish = wishes.get(best, rest)
    return best if wish > 0 and wish >= wishes.get("identity", 0.0) else None


def _ranges(accept: str) -> Iterator[tuple[str, float]]:
    for part in accept.lower().split(","):
        media_range, *parameters = (piece.strip() for piece in part.split(";"))
        if media_range:
            yield media_range, _quality(parameters)


def _quality(parameters: Sequence[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q" and _QUALITY.fullmatch(value.strip()):
            return float(value)
    return 1.0


def _wish(kind: str, ranges: Sequence[tuple[str, float]]) -> tuple[float, int]:
    """Quality and exactness of the most exact range that covers ``kind``."""
    covering = ("*/*", f"{kind.partition('/')[0]}/*", kind)
    found = [(covering.index(each), quality) for each, quality in ranges if each in covering]
    exactness, quality = max(found, default=(0, 0.0))
    return quality, exactness
