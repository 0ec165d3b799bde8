"""What every test shares: where the real recordings are."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def repo_root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of public recordings: $ECG_TEST_DATA, by default ../shared/data."""
    folder = Path(os.environ.get("ECG_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("no public recordings here: set ECG_TEST_DATA to their folder")
    return folder


@pytest.fixture(scope="session")
def ecgfm_dir(data_dir: Path) -> Path:
    """The small checkpoint in the published layout, beside the recordings."""
    folder = data_dir.parent / "ecgfm"
    if not folder.is_dir():
        pytest.skip("no reference checkpoint beside the recordings")
    return folder
