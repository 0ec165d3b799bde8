"""Labelled recordings in; figures with intervals, a plot and a calibration out.

LABELS.csv -> LabelledSet -> joined scores -> Evaluation -> report. scikit-learn and matplotlib
come with the extra ``evaluate`` and are imported where they are used.
"""
