"""A JSON array cut into its elements, none of which is parsed."""

import re
from collections.abc import Iterator
from typing import Final

from serve_app.errors import InvalidFormat, PayloadTooLarge

__all__ = ["element_spans"]

_BOM: Final = b"\xef\xbb\xbf"
_TOKEN: Final = re.compile(rb'["\[\]{}]')
# To the closing quote or, where there is none, to the end: never looked for again.
_STRING: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\Z)', re.DOTALL)
# A recording has a bracket and two quotes a lead; far more of them is an attack on time.
_MAX_TOKENS: Final = 600_000


def element_spans(text: bytes, most: int) -> list[tuple[int, int]]:
    """Where each element of the array starts and ends; whether it is well formed shows later.

    Args:
        text: UTF-8, an array at the top.
        most: More elements are refused.

    Raises:
        InvalidFormat: No array, or one that does not end.
        PayloadTooLarge: More elements than ``most``, or an absurd number of brackets.
    """
    if text.count(b"[") + text.count(b"{") + text.count(b'"') // 2 > _MAX_TOKENS:
        raise PayloadTooLarge("The JSON is far more nested than recordings are.")
    start = text.find(b"[") + 1
    if not start or text[: start - 1].removeprefix(_BOM).strip():
        raise InvalidFormat("The JSON is no array.")
    spans: list[tuple[int, int]] = []
    for span in _spans(text, start):
        if len(spans) == most:
            raise PayloadTooLarge(
                f"The array has more than {most} elements.", hint="Send fewer at a time."
            )
        spans.append(span)
    return spans


def _spans(text: bytes, start: int) -> Iterator[tuple[int, int]]:
    depth, place, element = 1, start, start
    while token := _TOKEN.search(text, place):
        if depth == 1:
            # Numbers and words between commas are elements, too, if not good ones.
            while (comma := text.find(b",", place, token.start())) >= 0:
                if not text[element:comma].strip():
                    raise InvalidFormat("The JSON array has a comma too many.")
                yield element, comma
                place = element = comma + 1
        if token[0] == b'"':
            string = _STRING.match(text, token.start())
            place = string.end() if string else len(text)
            continue
        place = token.end()
        depth += 1 if token[0] in b"[{" else -1
        if depth == 0:
            if text[element : token.start()].strip():
                yield element, token.start()
            if text[place:].strip():
                raise InvalidFormat("Something follows the JSON array.")
            return
    raise InvalidFormat("The JSON array does not end.", hint="Check the JSON's syntax.")
