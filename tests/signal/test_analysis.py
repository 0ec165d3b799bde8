"""Whole recordings: rate, rhythm, and what is withheld when the signal does not carry it."""

import csv
import json
import math

import ecg_processor_py as ecg
import numpy as np
import pytest
import scipy.io
from ecg_processor_py import ECGAnalysisConfig, InvalidSignalError


def _beats(rr_ms):
    return (150 + np.concatenate([[0], np.cumsum(rr_ms)]) / 2).round().astype(int).tolist()


def _analyze(analyzer, strip, rr_ms, **options):
    beats = _beats(rr_ms)
    x = strip(beats, samples=beats[-1] + 200)
    x = x + 0.002 * np.random.default_rng(0).standard_normal(len(x))
    return analyzer.analyze(x, ECGAnalysisConfig(**options))


def _kinds(result):
    return [(anomaly.kind, anomaly.severity) for anomaly in result.anomalies]


@pytest.mark.parametrize("bpm", [30, 45, 72, 100, 150, 220])
def test_the_rate_of_a_known_rhythm(analyzer, strip, bpm):
    result = _analyze(analyzer, strip, [60_000 / bpm] * 14)
    assert result.heart_rate == pytest.approx(bpm, abs=1)
    assert len(result.qrs_peaks) == 15
    np.testing.assert_allclose(result.rr_intervals, np.diff(result.qrs_peaks) * 2.0)


def test_a_real_recording(analyzer, mitdb):
    record = mitdb[0]
    x = record.signal_mv[:, :108_000]
    result = analyzer.analyze(x, ECGAnalysisConfig(sampling_rate=record.fs_hz))
    beats = record.beats[record.beats < 108_000]
    rate = 60 * record.fs_hz / np.diff(beats).mean()
    assert result.heart_rate == pytest.approx(rate, abs=0.2)
    # 25.37 without the atrial beats, of which two are near enough to pass for normal.
    assert result.hrv_metrics.sdnn_ms == pytest.approx(25.37, abs=2.5)
    assert result.signal_quality > 0.8
    assert result.processing_time_ms > 0
    assert len(result.lead_quality) == 2


def test_white_noise_is_accepted_and_gives_no_rhythm(analyzer):
    for seed in range(20):
        x = np.random.default_rng(seed).standard_normal(5000)
        result = analyzer.analyze(x)
        assert math.isnan(result.heart_rate)
        assert result.signal_quality < 0.2
        assert result.anomalies == ()
        assert result.hrv_metrics is None
        assert f"{result.heart_rate:.1f} {result.signal_quality:.2f}".startswith("nan")


def test_a_flat_signal(analyzer):
    result = analyzer.analyze(np.zeros((12, 5000)))
    assert result.signal_quality == 0.0
    assert len(result.qrs_peaks) == 0
    assert len(result.rr_intervals) == 0
    assert math.isnan(result.heart_rate)


def test_anomalies_of_known_rhythms(analyzer, strip):
    assert _kinds(_analyze(analyzer, strip, [800] * 12)) == []
    assert _kinds(_analyze(analyzer, strip, [500] * 16)) == [("tachycardia", "low")]
    assert _kinds(_analyze(analyzer, strip, [350] * 20)) == [("tachycardia", "high")]
    assert _kinds(_analyze(analyzer, strip, [1600] * 9)) == [("bradycardia", "high")]
    pause = _analyze(analyzer, strip, [800] * 5 + [3200] + [800] * 5)
    assert _kinds(pause) == [("pause", "high")]
    assert pause.anomalies[0].end_s - pause.anomalies[0].start_s == pytest.approx(3.2, abs=0.01)
    wild = [700, 950, 620, 850, 700, 1000, 660, 900, 700, 920]
    assert "irregular_rhythm" in [kind for kind, _ in _kinds(_analyze(analyzer, strip, wild))]


def test_one_ectopic_beat_is_neither_irregular_nor_normal(analyzer, strip):
    result = _analyze(analyzer, strip, [800] * 7 + [500, 1100] + [800] * 7)
    assert _kinds(result) == [("premature_beat", "low")]
    assert result.hrv_metrics.nn_count == 14
    assert result.hrv_metrics.sdnn_ms < 3


