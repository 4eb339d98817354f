"""MLflow: runs, registered versions with sealed artifacts, model cards, promotion, champion terms.

Begin with `registry.py`, which registers and loads versions; `tracking.py` writes runs,
`promotion.py` and `guardrails.py` decide whether a challenger replaces the champion. May import
`evaluation` and the folders before it.
"""
