"""How good models are: tests at a gate, back-tests over origins, intervals, warnings.

Begin with `evaluate.py`; `backtest.py` repeats it over past dates. May import `tasks` and what
comes before it.
"""
