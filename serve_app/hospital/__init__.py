"""Unattended ways in: a DICOM node and a watched folder, with one queue on disk behind them.

receiver or watcher -> Spool (on disk before it is acknowledged) -> Worker: ask, render, deliver

Nothing that was accepted is lost when the process is killed or the server is down; what cannot be
answered is set aside with its reason; every result says that it needs review.
"""
