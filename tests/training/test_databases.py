from collections import Counter, defaultdict

import numpy as np
import pytest

from serve_app.training.databases import Labelled, read_databases, side_of


@pytest.fixture(scope="module")
def labelled(data_dir) -> list[Labelled]:
    return read_databases(data_dir / "twelve_lead")


def test_every_database_is_read(labelled):
    counts = Counter(each.database for each in labelled)
    assert counts == {
        "ptbxl": 70, "ludb": 40, "cinc2021": 16, "chapman": 4, "code15": 3, "cpsc2018": 1
    }  # fmt: skip
    for each in labelled:
        assert not each.recording.missing_leads
        assert each.recording.duration_s > 5
        assert np.nansum(each.truth) >= 0


def test_sides_are_fixed_and_patients_are_on_one(labelled):
    sides = defaultdict(set)
    for each in labelled:
        sides[each.database, each.patient].add(each.side)
    assert all(len(found) == 1 for found in sides.values())
    assert Counter(each.side for each in labelled) == {"train": 70, "held out": 64}
    # Written down: another hash would move patients from one side to the other.
    written_down = ["train", "train", "held out", "train"]
    assert [side_of("ptbxl", str(n)) for n in (1, 2, 3, 4)] == written_down


def test_no_recording_is_on_both_sides(labelled):
    by_side = defaultdict(set)
    for each in labelled:
        by_side[each.side].add(each.recording.sha256)
    assert not by_side["train"] & by_side["held out"]


def test_labels_agree_with_the_beats(labelled):
    """A tracing that is called fast is fast, and one that is called slow is slow."""
    from serve_app.preprocessing import analyze

    for each in labelled:
        fast, slow = each.truth[3] == 1, each.truth[8] == 1
        rate = analyze(each.recording).heart_rate
        if fast and each.truth[4] != 1:
            assert rate > 90, each.patient
        if slow:
            assert rate < 65, each.patient


def test_a_folder_that_is_not_there_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match="--data"):
        read_databases(tmp_path / "nowhere")
