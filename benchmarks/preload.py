"""What a detector's process finds imported already, so that imports are not timed."""

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import biosppy.signals.ecg
    import ecg_processor_py
    import neurokit2
    import sleepecg
    import ts2vg
    import wfdb.processing

__all__ = ["biosppy", "ecg_processor_py", "neurokit2", "sleepecg", "ts2vg", "wfdb"]
