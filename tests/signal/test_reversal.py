"""Exchanged electrodes: found where they are exchanged by arithmetic, seldom where they are not."""

from pathlib import Path

import numpy as np
import pytest
import scipy.io
from ecg_processor_py import InvalidSignalError, check_lead_reversal

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
SUMS = {"einthoven", "goldberger"}
# Which electrode is where RA, LA and LL should be.
LIMB = {"none": (0, 1, 2), "RA/LA": (1, 0, 2), "RA/LL": (2, 1, 0), "LA/LL": (0, 2, 1)}
CHEST = {f"V{i}/V{i + 1}": i for i in range(1, 6)}
# Sensitivity on records that the model was fitted on, and on others.
FLOORS = {
    "RA/LA": (0.75, 0.85),
    "RA/LL": (0.80, 0.85),
    "LA/LL": (0.10, 0.04),
    "V1/V2": (0.25, 0.35),
    "V2/V3": (0.55, 0.50),
    "V3/V4": (0.50, 0.60),
    "V4/V5": (0.25, 0.35),
    "V5/V6": (0.10, 0.15),
}


def rewired(x: np.ndarray, order: tuple[int, int, int]) -> np.ndarray:
    """The 12 leads with the limb electrodes in another order; Wilson's terminal stays."""
    electrodes = np.stack([-(x[0] + x[1]), 2 * x[0] - x[1], 2 * x[1] - x[0]]) / 3.0
    return np.concatenate([limb_leads(*electrodes[list(order)]), x[6:]])


def limb_leads(ra: np.ndarray, la: np.ndarray, ll: np.ndarray) -> np.ndarray:
    augmented = [1.5 * (e - (ra + la + ll) / 3.0) for e in (ra, la, ll)]
    return np.stack([la - ra, ll - ra, ll - la, *augmented])


def leg(x: np.ndarray, arm: str) -> np.ndarray:
    """An arm electrode on the right leg, which differs by 10 uV from the left one."""
    ra, la, ll = np.stack([-(x[0] + x[1]), 2 * x[0] - x[1], 2 * x[1] - x[0]]) / 3.0
    other = ll + 0.01 * np.random.default_rng(0).standard_normal(x.shape[1])
    changed = (other, la, ll) if arm == "RA" else (ra, other, ll)
    shift = (sum(changed) - (ra + la + ll)) / 3.0
    return np.concatenate([limb_leads(*changed), x[6:] - shift])


def exchanged(x: np.ndarray, kind: str) -> np.ndarray:
    if kind in LIMB:
        return rewired(x, LIMB[kind])
    y, first = x.copy(), 5 + CHEST[kind]
    y[[first, first + 1]] = y[[first + 1, first]]
    return y


def kinds(x: np.ndarray, fs_hz: float, use_ffi: bool = True) -> list[str]:
    return [one.kind for one in check_lead_reversal(x, fs_hz, LEADS, use_ffi=use_ffi)]


@pytest.fixture(scope="module")
def fitted_and_others(data_dir: Path, record_of) -> tuple[list, list]:
    """12-lead records `(signal, fs_hz)` that the model was fitted on, and others."""
    folder = data_dir / "twelve_lead"
    cinc2021 = folder / "cinc2021"
    fitted = [*(folder / "ptbxl/records500").glob("*/*.hea"), *cinc2021.glob("[AJ]*.hea")]
    others = [*(folder / "ludb/data").glob("*.hea"), *cinc2021.glob("[EQ]*.hea")]
    code15 = [scipy.io.loadmat(path)["feats"] for path in sorted((folder / "code15").glob("*.mat"))]
    return (
        [read(header, record_of) for header in sorted(fitted)],
        [
            *(read(header, record_of) for header in sorted(others)),
            *((np.ascontiguousarray(x, dtype=float), 400.0) for x in code15),
        ],
    )


def read(header: Path, record_of) -> tuple[np.ndarray, float]:
    record = record_of(header.with_suffix(""))
    names = [name.lower() for name in record.sig_name]
    rows = [names.index(lead.lower()) for lead in LEADS]
    return np.ascontiguousarray(record.p_signal.T[rows]), float(record.fs)


