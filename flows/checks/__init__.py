"""Checks of everything that a run needs, before it begins.

`check.py` checks a config and all that it names, `machine.py` the output folder, disk and servers.
Checks import services, never a flow or a command. Begin with `check.py`.
"""
