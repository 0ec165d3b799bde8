"""How long the signal library takes, against Python stacks in the same run; outputs agree first.

$ python -m benchmarks.signal_speed [--rounds N]
"""

import argparse
import functools
import sys
from collections.abc import Mapping

import ecg_processor_py as ecg
import numpy as np

from benchmarks import speed_processes, speed_stacks
from benchmarks.reporting import print_header
from benchmarks.speed_inputs import (
    HALF_HOUR_FS_HZ,
    LEAD_II,
    half_hour,
    recording_500_hz,
    recording_1000_hz,
    worst_inputs,
)
from benchmarks.speed_stacks import FS_HZ, STACKS
from benchmarks.speed_timing import SAMPLE_S, Call, cold_line, cold_ms, interleaved_ms, line

PEERS = ("scipy", "soxr", "sleepecg", "neurokit2")
# Ends of a strip are filtered by each in its own way.
INNER = slice(int(2 * FS_HZ), -int(2 * FS_HZ))
PEAK_TOLERANCE_S, FILTER_TOLERANCE_MV = 0.010, 0.02
LONG_ROUNDS = 7


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=60)
    rounds = parser.parse_args().rounds
    print_header(
        f"CPU time of one thread in steady state, interleaved, {rounds} rounds; a sample is the "
        f"mean of the calls that fill {SAMPLE_S * 1e3:g} ms, one at least, after one that is not "
        "counted",
        PEERS,
    )
    check_outputs()
    time_analyze(rounds)
    time_stacks(rounds)
    time_worst(rounds)
    time_half_hour()
    sys.stdout.flush()
    speed_processes.main()


def check_outputs() -> None:
    """Refuse to time stacks that find other beats or filter otherwise than the plain peer does."""
    for x, fs_hz in ((recording_500_hz(), FS_HZ), (recording_1000_hz(), 2 * FS_HZ)):
        outcomes = {name: stack(x, fs_hz) for name, stack in STACKS.items()}
        mine, reference = outcomes["ours"], outcomes["scipy, sleepecg, neurokit"]
        for name, one in outcomes.items():
            assert len(one.r_peaks) == len(reference.r_peaks), name
            apart = np.abs(one.r_peaks - reference.r_peaks).max()
            assert apart <= PEAK_TOLERANCE_S * FS_HZ, (name, apart)
            if fs_hz == FS_HZ:  # resamplers differ, and ECG-FM's is linear on purpose
                differs = np.abs(one.filtered - reference.filtered)[:, INNER].max()
                assert differs < FILTER_TOLERANCE_MV, (name, differs)
        apart = int(np.abs(mine.r_peaks - reference.r_peaks).max())
        print(
            f"outputs agree on {x.shape}: {len(mine.r_peaks)} beats, at most {apart} samples apart"
        )


def time_analyze(rounds: int) -> None:
    """Time `analyze` with everything on, shapes and dtypes side by side."""
    twelve, fast = recording_500_hz(), recording_1000_hz()
    inputs = {
        "12 x 5000 f32": (twelve, FS_HZ),
        "12 x 5000 f64": (twelve.astype(np.float64), FS_HZ),
        "1 x 5000 f32": (twelve[LEAD_II].copy(), FS_HZ),
        "1 x 5000 f64": (twelve[LEAD_II].astype(np.float64), FS_HZ),
        "12 x 10000 f32 at 1000 Hz": (fast, 2 * FS_HZ),
    }
    calls = {name: analysis(*one) for name, one in inputs.items()}
    print_rows("analyze", interleaved_ms(calls, rounds), "12 x 5000 f32")
    print(cold_line(cold_ms(calls, rounds)))


def time_stacks(rounds: int) -> None:
    """Time band-pass, notch, R peaks, RR, quality and z-score, by each stack."""
    twelve, fast = recording_500_hz(), recording_1000_hz()
    shapes = {
        "12 x 5000": (twelve, FS_HZ),
        "12 x 10000 at 1000 Hz": (fast, 2 * FS_HZ),
        "1 x 5000": (twelve[LEAD_II : LEAD_II + 1].copy(), FS_HZ),
    }
    for shape, (x, fs_hz) in shapes.items():
        calls = {name: functools.partial(stack, x, fs_hz) for name, stack in STACKS.items()}
        if len(x) == 1:
            lead = x[0].astype(np.float64)
            calls["neurokit ecg_process"] = functools.partial(
                speed_stacks.neurokit_process, lead, fs_hz
            )
        print_rows(f"whole stack, {shape}", interleaved_ms(calls, rounds // 2), "ours")
        print(cold_line(cold_ms(calls, rounds // 2)))


def time_worst(rounds: int) -> None:
    """Time `analyze` on inputs without any beat to hold on to."""
    typical = recording_500_hz()
    calls = {"typical": analysis(typical, FS_HZ)}
    calls |= {name: analysis(x, FS_HZ) for name, x in worst_inputs(typical, FS_HZ).items()}
    print_rows("analyze on worst inputs, 12 x 5000", interleaved_ms(calls, rounds // 2), "typical")


def time_half_hour() -> None:
    """Time 30 min of one lead, on a real record and on the worst; sleepecg's peaks beside."""
    from sleepecg import detect_heartbeats

    lead = half_hour()
    calls = {"typical": analysis(lead, HALF_HOUR_FS_HZ)}
    calls |= {
        name: analysis(x, HALF_HOUR_FS_HZ)
        for name, x in worst_inputs(lead, HALF_HOUR_FS_HZ).items()
    }
    print_rows("analyze, 30 min at 360 Hz", interleaved_ms(calls, LONG_ROUNDS), "typical")
    double = lead.astype(np.float64)
    worst = worst_inputs(double, HALF_HOUR_FS_HZ)["loud start, then nothing"]
    peaks: dict[str, Call] = {
        "ours": lambda: ecg.detect_r_peaks(double, HALF_HOUR_FS_HZ),
        "ours, loud start, then nothing": lambda: ecg.detect_r_peaks(worst, HALF_HOUR_FS_HZ),
        "sleepecg": lambda: detect_heartbeats(double, HALF_HOUR_FS_HZ),
        "sleepecg, loud start, then nothing": lambda: detect_heartbeats(worst, HALF_HOUR_FS_HZ),
    }
    print_rows("R peaks alone, 30 min at 360 Hz", interleaved_ms(peaks, 3), "ours")


def analysis(x: np.ndarray, fs_hz: float) -> Call:
    analyzer, config = ecg.ECGAnalyzerFFI(), ecg.ECGAnalysisConfig(sampling_rate=fs_hz)
    return lambda: analyzer.analyze(x, config)


def print_rows(title: str, times: Mapping[str, np.ndarray], against: str) -> None:
    print(f"\n== {title}; ratios to {against}")
    for name, values in times.items():
        print(line(name, values, times[against]), flush=True)


if __name__ == "__main__":
    main()
