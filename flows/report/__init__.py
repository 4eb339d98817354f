"""The life-cycle report: one HTML page for a browser, offline.

Begin with `page.py`, which assembles it from `report_data.py` and the figures beside it.
"""
