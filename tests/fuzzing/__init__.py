"""Damaged recordings by the thousand: `python -m tests.fuzzing`."""
