"""Building blocks of the flows: workspace, console, Prefect, campaign plans, privacy, measurement.

A service imports `features`, `models`, `campaigns` and other services; never a flow, a check or a
command. Begin with `workspace.py`: the output folder with its config and archive.
"""
