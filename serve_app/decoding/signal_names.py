"""What signals are called that monitors and sleep laboratories store together."""

import re
from typing import Final

from serve_app.recording import STANDARD_LEADS, standard_lead_name

__all__ = ["is_other_signal", "lead_of_label", "says_ecg"]

# Often without a unit, which WFDB takes for mV, or in microvolts, as an ECG is.
_OTHER_SIGNALS: Final = {
    *("abp", "art", "bp", "co2", "cvp", "eeg", "emg", "eog", "icp", "pap", "pleth", "ppg", "resp"),
    *("ecog", "seeg", "meg", "status", "marker", "event", "trigger", "spo2", "sao2", "snore"),
    *("thor", "thorax", "abdo", "abdomen", "flow", "airflow", "chin", "temp"),
}
_EEG_ELECTRODE: Final = re.compile(r"(?:fp|af|f|ft|fc|t|tp|c|cp|p|po|o|a|m)(?:\d{1,2}|z)")
_ECG: Final = re.compile(
    r".*(?<![a-z])(?:ecg|ekg)|lead(?![a-z])|mdc_ecg|mli{1,3}\b|mcl\d|c[bcm]\d\b|v\dr?\b"
)
_PREFIX: Final = re.compile(r"\A(?:ecg|ekg)(?:[\s_:.-]+lead)?[\s_:.-]+(?=.*[a-z])", re.IGNORECASE)
# Einthoven's leads by their electrodes.
_BY_ELECTRODES: Final = {"la-ra": "I", "ll-ra": "II", "ll-la": "III"}


def is_other_signal(name: str) -> bool:
    """Whether a name says another quantity than an ECG, such as a pressure or an EEG."""
    word = re.split(r"[^a-z0-9]+", name.strip().casefold(), maxsplit=1)[0]
    return word in _OTHER_SIGNALS or _EEG_ELECTRODE.fullmatch(word) is not None


def says_ecg(label: str) -> bool:
    """Whether a label says that a signal is an ECG: ``"ECG II"``, ``"EEG EKG1-REF"``, ``"V5"``."""
    folded = label.strip().casefold()
    return _ECG.match(folded) is not None or lead_of_label(label) in STANDARD_LEADS


def lead_of_label(label: str) -> str:
    """``"ECG MLII"`` -> ``"MLII"``, ``"EKG LA-RA"`` -> ``"I"``; ``"ECG"`` and ``"ECG 1"`` stay."""
    name = _PREFIX.sub("", label.strip())
    return standard_lead_name(_BY_ELECTRODES.get(name.casefold(), name))