def test_the_alarm_limits_act(analyzer, strip):
    normal = [800] * 12
    slow = _analyze(analyzer, strip, normal, min_heart_rate=80.0)
    assert _kinds(slow) == [("bradycardia", "high")]
    fast = _analyze(analyzer, strip, normal, max_heart_rate=70.0)
    assert _kinds(fast) == [("tachycardia", "high")]


def test_what_is_switched_off_stays_away(analyzer, strip):
    result = _analyze(analyzer, strip, [350] * 20, enable_hrv=False, enable_anomaly_detection=False)
    assert result.hrv_metrics is None
    assert result.anomalies == ()
    assert result.heart_rate == pytest.approx(60_000 / 350, abs=1)


def test_the_wanted_quality_acts(analyzer, clean_lead):
    x = clean_lead + 0.3 * np.random.default_rng(0).standard_normal(clean_lead.shape)
    told = ECGAnalysisConfig(sampling_rate=360.0, min_signal_quality=0.1)
    withheld = ECGAnalysisConfig(sampling_rate=360.0, min_signal_quality=0.95)
    assert math.isfinite(analyzer.analyze(x, told).heart_rate)
    assert math.isnan(analyzer.analyze(x, withheld).heart_rate)


def test_fibrillation_is_irregular_more_often_than_sinus_rhythm(data_dir, analyzer):
    folder = data_dir / "rhythm_1lead/cinc2017"
    with (folder / "REFERENCE.csv").open() as table:
        labels = dict(csv.reader(table))
    config = ECGAnalysisConfig(sampling_rate=300.0)
    irregular = {"A": [], "N": []}
    for name, label in labels.items():
        if label in irregular:
            x = scipy.io.loadmat(folder / f"{name}.mat")["val"][0] / 1000.0
            kinds = [anomaly.kind for anomaly in analyzer.analyze(x, config).anomalies]
            irregular[label].append("irregular_rhythm" in kinds)
    assert np.mean(irregular["A"]) > 0.6
    assert np.mean(irregular["N"]) < 0.1


def test_healthy_strips_give_no_alarm(data_dir, record_of):
    """PTB-XL: sinus rhythm, certainly normal."""
    folder = data_dir / "twelve_lead/ptbxl"
    with (folder / "ptbxl_database.csv").open() as table:
        rows = [row for row in csv.DictReader(table) if "'NORM': 100" in row["scp_codes"]]
    found = []
    for row in rows:
        if "'SR'" in row["scp_codes"] and (folder / f"{row['filename_hr']}.hea").exists():
            record = record_of(folder / row["filename_hr"])
            result = ecg.ECGAnalyzerFFI().analyze(np.nan_to_num(record.p_signal.T))
            found.append([anomaly.severity for anomaly in result.anomalies])
    assert len(found) > 10
    assert all(set(severities) <= {"low"} for severities in found)
    assert sum(map(bool, found)) <= 0.1 * len(found)


def test_the_result_goes_into_json(analyzer, clean_lead):
    config = ECGAnalysisConfig(sampling_rate=np.float64(360.0))
    for x in (clean_lead, np.zeros(3600)):
        text = json.dumps(analyzer.analyze(x, config).to_dict(), allow_nan=False)
        assert json.loads(text)["processing_backend"] == analyzer.backend
    assert json.loads(text)["heart_rate"] is None


@pytest.mark.parametrize(
    ("signal", "hint"),
    [
        (np.array([]), "empty"),
        (np.zeros((0, 5000)), "empty"),
        (np.zeros(499), "at least 1 s"),
        (np.zeros((2, 3, 5000)), "shape"),
        (np.float64(3.0), "shape"),
        (np.full(5000, np.nan), "not finite at sample 0"),
        (np.r_[np.zeros(4000), np.inf, np.zeros(999)], "not finite at sample 4000"),
        (np.full(5000, 1e9), "check the units"),
        (np.zeros(5000, dtype=complex), "real numbers"),
        (np.zeros(5000, dtype=bool), "real numbers"),
        (["a"] * 5000, "real numbers"),
        ("an ECG", "real numbers"),
        (None, "real numbers"),
        ([[1.0, 2.0], [3.0]], "not an array"),
    ],
)
def test_what_is_no_signal_is_refused_in_words(analyzer, signal, hint):
    with pytest.raises(InvalidSignalError, match=hint):
        analyzer.analyze(signal)
    assert analyzer.get_stats()["errors"] == 1


