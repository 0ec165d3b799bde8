"""Outputs on made-up ECGs are those that this version of the algorithms is known by.

After a change that is meant: `python tests/signal/test_golden.py` writes them down anew.
"""

import json
from pathlib import Path
from typing import Any

import ecg_processor_py as ecg
import numpy as np
import pytest
from ecg_processor_py.kernel import ALGORITHM_VERSION

STORED = Path(__file__).with_name("golden.json")
WHAT_TO_DO = (
    "if that is meant, raise ALGORITHM_VERSION (rust_native/ecg-core/src/lib.rs and "
    "rust_native/python/ecg_processor_py/kernel.py), rebuild, and write the outputs down anew: "
    "python tests/signal/test_golden.py"
)
SECONDS = 20
# Of each lead of a filtered signal: this many samples, evenly spread.
KEPT = 16
# Room for the last bits of filters and of other platforms' logarithms; indices are exact.
RELATIVE, ABSOLUTE = 1e-3, 1e-3

# Rate in Hz, leads, beats per minute, and what is wrong with it.
CASES: dict[str, tuple[float, int, float, str]] = {
    "clean, 12 leads": (500.0, 12, 72.0, ""),
    "one lead at 100 Hz": (100.0, 1, 55.0, ""),
    "premature beats": (360.0, 2, 80.0, "premature"),
    "a pause": (250.0, 2, 66.0, "pause"),
    "mains and wander": (500.0, 3, 95.0, "mains"),
    "irregular": (400.0, 1, 110.0, "irregular"),
    "noise alone": (500.0, 2, 0.0, "noise"),
    "one lead flat, fast": (1000.0, 2, 170.0, "flat"),
}


def test_the_outputs_are_of_this_version():
    stored = _stored()["algorithm_version"]
    assert stored == ALGORITHM_VERSION, f"the stored outputs are those of {stored}: {WHAT_TO_DO}"
    assert ecg.build_info()["algorithm_version"] == ALGORITHM_VERSION


@pytest.mark.parametrize("name", CASES)
def test_outputs_are_those_of_this_version(use_ffi, name):
    differing = list(_differing(_stored()["outputs"][name], _outputs(name, use_ffi), name))
    assert not differing, f"outputs differ from those of {ALGORITHM_VERSION}; {WHAT_TO_DO}" + (
        "".join(f"\n{line}" for line in differing[:10])
    )


@pytest.mark.parametrize(
    "found",
    [{"a": [1, 0.2]}, {"a": [2, 0.25]}, {"a": [2]}, {"a": [2, None]}, {"b": [2, 0.2]}, {"a": "2"}],
)
def test_a_difference_is_found(found):
    assert len(list(_differing({"a": [2, 0.2]}, found, ""))) == 1
    assert not list(_differing({"a": [2, 0.2]}, {"a": [2, 0.2001]}, ""))


def _differing(stored: Any, found: Any, place: str):
    """Name each place where the two differ."""
    if isinstance(stored, dict) and isinstance(found, dict) and stored.keys() == found.keys():
        for key in stored:
            yield from _differing(stored[key], found[key], f"{place} / {key}")
    elif isinstance(stored, list) and isinstance(found, list) and len(stored) == len(found):
        for i, pair in enumerate(zip(stored, found, strict=True)):
            yield from _differing(*pair, f"{place} [{i}]")
    elif isinstance(stored, float) and isinstance(found, float):
        if found != pytest.approx(stored, rel=RELATIVE, abs=ABSOLUTE):
            yield f"{place}: {found} where {stored} is stored"
    elif stored != found:
        yield f"{place}: {found!r} where {stored!r} is stored"


def _stored() -> dict[str, Any]:
    told: dict[str, Any] = json.loads(STORED.read_text(encoding="utf-8"))
    return told


