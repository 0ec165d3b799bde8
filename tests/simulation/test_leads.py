import numpy as np
import pytest

from serve_app.simulation import SCENARIOS, simulate
from serve_app.simulation.leads import DOWER, body_field, from_electrodes, project


def holds(leads: np.ndarray) -> None:
    i, ii, iii, avr, avl, avf = leads[:6]
    np.testing.assert_allclose(i + iii, ii, atol=1e-12)
    np.testing.assert_allclose(avr, -(i + ii) / 2, atol=1e-12)
    np.testing.assert_allclose(avl, (i - iii) / 2, atol=1e-12)
    np.testing.assert_allclose(avf, (ii + iii) / 2, atol=1e-12)


@pytest.mark.parametrize("name", SCENARIOS)
def test_einthoven_and_goldberger_hold_before_noise(name):
    holds(simulate(name, seed=11).clean_mv)


def test_they_hold_for_noise_of_electrodes_too():
    holds(from_electrodes(np.random.default_rng(0).normal(size=(9, 100))))


def test_what_all_electrodes_share_is_not_seen():
    potentials = np.random.default_rng(0).normal(size=(9, 100))
    shared = np.linspace(-5, 5, 100)
    np.testing.assert_allclose(from_electrodes(potentials + shared), from_electrodes(potentials))


def test_a_body_without_spread_is_dowers():
    field = body_field(np.random.default_rng(0), spread=0.0)
    np.testing.assert_allclose(field, DOWER)


def test_directions_are_seen_where_they_point():
    left, down, front = (project(np.eye(3)[:, [axis]], DOWER)[:, 0] for axis in range(3))
    front = -front
    assert left[0] > 0.5
    assert left[10] > 0.5
    assert down[5] > 0.5
    assert abs(down[0]) < 0.3
    assert front[7] > 1.0
    assert front[11] < 0.0
