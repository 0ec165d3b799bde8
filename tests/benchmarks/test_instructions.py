"""The core executes no more instructions than the stored counts allow."""

import shutil

import pytest

from benchmarks import instructions


@pytest.mark.benchmark
@pytest.mark.slow
def test_no_case_takes_more_instructions_than_stored():
    for tool in ("valgrind", "cargo"):
        if not shutil.which(tool):
            pytest.skip(f"{tool} is not installed, so that nothing can be counted")
    stored_rustc, stored = instructions.load_stored()
    counts = instructions.count_all()
    assert set(counts) == set(stored)
    assert not instructions.exceeding(counts, stored, instructions.allowance(stored_rustc))


def test_the_gate_lets_three_percent_pass_and_no_more():
    stored = {"a": 1000, "b": 1000, "c": 1000}
    counts = {"a": 1030, "b": 1031, "c": 900}
    assert list(instructions.exceeding(counts, stored, instructions.MORE_ALLOWED)) == ["b"]
