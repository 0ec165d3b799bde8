"""A day of ECG through the pipeline: how much memory the process needs for it, and how long.

$ python -m benchmarks.long_recordings [--hours 24]
"""

import argparse
import asyncio
import functools
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import ecg_processor_py as core
import numpy as np
import psutil

from benchmarks.databases import DATA
from benchmarks.reporting import print_header
from serve_app.decoding import decode_path
from serve_app.engine.loading import load_engine
from serve_app.pipeline import InProcessModel, Options, Pipeline
from serve_app.settings import load_settings
from serve_app.streaming.following import follow
from serve_app.streaming.source import open_path

SAMPLED_EVERY_S = 0.05
# name: leads, samples a second
RECORDINGS = {"3 leads, 200 Hz": (3, 200), "12 leads, 500 Hz": (12, 500)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--follow", type=Path)
    parser.add_argument("--predict", action="store_true")
    arguments = parser.parse_args()
    if arguments.follow:
        measure(arguments.follow, arguments.predict)
        return
    print_header("A long recording, read a stretch at a time: memory, and hours of ECG a second")
    print(
        f"{arguments.hours:g} h of MIT-BIH 100 or PTB-XL, tiled, as WFDB format 16; windows of 10 s"
    )
    print(f"{'':<34}{'file MB':>9}{'RSS MB':>9}{'growth MB':>11}{'s':>8}{'h/s':>8}{'beats':>9}")
    with tempfile.TemporaryDirectory(prefix="ecg-bench-") as folder:
        for name, (leads, fs_hz) in RECORDINGS.items():
            header = write_record(Path(folder), leads, fs_hz, arguments.hours)
            for model in ((), ("--predict",)):
                # A process each: what one leaves behind is not the other's growth.
                command = [sys.executable, "-m", "benchmarks.long_recordings", "--follow", header]
                done = subprocess.run(
                    [*command, *model], check=True, stdout=subprocess.PIPE, text=True
                )
                what = f"{name}, {'demo model' if model else 'no model'}"
                print(f"{what:<34}{done.stdout.rstrip()}", flush=True)


def write_record(folder: Path, leads: int, fs_hz: int, hours: float) -> Path:
    """A WFDB record in format 16, written a minute at a time."""
    minute = np.tile(strip_mv(leads, fs_hz), (1, 6))[:, : 60 * fs_hz]
    stored = np.rint(minute.T * 1000).astype("<i2").tobytes()
    names = ["MLII", "V1", "V5"] if leads == 3 else standard_names()
    with (folder / "day.dat").open("wb") as file:
        for _ in range(round(hours * 60)):
            file.write(stored)
    lines = [f"day {leads} {fs_hz} {round(hours * 60) * 60 * fs_hz}"]
    lines += [f"day.dat 16 1000(0)/mV 16 0 0 0 0 {name}" for name in names]
    (folder / "day.hea").write_text("\n".join(lines) + "\n")
    return folder / "day.hea"


def strip_mv(leads: int, fs_hz: int) -> np.ndarray:
    """Real signal, ``(leads, samples)``, ten seconds or more."""
    if leads == 3:
        recording = decode_path(DATA / "beats/mitdb/100.hea")
        two = core.resample(recording.signal_mv[:, : 60 * 360], recording.fs_hz, fs_hz)
        return np.stack([two[0], two[1], two.mean(axis=0)])
    path = sorted((DATA / "twelve_lead/ptbxl").rglob("*_hr.hea"))[0]
    return np.asarray(decode_path(path).signal_mv)


def standard_names() -> list[str]:
    return ["I", "II", "III", "aVR", "aVL", "aVF", *(f"V{n}" for n in range(1, 7))]


def measure(header: Path, predict: bool) -> None:
    """Follow one recording; prints what the table shows of it."""
    settings = load_settings()
    pipeline = Pipeline(settings, InProcessModel(functools.partial(load_engine, settings)))
    options = Options(missing_leads="zero") if predict else None
    watch = MemoryWatch()

    async def run() -> tuple[float, int]:
        with open_path(header, settings) as recording:
            lines = follow(recording, pipeline, options=options)
            # Once everything is loaded and the first window is out.
            await anext(lines)
            await anext(lines)
            watch.start()
            started_s, last = time.perf_counter(), None
            async for line in lines:
                last = line
            assert last.type == "summary"
            assert last.windows_predicted == (last.windows if predict else 0)
            return time.perf_counter() - started_s, last.rhythm.beats

    elapsed_s, beats = asyncio.run(run())
    hours = hours_of(header)
    size_mb = header.with_suffix(".dat").stat().st_size / 1e6
    print(
        f"{size_mb:9.0f}{watch.most_mb:9.0f}{watch.most_mb - watch.before_mb:11.1f}"
        f"{elapsed_s:8.1f}{hours / elapsed_s:8.2f}{beats:9d}"
    )


def hours_of(header: Path) -> float:
    _, _, fs_hz, samples = header.read_text().splitlines()[0].split()
    return int(samples) / float(fs_hz) / 3600


class MemoryWatch:
    """The greatest resident size from the start on, in megabytes."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self.before_mb = self.most_mb = 0.0

    def start(self) -> None:
        self.before_mb = self.most_mb = self._now_mb()
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while True:
            self.most_mb = max(self.most_mb, self._now_mb())
            time.sleep(SAMPLED_EVERY_S)

    def _now_mb(self) -> float:
        return float(self._process.memory_info().rss / 1e6)


if __name__ == "__main__":
    main()
