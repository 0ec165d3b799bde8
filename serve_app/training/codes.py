"""What each database's statements say about the 17 labels; nothing is said where nothing is known.

Every source has a table of statements: what one affirms, and what it leaves open. A label that a
source has words for is absent where they are not used; one that it has no words for is unknown, and
unknown labels take no part in training or figures. Statements: PTB-XL's SCP-ECG codes (Wagner and
others, Sci Data 2020; 7: 154), SNOMED CT codes of the PhysioNet/CinC Challenge 2021 (Reyna and
others, Computing in Cardiology 2021), acronyms of Chapman-Shaoxing (Zheng and others, Sci Data
2020; 7: 48), words of LUDB (Kalyakulina and others, IEEE Access 2020; 8: 186181).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from serve_app.model.labels import LABELS

__all__ = [
    "CHAPMAN",
    "CODE15",
    "CPSC",
    "LUDB",
    "PTBXL",
    "SNOMED",
    "Vocabulary",
    "truth_of",
]

POOR, SINUS, PVC, TACHY, VT, SVTA, AF, AFL, BRADY, WPW, AVB, AVB1, BIFASC, RBBB, LBBB, MI, PACED = (
    label.name for label in LABELS
)

Affirms = Mapping[str, tuple[str, ...]]

# Words of ours for what decides "Bifascicular block" together with RBBB.
ANTERIOR_FASCICLE, POSTERIOR_FASCICLE = "left anterior fascicle", "left posterior fascicle"


@dataclass(frozen=True)
class Vocabulary:
    """What a source's statements mean.

    Attributes:
        affirms: Labels that a statement says are there.
        opens: Labels that a statement leaves open: it says something near them.
        silent: Labels for which the source has no words: unknown unless something excludes them.
    """

    affirms: Affirms
    opens: Affirms = field(default_factory=dict)
    silent: tuple[str, ...] = ()


def truth_of(statements: Iterable[str], vocabulary: Vocabulary) -> npt.NDArray[np.float32]:
    """The labels of a recording: 1 there, 0 absent, NaN unknown.

    Args:
        statements: All that the source says of it.
        vocabulary: How to read them; statements it does not have say nothing of our labels.

    Returns:
        ``(17,)`` in the order of LABELS.
    """
    said = list(statements)
    there = {label for each in said for label in vocabulary.affirms.get(each, ())}
    if RBBB in there and there & {ANTERIOR_FASCICLE, POSTERIOR_FASCICLE}:
        there.add(BIFASC)
    unknown = set(vocabulary.silent)
    unknown |= {label for each in said for label in vocabulary.opens.get(each, ())}
    unknown |= _left_open(there)
    absent = _excluded(there)
    return np.array([_value(label.name, there, absent, unknown) for label in LABELS], np.float32)


def _value(label: str, there: set[str], absent: set[str], unknown: set[str]) -> float:
    if label in there:
        return 1.0
    if label in absent:
        return 0.0
    return float("nan") if label in unknown else 0.0


def _left_open(there: set[str]) -> set[str]:
    """What is open in any source: the rate of a rhythm that is not of the sinus node."""
    unknown: set[str] = set()
    if there & {AF, AFL, PACED, AVB} and not there & {TACHY, BRADY}:
        unknown |= {TACHY, BRADY}
    if not there & {SINUS, AF, AFL, PACED, VT, SVTA}:
        unknown.add(SINUS)  # no rhythm is stated at all
    if TACHY in there and SINUS not in there:
        unknown.add(SVTA)  # some tachycardia, of which aberrancy is not told
    return unknown


def _excluded(there: set[str]) -> set[str]:
    """What cannot be, whatever the source has words for."""
    absent: set[str] = set()
    if SINUS in there:
        absent |= {AF, AFL, SVTA}
    if there & {AF, AFL}:
        absent.add(SINUS)
    return absent


PTBXL: Final = Vocabulary(
    affirms={
        "SR": (SINUS,),
        "SARRH": (SINUS,),
        "SBRAD": (SINUS, BRADY),
        "STACH": (SINUS, TACHY),
        "AFIB": (AF,),
        "AFLT": (AFL,),
        "SVTAC": (TACHY,),
        "PSVT": (TACHY,),
        "PVC": (PVC,),
        "WPW": (WPW,),
        "1AVB": (AVB, AVB1),
        "2AVB": (AVB,),
        "3AVB": (AVB,),
        "CRBBB": (RBBB,),
        "CLBBB": (LBBB,),
        "LAFB": (ANTERIOR_FASCICLE,),
        "LPFB": (POSTERIOR_FASCICLE,),
        "PACE": (PACED,),
        **dict.fromkeys(
            ("AMI", "ASMI", "ALMI", "IMI", "ILMI", "IPMI", "IPLMI", "LMI", "PMI"), (MI,)
        ),
    },
    opens={
        "BIGU": (PVC,),
        "TRIGU": (PVC,),
        "LPR": (AVB, AVB1),
        "IRBBB": (RBBB,),
        "ILBBB": (LBBB,),
        "QWAVE": (MI,),
        "ANEUR": (MI,),
        # Thought possible (likelihood below 50), a remark on quality: see `databases`.
        "infarction?": (MI,),
        "quality?": (POOR,),
        **dict.fromkeys(("INJAS", "INJAL", "INJIN", "INJLA", "INJIL"), (MI,)),
    },
    silent=(VT, SVTA),
)

_SNOMED_AFFIRMS: Final[Affirms] = {
    "426783006": (SINUS,),  # sinus rhythm
    "427393009": (SINUS,),  # sinus arrhythmia
    "426177001": (SINUS, BRADY),
    "427084000": (SINUS, TACHY),
    "426627000": (BRADY,),
    "164889003": (AF,),
    "164890007": (AFL,),
    "426761007": (TACHY,),  # supraventricular tachycardia
    "713422000": (TACHY,),  # atrial tachycardia
    "233896004": (TACHY,),  # AV node re-entry
    "233897008": (TACHY,),  # AV re-entry
    "67198005": (TACHY,),  # paroxysmal supraventricular tachycardia
    "164895002": (VT, TACHY),
    "425856008": (VT,),  # paroxysmal ventricular tachycardia: runs
    "427172004": (PVC,),
    "164884008": (PVC,),  # ventricular ectopics
    "17338001": (PVC,),
    "11157007": (PVC,),  # ventricular bigeminy
    "251180001": (PVC,),  # ventricular trigeminy
    "251182009": (PVC,),  # pairs
    "74390002": (WPW,),
    "195060002": (WPW,),
    "233917008": (AVB,),
    "270492004": (AVB, AVB1),
    "195042002": (AVB,),
    "54016002": (AVB,),
    "426183003": (AVB,),
    "27885002": (AVB,),
    "59118001": (RBBB,),
    "713427006": (RBBB,),
    "164909002": (LBBB,),
    "733534002": (LBBB,),
    "445118002": (ANTERIOR_FASCICLE,),
    "445211001": (POSTERIOR_FASCICLE,),
    "164865005": (MI,),
    "164867002": (MI,),  # old
    "57054005": (MI,),  # acute
    "54329005": (MI,),  # acute, anterior
    "10370003": (PACED,),
    "251266004": (PACED,),
    "251268003": (PACED,),
}
_SNOMED_OPENS: Final[Affirms] = {
    "233917008": (AVB1,),  # AV block of no stated degree
    "164947007": (AVB, AVB1),  # prolonged PR
    "713426002": (RBBB,),  # incomplete
    "251120003": (LBBB,),  # incomplete
    "6374002": (RBBB, LBBB, BIFASC),  # bundle branch block, which is not said
    "164931005": (MI,),  # ST elevation
    "164917005": (MI,),  # Q waves
    # A run of ventricular tachycardia says nothing of the rate and beats around it.
    "425856008": (TACHY, BRADY, PVC),
    "233897008": (WPW,),
    "13640000": (PVC, PACED, WPW),  # fusion beats
}
SNOMED: Final = Vocabulary(_SNOMED_AFFIRMS, _SNOMED_OPENS, silent=(POOR, SVTA))

# CPSC 2018 chose among nine classes; "normal" there is a whole tracing, not a rhythm.
CPSC: Final = Vocabulary(
    {**_SNOMED_AFFIRMS, "NSR": (SINUS,)},
    _SNOMED_OPENS,
    silent=(*(POOR, SINUS, TACHY, VT, SVTA, AFL, BRADY, WPW, AVB, BIFASC, MI, PACED),),
)

CHAPMAN: Final = Vocabulary(
    affirms={
        "SR": (SINUS,),
        "SA": (SINUS,),
        "SI": (SINUS,),
        "SB": (SINUS, BRADY),
        "ST": (SINUS, TACHY),
        "AFIB": (AF,),
        "AF": (AFL,),  # sic: the database calls flutter AF
        "SVT": (TACHY,),
        "AT": (TACHY,),
        "AVNRT": (TACHY,),
        "AVRT": (TACHY,),
        "VPB": (PVC,),
        "VB": (PVC,),
        "VET": (PVC,),
        "WPW": (WPW,),
        "VPE": (WPW,),
        "1AVB": (AVB, AVB1),
        "2AVB": (AVB,),
        "2AVB1": (AVB,),
        "2AVB2": (AVB,),
        "3AVB": (AVB,),
        "AVB": (AVB,),
        "RBBB": (RBBB,),
        "LBBB": (LBBB,),
        "LFBBB": (ANTERIOR_FASCICLE,),
        **dict.fromkeys(("MI", "MIBW", "MIFW", "MILW", "MISW"), (MI,)),
        "fast": (TACHY,),
        "slow": (BRADY,),
    },
    opens={"AVB": (AVB1,), "PRIE": (AVB, AVB1), "AQW": (MI,), "STE": (MI,), "VFW": (PVC,)},
    silent=(POOR, VT, SVTA, PACED),
)

LUDB: Final = Vocabulary(
    affirms={
        "sinus rhythm": (SINUS,),
        "irregular sinus rhythm": (SINUS,),
        "sinus arrhythmia": (SINUS,),
        "sinus bradycardia": (SINUS, BRADY),
        "sinus tachycardia": (SINUS, TACHY),
        "atrial fibrillation": (AF,),
        "atrial flutter": (AFL,),
        "ventricular extrasystole": (PVC,),
        "i degree av block": (AVB, AVB1),
        "ii degree av block": (AVB,),
        "iii degree av-block": (AVB,),
        "complete right bundle branch block": (RBBB,),
        "complete left bundle branch block": (LBBB,),
        "left anterior hemiblock": (ANTERIOR_FASCICLE,),
        "left posterior hemiblock": (POSTERIOR_FASCICLE,),
        "stemi": (MI,),
        "scar formation": (MI,),
        "pacemaker presence": (PACED,),
    },
    opens={
        "incomplete right bundle branch block": (RBBB,),
        "incomplete left bundle branch block": (LBBB,),
        "undefined ischemia/scar/supp.nstemi": (MI,),
    },
    silent=(POOR, VT, SVTA, WPW),
)

# Six flags, as the columns are called.
CODE15: Final = Vocabulary(
    affirms={
        "1dAVb": (AVB, AVB1),
        "RBBB": (RBBB,),
        "LBBB": (LBBB,),
        "SB": (SINUS, BRADY),
        "ST": (SINUS, TACHY),
        "AF": (AF,),
    },
    silent=(POOR, SINUS, PVC, VT, SVTA, AFL, WPW, AVB, BIFASC, MI, PACED),
)