def test_few_false_alarms(fitted_and_others):
    alarms = [
        kind
        for records in fitted_and_others
        for x, fs_hz in records
        for kind in kinds(x, fs_hz)
        if kind not in SUMS
    ]
    assert len(alarms) <= 0.02 * sum(map(len, fitted_and_others)), alarms


@pytest.mark.parametrize("kind", FLOORS)
def test_exchanges_are_found(fitted_and_others, kind):
    for records, floor in zip(fitted_and_others, FLOORS[kind], strict=True):
        found = [any(k not in SUMS for k in kinds(exchanged(x, kind), fs)) for x, fs in records]
        named = [kind in kinds(exchanged(x, kind), fs) for x, fs in records]
        assert np.mean(found) >= floor
        assert np.mean(named) >= 0.8 * floor


@pytest.mark.parametrize(("arm", "kind"), [("RA", "RA/RL"), ("LA", "LA/RL")])
def test_an_arm_electrode_on_a_leg_is_found(fitted_and_others, arm, kind):
    for records in fitted_and_others:
        found = [kind in kinds(leg(x, arm), fs_hz) for x, fs_hz in records]
        assert np.mean(found) >= 0.85


def test_leads_that_contradict_one_another_are_told(fitted_and_others):
    x, fs_hz = fitted_and_others[0][0]
    assert kinds(x, fs_hz) == []
    y = x.copy()
    y[2] = -y[2]
    y[4] = 1.5 * y[4] + x[1]
    first, second = check_lead_reversal(y, fs_hz, LEADS)[:2]
    assert (first.kind, second.kind) == ("einthoven", "goldberger")
    assert first.text.startswith("I + III - II leaves 0.")
    assert 0.5 <= first.confidence <= 1.0


def test_the_text_says_what_was_seen(fitted_and_others, use_ffi):
    x, fs_hz = fitted_and_others[0][0]
    found = check_lead_reversal(exchanged(x, "RA/LA"), fs_hz, LEADS, use_ffi=use_ffi)
    assert [one.kind for one in found] == ["RA/LA"]
    assert "QRS axis" in found[0].text
    assert found[0].to_dict()["confidence"] == found[0].confidence > 0.5


def test_noise_and_flat_leads_say_nothing(use_ffi):
    rng = np.random.default_rng(3)
    for x in (rewired(rng.standard_normal((12, 5000)), (0, 1, 2)), np.zeros((12, 5000))):
        assert check_lead_reversal(x, 500.0, LEADS, use_ffi=use_ffi) == ()


def test_missing_leads_are_left_out(fitted_and_others, use_ffi):
    x, fs_hz = fitted_and_others[0][0]
    y = exchanged(x, "RA/LA")
    assert check_lead_reversal(y[:3], fs_hz, LEADS[:3], use_ffi=use_ffi) == ()
    without_iii = check_lead_reversal(
        np.delete(y, 2, axis=0), fs_hz, LEADS[:2] + LEADS[3:], use_ffi=use_ffi
    )
    assert [one.kind for one in without_iii] == ["RA/LA"]
    with pytest.raises(InvalidSignalError):
        check_lead_reversal(y, fs_hz, LEADS[:3], use_ffi=use_ffi)


def test_twins_agree(fitted_and_others):
    for x, fs_hz in [*fitted_and_others[0][::12], *fitted_and_others[1][::8]]:
        for kind in ("none", "RA/LA", "V2/V3"):
            y = exchanged(x, kind)
            rust = check_lead_reversal(y, fs_hz, LEADS, use_ffi=True)
            python = check_lead_reversal(y, fs_hz, LEADS, use_ffi=False)
            assert [one.kind for one in rust] == [one.kind for one in python]
            for a, b in zip(rust, python, strict=True):
                assert a.confidence == pytest.approx(b.confidence, rel=1e-6)
                assert a.text == b.text


def test_gain_and_sampling_rate_hardly_matter(fitted_and_others, use_ffi):
    x, fs_hz = fitted_and_others[0][0]
    y = exchanged(x, "RA/LL")
    (one,) = check_lead_reversal(y, fs_hz, LEADS, use_ffi=use_ffi)
    (half,) = check_lead_reversal(y[:, ::2].copy(), fs_hz / 2, LEADS, use_ffi=use_ffi)
    assert half.kind == one.kind
    assert half.confidence == pytest.approx(one.confidence, abs=0.05)
