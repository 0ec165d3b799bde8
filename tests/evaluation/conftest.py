"""PTB-XL's own statements as labels of ECG-FM, for the few records that lie with the tests."""

import ast
import csv
from pathlib import Path

import pytest

STATEMENTS = {
    "Sinus rhythm": {"SR", "SBRAD", "STACH", "SARRH"},
    "Atrial fibrillation": {"AFIB"},
    "Infarction": {"IMI", "ASMI", "AMI", "ALMI", "ILMI", "LMI"},
    "Right bundle branch block": {"CRBBB"},
}


@pytest.fixture(scope="session")
def ptbxl(data_dir: Path) -> list[dict[str, str]]:
    """A row a recording: path, patient, and the labels above."""
    folder = data_dir / "twelve_lead" / "ptbxl"
    rows = []
    with (folder / "ptbxl_database.csv").open() as file:
        for told in csv.DictReader(file):
            codes = set(ast.literal_eval(told["scp_codes"]))
            truth = {name: str(int(bool(codes & own))) for name, own in STATEMENTS.items()}
            paths = [folder / told[name] for name in ("filename_hr", "filename_lr")]
            rows += [
                {"path": str(path), "patient": told["patient_id"], **truth}
                for path in paths
                if path.with_suffix(".hea").is_file()
            ]
    assert len(rows) > 80
    return rows


@pytest.fixture
def write_table(tmp_path: Path):
    """LABELS.csv with these rows."""

    def write(rows: list[dict[str, str]]) -> Path:
        path = tmp_path / "LABELS.csv"
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
        return path

    return write