def _outputs(name: str, use_ffi: bool) -> dict[str, Any]:
    """What is told of one strip: plain values, and the filters' by a few of their samples."""
    x, fs_hz = _strip(name)
    config = ecg.ECGAnalysisConfig(sampling_rate=fs_hz)
    told = ecg.ECGAnalyzerFFI(use_ffi).analyze(x, config).to_dict()
    for changing in ("processing_time_ms", "processing_backend", "algorithm_version", "config"):
        del told[changing]
    filtered = {
        "bandpass": ecg.bandpass(x, fs_hz, use_ffi=use_ffi),
        "notch": ecg.notch(x, fs_hz, 50.0 if fs_hz > 100.0 else 40.0, use_ffi=use_ffi),
        "remove_baseline": ecg.remove_baseline(x, fs_hz, use_ffi=use_ffi),
        "medians": ecg.remove_baseline(x, fs_hz, method="median", use_ffi=use_ffi),
        "resample": ecg.resample(x, fs_hz, 200.0, use_ffi=use_ffi),
        "polyphase": ecg.resample(x, fs_hz, 200.0, method="polyphase", use_ffi=use_ffi),
        "standardize": ecg.standardize(x, use_ffi=use_ffi),
    }
    indices = ecg.quality_indices(x, fs_hz, use_ffi=use_ffi)
    return {
        "analyze": told,
        "detect_r_peaks": ecg.detect_r_peaks(x, fs_hz, use_ffi=use_ffi).tolist(),
        "signal_quality": ecg.signal_quality(x, fs_hz, use_ffi=use_ffi).to_dict(),
        "quality_indices": [one.to_dict() for one in indices],
        "filters": {kind: _kept(y) for kind, y in filtered.items()},
    }


def _kept(y: np.ndarray) -> list[list[float]]:
    places = np.linspace(0, y.shape[1] - 1, KEPT).astype(int)
    return [[round(float(value), 6) for value in row] for row in y[:, places]]


def _strip(name: str) -> tuple[np.ndarray, float]:
    """Give `(leads, samples)` float32 mV and the rate in Hz."""
    fs_hz, leads, bpm, flaw = CASES[name]
    # NumPy promises that these numbers stay what they are, unlike those of its newer generators.
    random = np.random.RandomState(len(name))
    t = np.arange(int(SECONDS * fs_hz)) / fs_hz
    x = 0.01 * random.standard_normal((leads, len(t)))
    for beat_s, wide in _beats(random, bpm, flaw):
        x += np.linspace(1.0, 0.4, leads)[:, None] * _beat(t - beat_s, wide)
    if flaw == "mains":
        x += 0.15 * np.sin(2 * np.pi * 50.0 * t) + 0.4 * np.sin(2 * np.pi * 0.25 * t)
    if flaw == "noise":
        x += 0.3 * random.standard_normal(x.shape)
    if flaw == "flat":
        x[-1] = 0.0
    return x.astype(np.float32), fs_hz


def _beats(random: np.random.RandomState, bpm: float, flaw: str) -> list[tuple[float, bool]]:
    """Time of each beat in s, and whether it is a wide one."""
    times = [(0.5, False)] if bpm else []
    while times and times[-1][0] < SECONDS - 1.0:
        rr_s = 60.0 / bpm * (1.0 + 0.02 * random.standard_normal())
        if flaw == "irregular":
            rr_s *= random.uniform(0.65, 1.5)
        if flaw == "pause" and len(times) == 9:
            rr_s += 2.0
        early = flaw == "premature" and len(times) % 7 == 5
        late = flaw == "premature" and len(times) % 7 == 6
        rr_s *= 0.65 if early else 1.35 if late else 1.0
        times.append((times[-1][0] + rr_s, early))
    return times


def _beat(t: np.ndarray, wide: bool) -> np.ndarray:
    """P, Q, R, S and T as Gaussians: mV, s after R, width in s."""
    narrow = [(0.12, -0.17, 0.022), (-0.1, -0.028, 0.009), (1.1, 0.0, 0.011), (-0.22, 0.03, 0.011)]
    broad = [(1.3, 0.0, 0.035), (-0.4, 0.09, 0.04)]
    waves = [*(broad if wide else narrow), (-0.35 if wide else 0.3, 0.28, 0.05)]
    return np.sum([mv * np.exp(-0.5 * ((t - at) / s) ** 2) for mv, at, s in waves], axis=0)


def main() -> None:
    """Write down what this version tells."""
    outputs = {name: _outputs(name, use_ffi=True) for name in CASES}
    text = json.dumps({"algorithm_version": ALGORITHM_VERSION, "outputs": outputs}, allow_nan=False)
    # A line for each case and kind of output, so that a change can be read as a difference.
    text = text.replace('{"analyze"', '\n{"analyze"')
    for kind in ("detect_r_peaks", "signal_quality", "quality_indices", "filters"):
        text = text.replace(f'"{kind}": ', f'\n"{kind}": ')
    STORED.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
