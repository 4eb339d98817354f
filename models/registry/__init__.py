"""MLflow: runs, registered versions, model cards, promotion and the champion's history.

Begin with `registry.py`; `promotion.py` decides whether a challenger replaces the champion. May
import `evaluation` and what comes before it.
"""
