"""Annotated recordings as frozen dataclasses, from `$ECG_TEST_DATA` (`../shared/data` by default).

Peers answer NaN with silence, so missing samples are interpolated here, once for every detector.
"""

import hashlib
import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import scipy.io

DATA = Path(os.environ.get("ECG_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))

# Records on which our detector's constants were chosen: database -> names. All that were at hand
# are among them; how it does on a database left out is in `benchmarks.fit_detector`.
TUNED_ON: dict[str, frozenset[str]] = {
    database: frozenset(f"{prefix}{name}" for name in names.split())
    for database, prefix, names in (
        ("mitdb", "", "100 105 114 118 119 201 202 208 217 231"),
        ("qtdb", "sel", "100 16265 231 301 e0106"),
        (
            "ludb",
            "",
            "6 7 14 15 26 27 28 29 30 31 33 35 43 59 60 61 65 67 68 75 78 81 89 93 94 96 101 111 "
            "117 122 130 131 132 133 139 148 158 163 182 193",
        ),
        (
            "cpsc2019",
            "data_00",
            "014 126 147 224 259 260 320 502 513 553 557 619 676 687 699",
        ),
        ("cpsc2021", "data_", "101_6 101_8 101_9 8_2 8_3 8_4"),
        ("nstdb", "118", "e06"),
        # The same recording as 118e06, with more and with less of the same noise.
        ("nstdb_csv", "118", "e00 e12"),
    )
}

# The beats among the codes of WFDB; the rest are rhythm, noise and waves (`+ ~ | " ! x [ ] p t`).
BEAT_CODES = frozenset("NLRBAaJSVrFejnE/fQ?")
MISSING = -32768
# Beats at the very ends of a strip are not judged by the CPSC 2019 challenge.
CPSC2019_FS_HZ, CPSC2019_MARGIN_S = 500.0, 0.5


@dataclass(frozen=True)
class AnnotatedRecord:
    """A recording and its reference beats.

    Attributes:
        database: the folder's short name.
        name: of the record.
        fs_hz: samples per second.
        signal_mv: `(leads, samples)` float64, mV, without NaN.
        lead_names: one for each row.
        r_peaks: int64 sample indices of the reference beats, ascending.
        reference_lead: the row that was annotated, which single-lead detectors are given.
        scored: first and last sample that count; beats outside were not annotated.
        excluded: spans `(start, end)` in samples that do not count: ventricular fibrillation.
    """

    database: str
    name: str
    fs_hz: float
    signal_mv: np.ndarray
    lead_names: tuple[str, ...]
    r_peaks: np.ndarray
    reference_lead: int = 0
    scored: tuple[float, float] = (-np.inf, np.inf)
    excluded: tuple[tuple[int, int], ...] = ()

    @property
    def duration_s(self) -> float:
        return self.signal_mv.shape[1] / self.fs_hz

    @property
    def tuned(self) -> bool:
        """Whether our detector has seen it before."""
        return self.name in TUNED_ON.get(self.database, frozenset())

    @cached_property
    def sha256(self) -> str:
        """Of samples and rate: the same samples give the same peaks."""
        digest = hashlib.sha256(np.ascontiguousarray(self.signal_mv).tobytes())
        return hashlib.sha256(digest.digest() + repr(self.fs_hz).encode()).hexdigest()


def load(database: str) -> list[AnnotatedRecord]:
    """Read every record of a database that is here; none is an empty list."""
    return list(READERS[database]())


def read_wfdb(
    header: Path, database: str, annotator: str = "atr", codes: frozenset[str] = BEAT_CODES
) -> AnnotatedRecord:
    """Read a WFDB record with its beats; lines may end in CR LF, a rate may read `250/360`."""
    with warnings.catch_warnings():
        # wfdb calls pandas in ways that pandas deprecates, at import and later.
        warnings.simplefilter("ignore")
        import wfdb

        stem = str(header.with_suffix(""))
        record, notes = wfdb.rdrecord(stem), wfdb.rdann(stem, annotator)
    marks = list(zip(notes.sample.tolist(), notes.symbol, strict=True))
    return AnnotatedRecord(
        database,
        header.stem,
        float(record.fs),
        in_millivolts(record.p_signal.T, record.units),
        tuple(record.sig_name),
        np.array([sample for sample, code in marks if code in codes], np.int64),
        excluded=fibrillation(marks, record.sig_len),
    )


def in_millivolts(signal: np.ndarray, units: list[str]) -> np.ndarray:
    """Convert each lead by its unit and interpolate what is missing."""
    scale = {"mv": 1.0, "uv": 1e-3, "v": 1e3}
    factors = np.array([scale.get(unit.lower(), 1.0) for unit in units])[:, None]
    return without_gaps(np.where(signal == MISSING, np.nan, signal) * factors)


def without_gaps(signal_mv: np.ndarray) -> np.ndarray:
    """Draw a line over missing samples; a lead with none left is zero."""
    filled = np.array(signal_mv, np.float64, order="C")
    for lead in filled:
        missing = np.isnan(lead)
        if missing.all():
            lead[:] = 0.0
        elif missing.any():
            lead[missing] = np.interp(*map(np.flatnonzero, (missing, ~missing)), lead[~missing])
    return filled


def fibrillation(marks: list[tuple[int, str]], samples: int) -> tuple[tuple[int, int], ...]:
    """Give the spans from each `[` to its `]`, or to the end."""
    spans, start = [], None
    for sample, code in marks:
        if code == "[":
            start = sample
        elif code == "]" and start is not None:
            spans.append((start, sample))
            start = None
    return tuple(spans if start is None else [*spans, (start, samples)])


def _folder(name: str) -> Callable[[], Iterator[AnnotatedRecord]]:
    def records() -> Iterator[AnnotatedRecord]:
        for header in sorted((DATA / "beats" / name).glob("*.hea")):
            if header.with_suffix(".atr").exists():
                yield read_wfdb(header, name)

    return records


def _ludb() -> Iterator[AnnotatedRecord]:
    """12 leads of 10 s; the beats of lead II, whose first and last were left out."""
    for header in sorted((DATA / "twelve_lead/ludb/data").glob("*.hea")):
        record = read_wfdb(header, "ludb", "ii", frozenset("N"))
        leads = [name.lower() for name in record.lead_names]
        reach = 0.15 * record.fs_hz
        span = (record.r_peaks[0] - reach, record.r_peaks[-1] + reach)
        yield replace(record, reference_lead=leads.index("ii"), scored=span)


def _cpsc2019() -> Iterator[AnnotatedRecord]:
    folder = DATA / "beats/cpsc2019"
    for path in sorted((folder / "data").glob("*.mat")):
        signal = scipy.io.loadmat(path)["ecg"].T
        peaks = scipy.io.loadmat(folder / "ref" / path.name.replace("data_", "R_"))["R_peak"]
        margin = CPSC2019_MARGIN_S * CPSC2019_FS_HZ
        yield AnnotatedRecord(
            "cpsc2019",
            path.stem,
            CPSC2019_FS_HZ,
            in_millivolts(signal, ["mV"]),
            ("lead",),
            np.sort(peaks.ravel().astype(np.int64)),
            scored=(margin, signal.shape[1] - margin),
        )


def _nstdb_csv() -> Iterator[AnnotatedRecord]:
    """Excerpts of 118 at 0 and 12 dB, one lead, 360 Hz."""
    for notes in sorted((DATA / "beats/nstdb_csv").glob("*_ann.csv")):
        path = notes.with_name(notes.name.replace("_ann", ""))
        signal = np.genfromtxt(path, delimiter=",")[None]
        yield AnnotatedRecord(
            "nstdb_csv",
            path.stem,
            360.0,
            in_millivolts(signal, ["mV"]),
            ("MLII",),
            np.loadtxt(notes, dtype=np.int64),
        )


READERS: dict[str, Callable[[], Iterator[AnnotatedRecord]]] = {
    "mitdb": _folder("mitdb"),
    "svdb": _folder("svdb"),
    "qtdb": _folder("qtdb"),
    "ludb": _ludb,
    "cpsc2019": _cpsc2019,
    "cpsc2021": _folder("cpsc2021"),
    "nstdb": _folder("nstdb"),
    "nstdb_csv": _nstdb_csv,
}