def test_twins_agree(ludb):
    for record in ludb[:12]:
        config = ECGAnalysisConfig(sampling_rate=record.fs_hz)
        rust = ecg.ECGAnalyzerFFI(True).analyze(record.signal_mv, config).to_dict()
        python = ecg.ECGAnalyzerFFI(False).analyze(record.signal_mv, config).to_dict()
        assert rust["qrs_peaks"] == python["qrs_peaks"]
        assert rust["heart_rate"] == pytest.approx(python["heart_rate"], rel=1e-9)
        assert rust["anomalies"] == python["anomalies"]
        told = {name for name, value in python["hrv_metrics"].items() if value is not None}
        assert {name for name, value in rust["hrv_metrics"].items() if value is not None} == told
        for name in told:
            assert rust["hrv_metrics"][name] == pytest.approx(
                python["hrv_metrics"][name], rel=1e-9, abs=1e-9
            )
        assert rust["signal_quality"] == pytest.approx(python["signal_quality"], abs=1e-6)


def test_no_white_noise_has_a_rhythm(analyzer):
    for seed in range(200 if analyzer.backend == "rust" else 40):
        rng = np.random.default_rng(seed)
        for noise in (rng.standard_normal(5000), rng.uniform(-1.0, 1.0, 5000)):
            result = analyzer.analyze(noise)
            assert math.isnan(result.heart_rate), seed
            assert len(result.qrs_peaks) == 0, seed
            assert result.anomalies == (), seed


def _beating(until, gap=(0.0, 0.0), fs_hz=500.0):
    """Beats of 1 mV each 0.8 s, none within the gap."""
    t = np.arange(int(until * fs_hz)) / fs_hz
    at = [k for k in np.arange(0.4, until, 0.8) if not gap[0] < k < gap[1]]
    return np.sum([np.exp(-(((t - k) / 0.012) ** 2)) for k in at], axis=0)


@pytest.mark.parametrize("noise_mv", [0.003, 0.02])
def test_a_standstill_is_one_asystole_whatever_noise_lies_on_its_line(analyzer, noise_mv):
    for seed in range(5):
        noise = noise_mv * np.random.default_rng(seed).standard_normal(20_000)
        result = analyzer.analyze(_beating(40.0, gap=(12.0, 27.0)) + noise)
        found = [(a.kind, round(a.start_s, 1), round(a.end_s, 1)) for a in result.anomalies]
        assert found == [("asystole", 11.6, 27.6)], seed


@pytest.mark.parametrize("quiet", [slice(2000, None), slice(0, 2800)])
@pytest.mark.parametrize("leads", [1, 2, 12])
def test_leads_that_are_quiet_for_most_of_the_time_keep_their_beating(analyzer, quiet, leads):
    rng = np.random.default_rng(0)
    x = np.linspace(0.5, 1.0, leads)[:, None] * _beating(10.0)
    x[:, quiet] = 0.0
    expected = [at for at in range(200, 5000, 400) if x[0, at] > 0.1]
    result = analyzer.analyze(x + 0.003 * rng.standard_normal(x.shape))
    np.testing.assert_allclose(result.qrs_peaks, expected, atol=2)
    assert [a.kind for a in result.anomalies if a.end_s - a.start_s > 5.0] == ["asystole"]


@pytest.mark.parametrize("artefact_mv", [20.0, 400.0])
def test_a_short_artefact_takes_no_other_beats_along(analyzer, artefact_mv):
    rng = np.random.default_rng(0)
    x = _beating(10.0) + 0.01 * rng.standard_normal(5000)
    x[2100:2800] += artefact_mv / 3.0 * rng.standard_normal(700)
    result = analyzer.analyze(x)
    for beat in (at for at in range(200, 5000, 400) if not 1900 < at < 3000):
        assert np.abs(result.qrs_peaks - beat).min() <= 3, beat
