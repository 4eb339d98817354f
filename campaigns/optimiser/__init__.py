"""Assignment of campaigns to customers with the highest value under caps, capacities and budgets.

Begin with `exact.py`, which solves small problems exactly and passes large ones to `greedy.py`.
`problem.py` holds problem and solution, `shadow_prices.py` the linear relaxation,
`lagrangian_bound.py` the upper bound. Imports only numpy and scipy.
"""
