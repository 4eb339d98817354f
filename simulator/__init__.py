"""Customers with a known truth: simulated events, and what really happened behind them.

Begin with `simulate.py`; a scenario (`scenario.py`) says who the customers are. Shares no code
with `models`, so that models are tested on something they do not know. Imports only the config
reader and the calendar of `features`.
"""
