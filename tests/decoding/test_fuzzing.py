"""Damaged recordings of every format: told as such, quickly, and with nothing left behind."""

import os

import pytest

from tests.fuzzing.campaign import GROWTH_BYTES, Campaign, damaged_input, run
from tests.fuzzing.seeds import all_seeds


def test_the_same_number_is_the_same_input():
    seeds = all_seeds(None)
    one, other = (damaged_input(seeds, 7) for _ in range(2))
    assert one == other
    assert damaged_input(seeds, 8) != one


@pytest.mark.slow
def test_twenty_thousand_damaged_recordings(data_dir):
    report = run(Campaign(data_dir, first=0, inputs=20_000, workers=os.cpu_count() or 1))
    assert report.findings == []
    assert report.outcomes.total() == 20_000
    assert report.outcomes["ok"] > 500, "damages are too gross to get past the first check"
    assert report.grown_bytes < GROWTH_BYTES
