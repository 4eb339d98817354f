"""Contracts: how long the present one has lasted, what it costs, and the one before it.

Only for data with churn by cancel events (`features.history.contract_spells`).
"""

from __future__ import annotations

from functools import partial

from features.arrays import Array
from features.table.families.feature import Feature, FeatureSpec, View

_NEVER, _UNPAID, _FIRST = "never paid", "nothing above 0 paid in it", "the first contract"
_COLUMNS = (
    ("age", "days", "days since the start of the latest contract", _NEVER),
    ("length", "days", "days that the latest contract lasted", "not ended"),
    ("paid", "days", "days from the start of the latest contract to its last payment", _NEVER),
    ("payments", "days", "payment days of the latest contract", _NEVER),
    ("trial", "days", "days from the start of the latest contract to its first payment above 0",
     _UNPAID),
    ("price", "money", "last payment above 0 of the latest contract", _UNPAID),
    ("previous", "days", "days that the contract before the latest one lasted", _FIRST),
    ("pause", "days", "days from the end of that contract to the start of the latest", _FIRST),
)  # fmt: skip


def _value(view: View, name: str) -> Array:
    values: Array = getattr(view.contracts, name)
    return view.money(values) if name == "price" else values


def contract(spec: FeatureSpec) -> list[Feature]:
    """Tenure, payments, price, trial and end of the latest contract, and the one before."""
    if not spec.contracts or "purchase" not in spec.roles:
        return []
    return [
        Feature(f"contract__{name}", unit, meaning, partial(_value, name=name), null)
        for name, unit, meaning, null in _COLUMNS
    ]
