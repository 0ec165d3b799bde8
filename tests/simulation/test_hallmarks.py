"""Each finding shows what it is told by; measured on the signal, not read off the scenario."""

import itertools

import numpy as np
import pytest

from serve_app.simulation import Scenario


@pytest.mark.parametrize("rate_bpm", [45.0, 72.0, 110.0, 140.0])
def test_rate_is_as_asked(traces, rate_bpm):
    for trace in traces(Scenario(rate_bpm=rate_bpm), seeds=5):
        assert trace.simulated.rate_bpm == pytest.approx(rate_bpm, rel=0.06)


def test_sinus_rate_follows_breathing(traces):
    sdnn_ms = [1000 * trace.rr_s.std() for trace in traces("sinus", seeds=20)]
    assert 5 < np.median(sdnn_ms) < 60


@pytest.mark.parametrize("pr_ms", [130.0, 160.0, 240.0, 300.0])
def test_pr_interval_is_as_asked(traces, pr_ms):
    """P peaks about 60 ms after it begins, R about 40 ms after QRS does."""
    found = [t.p_before_r_s() for t in traces(Scenario(pr_ms=pr_ms, rate_bpm=65))]
    assert 1000 * np.median(found) == pytest.approx(pr_ms - 20, abs=25)


def test_first_degree_block_is_longer_than_200_ms(traces):
    for first, usual in zip(traces("first degree block"), traces("sinus"), strict=True):
        begin_s = first.qrs_s()[0]
        # From the peak of P alone it is so long already, but for the 50 ms that P takes to rise.
        assert first.p_before_r_s() + begin_s + 0.05 > 0.2
        assert usual.p_before_r_s() + usual.qrs_s()[0] + 0.05 < 0.2


@pytest.mark.parametrize("name", ["rbbb", "lbbb", "bifascicular", "pacemaker"])
def test_blocks_and_paced_beats_are_wide(traces, name):
    widths = [trace.qrs_ms() for trace in traces(name, seeds=15)]
    assert np.median(widths) > 120
    assert np.mean(np.array(widths) > 105) > 0.85


@pytest.mark.parametrize("name", ["sinus", "atrial fibrillation", "supraventricular tachycardia"])
def test_own_beats_are_narrow(traces, name):
    widths = np.array([trace.qrs_ms() for trace in traces(name, seeds=15)])
    assert np.median(widths) < 95
    # A fast T wave or an f wave may be taken for its end.
    assert (widths < 115).mean() >= 0.75


def test_right_bundle_branch_block_ends_to_the_right_and_front(traces):
    for trace in traces("rbbb"):
        assert trace.at("V1", 0.055) > 0.1
        assert trace.at("I", 0.055) < -0.03


def test_left_bundle_branch_block_is_negative_in_v1_and_broad_in_v6(traces):
    negative = [
        trace.at("V1", 0.02) < -0.3 and trace.at("V6", 0.02) > 0.2 for trace in traces("lbbb")
    ]
    assert np.mean(negative) >= 0.8


def test_bifascicular_block_has_a_left_axis(traces):
    axes = [t.at("aVF", 0.015) for t in traces("bifascicular", seeds=15)]
    assert np.median(axes) < -0.1


def test_fibrillation_is_irregular_and_has_no_p(traces):
    fibrillation, sinus = traces("atrial fibrillation"), traces("sinus")
    assert min(t.rr_s.std() / t.rr_s.mean() for t in fibrillation) > 0.1
    assert max(t.rr_s.std() / t.rr_s.mean() for t in sinus) < 0.15
    for trace in fibrillation:
        assert not trace.simulated.activity.p_s


def test_flutter_has_its_frequency(traces):
    for trace in traces("atrial flutter"):
        lead = trace.lead("aVF")
        spectrum = np.abs(np.fft.rfft(lead * np.hanning(len(lead)))) ** 2
        frequencies = np.fft.rfftfreq(len(lead), 1 / trace.fs_hz)
        flutter_hz = 1 / trace.simulated.activity.flutter_s
        assert 4 <= flutter_hz <= 5.5
        near = np.abs(frequencies - flutter_hz) < 0.2
        around = (np.abs(frequencies - flutter_hz) < 0.9) & ~near
        assert spectrum[near].max() > 2 * np.median(spectrum[around])
        ratio = np.median(trace.rr_s) * flutter_hz
        assert ratio == pytest.approx(round(ratio), abs=0.1)


def test_extrasystoles_are_early_wide_and_followed_by_a_pause(traces):
    seen = 0
    for trace in traces("pvc", seeds=12):
        beats, rr = trace.simulated.beats, trace.rr_s
        usual = np.median(rr)
        for i, beat in enumerate(beats[1:-1], start=1):
            if beat.kind == "ventricular":
                seen += 1
                assert rr[i - 1] < 0.9 * usual
                assert rr[i - 1] + rr[i] == pytest.approx(2 * usual, rel=0.15)
    assert seen > 8


