"""Recordings that are never in memory as a whole: live streams, and those of a day or a week.

Both go through the same parts: beats are found as the samples come, across gaps (`beats`), what
they say over the whole is told at the end (`rhythm`), and the model is asked window by window.
"""
