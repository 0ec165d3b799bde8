"""Lead numbers of SCP-ECG (EN 1064, section 3), which ISO/IEEE 11073 (MDC) and DICOM share."""

from typing import Final

__all__ = ["LEAD_NAMES"]

LEAD_NAMES: Final[dict[int, str]] = {
    1: "I",
    2: "II",
    61: "III",
    62: "aVR",
    63: "aVL",
    64: "aVF",
    65: "-aVR",
    **{2 + n: f"V{n}" for n in range(1, 8)},
    **{8 + n: f"V{n}R" for n in range(2, 8)},
    16: "X",
    17: "Y",
    18: "Z",
    19: "CC5",
    20: "CM5",
    66: "V8",
    67: "V9",
    68: "V8R",
    69: "V9R",
    70: "D",
    71: "A",
    72: "J",
}
