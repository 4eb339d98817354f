"""Simulated customers with a known truth: events as a shop sees them, and the hidden states.

A scenario (`scenario.py`, read from YAML) fixes the customers; `simulate.py` writes them block by
block: `customers.py` draws traits, `latent_state_path.py` the weekly states and orders, `orders.py`
and `engagement.py` the events, `records.py` and `ground_truth.py` the other tables. `btyd.py` is a
simpler scenario whose posterior is known in closed form. Begin with `simulate.py`.

Imports only the YAML reader, the errors, the calendar and the array type of `features`. It shares
no code with `models`, which are tested on it.
"""
