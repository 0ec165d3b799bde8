"""Both backends, real recordings, and how detected beats are held against reference beats."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ecg_processor_py as ecg
import numpy as np
import pytest
import scipy.io

BEAT_CODES = set("NLRBAaJSVrFejnE/fQ?")
STANDARD_LEADS = ["I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"]


@dataclass(frozen=True)
class Annotated:
    """A recording `(leads, samples)` in mV and its reference beats."""

    name: str
    signal_mv: np.ndarray
    fs_hz: float
    beats: np.ndarray


@dataclass(frozen=True)
class Rhythm:
    """Annotated beats: their times, and marks `(beats,)` of what each is."""

    peaks_s: np.ndarray
    duration_s: float
    ectopic: np.ndarray
    unlike: np.ndarray
    fibrillating: np.ndarray

    @property
    def early(self) -> np.ndarray:
        """Beats that come at least 8 % before the median of the ten intervals before."""
        rr = np.diff(self.peaks_s)
        before = np.array([np.median(rr[max(0, i - 10) : i + 1]) for i in range(len(rr))])
        return np.append(False, rr < 0.92 * before)


@dataclass(frozen=True)
class Score:
    """Beats found, missed and invented, and how far off the found ones are."""

    found: int
    missed: int
    invented: int
    offsets_s: np.ndarray

    @property
    def sensitivity(self) -> float:
        return 100.0 * self.found / (self.found + self.missed)

    @property
    def ppv(self) -> float:
        return 100.0 * self.found / (self.found + self.invented)


@pytest.fixture(params=["rust", "python"])
def use_ffi(request: pytest.FixtureRequest) -> bool:
    """Each backend in turn."""
    return bool(request.param == "rust")


@pytest.fixture
def analyzer(use_ffi: bool) -> ecg.ECGAnalyzerFFI:
    return ecg.ECGAnalyzerFFI(use_ffi=use_ffi)


@pytest.fixture(scope="session")
def lead_names() -> list[str]:
    return list(STANDARD_LEADS)


@pytest.fixture(scope="session")
def mitdb(data_dir: Path) -> list[Annotated]:
    return [_wfdb(hea) for hea in sorted((data_dir / "beats/mitdb").glob("*.hea"))]


@pytest.fixture(scope="session")
def ludb(data_dir: Path) -> list[Annotated]:
    """12 leads of 10 s; beats as annotated in lead II, which leaves out the first and the last."""
    headers = sorted((data_dir / "twelve_lead/ludb/data").glob("*.hea"))
    return [_wfdb(hea, "ii", {"N"}) for hea in headers]


@pytest.fixture(scope="session")
def cpsc2019(data_dir: Path) -> list[Annotated]:
    folder = data_dir / "beats/cpsc2019"
    return [_cpsc(path, folder) for path in sorted((folder / "data").glob("*.mat"))]


@pytest.fixture(scope="session")
def nstdb(data_dir: Path) -> list[Annotated]:
    """MIT-BIH 118 with electrode motion added at 6 dB."""
    return [_wfdb(data_dir / "beats/nstdb/118e06.hea")]


@pytest.fixture(scope="session")
def qtdb(data_dir: Path) -> list[Annotated]:
    return [_wfdb(hea) for hea in sorted((data_dir / "beats/qtdb").glob("*.hea"))]


@pytest.fixture(scope="session")
def cpsc2021(data_dir: Path) -> list[Annotated]:
    return [_wfdb(hea) for hea in sorted((data_dir / "beats/cpsc2021").glob("*.hea"))]


@pytest.fixture(scope="session")
def ptbxl(data_dir: Path, record_of: Callable[..., Any]) -> list[Annotated]:
    """12 leads of 10 s at 500 and at 100 Hz, without reference beats."""
    stems = [h.with_suffix("") for h in sorted((data_dir / "twelve_lead/ptbxl").rglob("*.hea"))]
    records = [(stem.name, record_of(stem)) for stem in stems]
    return [
        Annotated(name, np.ascontiguousarray(record.p_signal.T), float(record.fs), np.empty(0))
        for name, record in records
    ]


@pytest.fixture(scope="session")
def cinc2017(data_dir: Path) -> list[Annotated]:
    """One lead of a hand-held recorder, 1000 units to 1 mV, without reference beats."""
    paths = sorted((data_dir / "rhythm_1lead/cinc2017").glob("*.mat"))
    signals = [scipy.io.loadmat(path)["val"] / 1000.0 for path in paths]
    pairs = zip(paths, signals, strict=True)
    return [Annotated(path.stem, signal_mv, 300.0, np.empty(0)) for path, signal_mv in pairs]


@pytest.fixture(scope="session")
def rhythms(data_dir: Path) -> dict[str, Rhythm]:
    """Every record whose beats and rhythm are annotated."""
    headers = [
        *(data_dir / "beats/mitdb").glob("*.hea"),
        *(data_dir / "beats/cpsc2021").glob("*.hea"),
    ]
    return {header.stem: _rhythm(header) for header in sorted(headers)}


@pytest.fixture(scope="session")
def record_of() -> Callable[..., Any]:
    """Read a WFDB record without an annotation."""

    def read(stem: Path) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import wfdb

            return wfdb.rdrecord(str(stem))

    return read


@pytest.fixture(scope="session")
def clean_lead(mitdb: list[Annotated]) -> np.ndarray:
    """Ten seconds of MIT-BIH 100 at 360 Hz, without artefacts."""
    return mitdb[0].signal_mv[0, :3600].copy()


@pytest.fixture(scope="session")
def score() -> Callable[..., Score]:
    return _score


@pytest.fixture(scope="session")
def strip() -> Callable[..., np.ndarray]:
    return _strip


def _wfdb(header: Path, annotator: str = "atr", codes: set[str] = BEAT_CODES) -> Annotated:
    stem = str(header.with_suffix(""))
    with warnings.catch_warnings():
        # wfdb calls pandas in ways that pandas deprecates, at import and later.
        warnings.simplefilter("ignore")
        import wfdb

        record, notes = wfdb.rdrecord(stem), wfdb.rdann(stem, annotator)
    marks = zip(notes.sample, notes.symbol, strict=True)
    beats = np.array([sample for sample, code in marks if code in codes])
    signal_mv = np.ascontiguousarray(record.p_signal.T)
    return Annotated(header.stem, signal_mv, float(record.fs), beats)


def _rhythm(header: Path) -> Rhythm:
    stem = str(header.with_suffix(""))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import wfdb

        record, notes = wfdb.rdheader(stem), wfdb.rdann(stem, "atr")
    beats, rhythm, fibrillating = [], "", []
    for sample, code, text in zip(notes.sample, notes.symbol, notes.aux_note, strict=True):
        rhythm = text.strip("\0") if text.startswith("(") else rhythm
        if code in BEAT_CODES:
            beats.append((sample, code))
            fibrillating.append(rhythm == "(AFIB")
    samples, codes = np.array([s for s, _ in beats]), np.array([c for _, c in beats])
    return Rhythm(
        samples / record.fs,
        record.sig_len / record.fs,
        np.isin(codes, list("VAaJSE")),
        np.isin(codes, list("VEF")),
        np.array(fibrillating),
    )


def _cpsc(path: Path, folder: Path) -> Annotated:
    signal_mv = np.ascontiguousarray(scipy.io.loadmat(path)["ecg"].T, dtype=np.float64)
    reference = folder / "ref" / path.name.replace("data_", "R_")
    beats = scipy.io.loadmat(reference)["R_peak"].ravel().astype(int)
    return Annotated(path.stem, signal_mv, 500.0, beats)


def _score(found: np.ndarray, record: Annotated, tolerance_s: float = 0.15) -> Score:
    """Pair each reference beat with the nearest detection within the tolerance, each used once."""
    tolerance = tolerance_s * record.fs_hz
    offsets, free = [], 0
    for beat in record.beats:
        while free < len(found) and found[free] < beat - tolerance:
            free += 1
        if free == len(found) or found[free] > beat + tolerance:
            continue
        while free + 1 < len(found) and abs(found[free + 1] - beat) < abs(found[free] - beat):
            free += 1
        offsets.append((found[free] - beat) / record.fs_hz)
        free += 1
    hits = len(offsets)
    return Score(hits, len(record.beats) - hits, len(found) - hits, np.array(offsets))


def _strip(beats: list[int], samples: int = 5000, width: float = 12.0) -> np.ndarray:
    """Beats of 1 mV at the given samples, nothing between them."""
    t = (np.arange(samples) - np.array(beats)[:, None]) / width
    return ((1.0 - t**2) * np.exp(-0.5 * t**2)).sum(axis=0)
