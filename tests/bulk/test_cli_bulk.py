"""`ecg-serve bulk` on a real Ray: real records in, one row each out, taken up where it stopped."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet
import pytest

from serve_app.model.labels import LABELS

pytestmark = [pytest.mark.ray, pytest.mark.slow]


def bulk(*arguments, code):
    done = subprocess.run(
        [Path(sys.executable).with_name("ecg-serve"), "bulk", *map(str, arguments), "--json"],
        capture_output=True,
        text=True,
        timeout=120,
        env={name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"},
    )
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_every_recording_gets_one_row(data_dir, tmp_path):
    records = sorted((data_dir / "twelve_lead/ptbxl/records500/00000").glob("*.hea"))[:12]
    for path in records:
        for part in (path, path.with_suffix(".dat")):
            (tmp_path / part.name).symlink_to(part)
    (tmp_path / "broken.dcm").write_bytes(b"no recording")
    listed = tmp_path / "list.txt"
    listed.write_text("\n".join(path.name for path in records[:5]))
    out = tmp_path / "answers.parquet"
    counts = {"answered": 5, "failed": 0, "lost": 0, "kept": 0}
    assert bulk(listed, out, code=0) == counts
    listed.unlink()
    counts = {"answered": len(records) - 5, "failed": 1, "lost": 0, "kept": 5}
    assert bulk(tmp_path, out, code=1) == counts
    rows = pyarrow.parquet.read_table(out).to_pylist()
    by_path = {row["path"]: row for row in rows}
    assert len(rows) == len(by_path) == len(records) + 1
    assert by_path["broken.dcm"]["error_code"] == "invalid_format"
    answered = by_path[records[0].name]
    assert {f"probability.{label.name}" for label in LABELS} <= answered.keys()
    assert answered["model_demo"] is True


def test_what_recordings_do_not_say_is_given(data_dir, tmp_path):
    source, out = tmp_path / "in", tmp_path / "answers.parquet"
    source.mkdir()
    (source / "a.scp").symlink_to(data_dir / "formats/scp/healforce_62.scp")
    counts = {"answered": 1, "failed": 0, "lost": 0, "kept": 0}
    assert bulk(source, out, "--analyze", "--leads", "I,II,III", code=0) == counts
    (row,) = pyarrow.parquet.read_table(out).to_pylist()
    assert row["leads"][:3] == ["I", "II", "III"]
