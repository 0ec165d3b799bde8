"""ECG-FM: its labels, configuration, network and checkpoints.

``labels`` needs NumPy alone; every other module imports torch, so import by name what is needed.
"""
