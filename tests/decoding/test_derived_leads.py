"""The limb-lead identities, on recordings that hold all twelve leads."""

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from serve_app.decoding import decode_path
from serve_app.decoding.derived_leads import derive_limb_leads
from serve_app.recording import STANDARD_LEADS

STORED = ("I", "II", *STANDARD_LEADS[6:])


def test_derived_leads_equal_the_recorded(data_dir: Path) -> None:
    whole = decode_path(data_dir / "formats/dicom/Example.dcm")
    rows = [whole.leads.index(lead) for lead in STORED]
    signal, leads = derive_limb_leads(whole.signal_mv[rows].astype(np.float64), STORED)
    assert leads == (*STORED, "III", "aVR", "aVL", "aVF")
    for row, lead in zip(signal, leads, strict=True):
        # The recorder rounded each lead to 2.5 uV.
        assert_allclose(row, whole.signal_mv[whole.leads.index(lead)], atol=0.0026)


def test_identities_are_exact_for_integers() -> None:
    signal = np.random.default_rng(7).integers(-(2**15), 2**15, (2, 500)).astype(np.float32)
    derived, _ = derive_limb_leads(signal, ("II", "I"))
    (two, one, three, avr, avl, avf) = derived
    assert derived.dtype == np.float32
    assert_array_equal(three, two - one)
    assert_array_equal(avr, -(one + two) / 2)
    assert_array_equal(avl, one - two / 2)
    assert_array_equal(avf, two - one / 2)


@pytest.mark.parametrize("leads", [("I", "V1"), ("II",), STANDARD_LEADS, ("X", "Y", "Z")])
def test_nothing_to_add(leads: tuple[str, ...]) -> None:
    signal = np.zeros((len(leads), 3))
    same, names = derive_limb_leads(signal, leads)
    assert same is signal
    assert names == leads


def test_what_is_there_is_kept_and_what_is_missing_stays_missing() -> None:
    signal = np.array([[1.0, np.nan], [3.0, 4.0], [9.0, 9.0]])
    derived, leads = derive_limb_leads(signal, ("I", "II", "III"))
    assert leads == ("I", "II", "III", "aVR", "aVL", "aVF")
    assert_array_equal(derived[2], [9, 9])
    assert_array_equal(derived[3:, 0], [-2, -0.5, 2.5])
    assert np.isnan(derived[3:, 1]).all()
