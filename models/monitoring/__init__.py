"""Monitoring of a scorer in use: drift, volume, freshness, base rates, matured performance.

`monitor.py` combines the checks of one day into findings (`findings.py`); `alarms.py` follows
alarms over days. Begin with `monitor.py`. May import `evaluation`, `serving` and the folders before
them.
"""
