import numpy as np
import pytest

from serve_app.model.labels import LABELS
from serve_app.training.codes import CHAPMAN, CODE15, CPSC, LUDB, PTBXL, SNOMED, truth_of

NAMES = [label.name for label in LABELS]


def told(statements, vocabulary):
    truth = dict(zip(NAMES, truth_of(statements, vocabulary), strict=True))
    there = {name for name, value in truth.items() if value == 1}
    unknown = {name for name, value in truth.items() if np.isnan(value)}
    return there, unknown


@pytest.mark.parametrize(
    ("statements", "vocabulary", "there"),
    [
        (["NORM", "SR"], PTBXL, {"Sinus rhythm"}),
        (["SBRAD"], PTBXL, {"Sinus rhythm", "Bradycardia"}),
        (["CRBBB", "LAFB", "SR"], PTBXL,
         {"Right bundle branch block", "Bifascicular block", "Sinus rhythm"}),
        (["LAFB", "SR"], PTBXL, {"Sinus rhythm"}),
        (["1AVB", "SR"], PTBXL,
         {"Atrioventricular block", "1st degree atrioventricular block", "Sinus rhythm"}),
        (["3AVB"], PTBXL, {"Atrioventricular block"}),
        (["ASMI", "AFIB"], PTBXL, {"Infarction", "Atrial fibrillation"}),
        (["426177001", "164884008"], SNOMED,
         {"Sinus rhythm", "Bradycardia", "Premature ventricular contraction"}),
        (["425856008"], SNOMED, {"Ventricular tachycardia"}),
        (["59118001"], CPSC, {"Right bundle branch block"}),
        (["AF"], CHAPMAN, {"Atrial flutter"}),
        (["sinus rhythm", "iii degree av-block", "pacemaker presence"], LUDB,
         {"Sinus rhythm", "Atrioventricular block", "Electronic pacemaker"}),
        (["SB", "LBBB"], CODE15, {"Sinus rhythm", "Bradycardia", "Left bundle branch block"}),
    ],
)  # fmt: skip
def test_statements_affirm(statements, vocabulary, there):
    assert told(statements, vocabulary)[0] == there


@pytest.mark.parametrize(
    ("statements", "vocabulary", "unknown"),
    [
        (["SR", "IRBBB"], PTBXL, {"Right bundle branch block"}),
        (["SR", "LPR"], PTBXL, {"Atrioventricular block", "1st degree atrioventricular block"}),
        (["SR", "infarction?"], PTBXL, {"Infarction"}),
        (["AFIB"], PTBXL, {"Tachycardia", "Bradycardia"}),
        (["NORM"], PTBXL, {"Sinus rhythm"}),
        (["426783006", "164931005"], SNOMED, {"Infarction"}),
        (["RBBB"], CODE15, {"Sinus rhythm", "Infarction", "Electronic pacemaker"}),
        (["59118001"], CPSC, {"Sinus rhythm", "Tachycardia", "Infarction"}),
        (["sinus rhythm", "undefined ischemia/scar/supp.nstemi"], LUDB, {"Infarction"}),
    ],
)
def test_what_a_source_cannot_say_is_unknown_not_absent(statements, vocabulary, unknown):
    assert unknown <= told(statements, vocabulary)[1]


@pytest.mark.parametrize("vocabulary", [PTBXL, SNOMED, LUDB])
def test_sinus_rhythm_excludes_fibrillation(vocabulary):
    sinus = next(k for k, labels in vocabulary.affirms.items() if labels == ("Sinus rhythm",))
    truth = dict(zip(NAMES, truth_of([sinus], vocabulary), strict=True))
    assert truth["Sinus rhythm"] == 1
    assert truth["Atrial fibrillation"] == truth["Atrial flutter"] == 0
    assert truth["Supraventricular tachycardia with aberrancy"] == 0


def test_no_source_tells_of_quality_unasked():
    for vocabulary in (SNOMED, CPSC, CHAPMAN, LUDB, CODE15):
        assert "Poor data quality" in told([], vocabulary)[1]
