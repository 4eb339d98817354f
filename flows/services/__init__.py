"""What flows are made of: the workspace, the console, Prefect, planning, privacy, measurement.

Begin with `workspace.py`, the output folder with its config and archive. A service imports other
services, and neither a flow nor a command.
"""