def test_bigeminy_alternates(traces):
    for trace in traces("bigeminy"):
        kinds = [beat.kind for beat in trace.simulated.beats]
        assert all(a != b for a, b in itertools.pairwise(kinds))


def test_ventricular_tachycardia_is_fast_wide_and_regular(traces):
    for trace in traces("ventricular tachycardia"):
        assert trace.simulated.rate_bpm > 150
        assert trace.rr_s.std() / trace.rr_s.mean() < 0.05
        assert {beat.kind for beat in trace.simulated.beats} == {"ventricular"}


def test_wenckebach_grows_and_drops(traces):
    for trace in traces("wenckebach"):
        activity = trace.simulated.activity
        r_s = np.array([beat.r_s for beat in activity.beats])
        pr_s = [
            float(r_s[(r_s > p)][0] - p) for p in activity.p_s if len(r_s[r_s > p]) and 1 < p < 9
        ]
        assert max(pr_s) - min(pr_s) > 0.06
        assert len(activity.beats) < len(activity.p_s)


def test_mobitz_drops_with_a_constant_pr(traces):
    for trace in traces("mobitz"):
        activity = trace.simulated.activity
        p_s = np.array(activity.p_s)
        pr_s = [float(beat.r_s - p_s[p_s < beat.r_s][-1]) for beat in activity.beats]
        assert np.ptp(pr_s) < 0.001
        assert len(activity.beats) < 0.85 * len(p_s)


def test_complete_block_has_two_rates(traces):
    for trace in traces("complete block"):
        atria = np.diff(trace.simulated.activity.p_s)
        assert np.median(trace.rr_s) > 1.3 * np.median(atria)
        assert trace.rr_s.std() / trace.rr_s.mean() < 0.05


def test_pre_excitation_is_short_and_slurred(traces):
    excited, usual = traces("wpw", seeds=15), traces("sinus", seeds=15)
    longer_ms = np.median([t.qrs_ms() for t in excited]) - np.median([t.qrs_ms() for t in usual])
    assert longer_ms > 15
    assert np.median([trace.p_before_r_s() + trace.qrs_s()[0] for trace in excited]) < 0.1


@pytest.mark.parametrize(
    ("territory", "lead", "opposite"),
    [
        ("inferior", "III", "aVL"),
        ("anterior", "V3", None),
        ("septal", "V2", None),
        ("lateral", "I", "III"),
    ],
)
def test_acute_infarction_lifts_st_over_its_territory(traces, territory, lead, opposite):
    acute = traces(Scenario(territory=territory, repolarisation="acute"), seeds=12)
    usual = traces(Scenario(), seeds=12)
    lifted = np.median([t.at(lead, 0.09) for t in acute]) - np.median(
        [t.at(lead, 0.09) for t in usual]
    )
    assert lifted > 0.08
    if opposite:
        lowered = np.median([t.at(opposite, 0.09) for t in acute]) - np.median(
            [t.at(opposite, 0.09) for t in usual]
        )
        assert lowered < -0.04


def test_old_infarction_leaves_q_waves(traces):
    def first_forces(scenario: Scenario, lead: str) -> float:
        return float(np.median([t.at(lead, -0.022) for t in traces(scenario, seeds=12)]))

    for territory, lead in (("inferior", "aVF"), ("anterior", "V3"), ("lateral", "aVL")):
        old = first_forces(Scenario(territory=territory, repolarisation="old"), lead)
        assert old < first_forces(Scenario(), lead) - 0.08
        assert old < 0


def test_pacemakers_have_spikes(traces):
    """Steeper than any heart, at a kilohertz, before every paced beat."""
    steep = [np.abs(np.diff(t.simulated.clean_mv)).max() for t in traces("pacemaker", fs_hz=1000.0)]
    own = [np.abs(np.diff(t.simulated.clean_mv)).max() for t in traces("lbbb", fs_hz=1000.0)]
    assert np.median(steep) > 2 * np.median(own)


def test_atrial_extrasystoles_are_early_and_narrow_with_another_p(traces):
    seen = 0
    for trace in traces(Scenario(ectopy="pac"), seeds=10):
        activity = trace.simulated.activity
        assert {beat.kind for beat in activity.beats} == {"conducted"}
        r_s = np.array([beat.r_s for beat in activity.beats])
        rr_s = np.diff(r_s)
        assert rr_s.min() > 0.3
        for p_s in activity.ectopic_p_s:
            led = int(np.searchsorted(r_s, p_s))
            assert rr_s[led - 1] < 0.9 * np.median(rr_s)
            seen += 1
    assert seen >= 10
