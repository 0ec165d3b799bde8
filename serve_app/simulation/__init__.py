"""A 12-lead electrocardiogram simulator: recordings whose beats and labels are known.

    from serve_app.simulation import simulate

    simulated = simulate("atrial fibrillation", seed=7)
    simulated.recording.signal_mv, simulated.r_peaks, simulated.label_names

It needs NumPy alone. What it shows is a textbook's idea of each finding, drawn with variation: good
for tests, examples and the demo model, no substitute for recordings of patients.
"""

from .scenario import SCENARIOS, Scenario, draw_scenario
from .simulated import Simulated, simulate

__all__ = ["SCENARIOS", "Scenario", "Simulated", "draw_scenario", "simulate"]
