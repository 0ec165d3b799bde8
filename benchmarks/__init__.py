"""Each module is a command, such as `python -m benchmarks.startup`; `-m benchmarks` runs all."""
