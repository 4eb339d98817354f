"""Plots of evaluation, back-test and monitoring, and the tables that they draw.

Begin with `task_plots.py`; `figure_style.py` holds colours and axes. Each plot has a function that
returns its numbers, which tests check. May import `evaluation`, `monitoring` and the folders before
them.
"""
