"""W3C Trace Context: the caller's trace goes on, or one is started.

https://www.w3.org/TR/trace-context-2/. Spans are not exported from here; the ids are for logs and
problems, and so that whatever stands before and behind can be joined to them.
"""

import re
import secrets
from dataclasses import dataclass
from typing import Final

__all__ = ["TRACEPARENT", "Trace", "trace_of"]

TRACEPARENT: Final = "traceparent"
_SAMPLED: Final = 1
# Later versions may carry more fields behind, which are not known here.
_HEADER: Final = re.compile(
    "(?!ff)(?P<version>[0-9a-f]{2})-(?P<trace_id>(?!0{32})[0-9a-f]{32})"
    "-(?!0{16})[0-9a-f]{16}-(?P<flags>[0-9a-f]{2})(?P<more>-.*)?"
)


@dataclass(frozen=True, slots=True)
class Trace:
    """This request's place in a trace.

    Attributes:
        trace_id: 32 hexadecimal digits, the same for all that one caller started.
        span_id: 16 hexadecimal digits, of this request here.
        flags: 1 where the caller records the trace.
    """

    trace_id: str
    span_id: str
    flags: int

    @property
    def traceparent(self) -> str:
        """As a header."""
        return f"00-{self.trace_id}-{self.span_id}-{self.flags:02x}"


def trace_of(header: str) -> Trace:
    """The trace that a `traceparent` header names, or a new one where it is none or malformed."""
    found = _HEADER.fullmatch(header[:200].strip())
    if found is None or (found["version"] == "00" and found["more"]):
        return Trace(secrets.token_hex(16), secrets.token_hex(8), 0)
    return Trace(found["trace_id"], secrets.token_hex(8), int(found["flags"], 16) & _SAMPLED)
