"""The latest contract of every customer: a plain loop, and nothing that came later."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.history.contract_spells import ContractSpells
from features.history.day_rows import DayRows
from features.table.families import catalogue
from features.table.families.feature import FeatureSpec
from tests.contract_frames import NAMES, Member, contract_columns, members
from tests.tries import tries


def day_rows(days: list[tuple[int, int, float]], customers: int) -> DayRows:
    """Rows of (customer, day, amount), one a customer and day."""
    customer, day, amount = np.array(sorted(days), dtype=np.int64).reshape(-1, 3).T
    ones = np.ones(len(day), dtype=np.int64)
    facts = {"count": ones, "value": amount, "largest": amount, "latest": amount, "last_at": ones}
    return DayRows(customer, day, day, customers, facts)


def spells(population: list[Member], at: int) -> ContractSpells:
    payments = [(i, day, v) for i, m in enumerate(population) for day, v in m.payments]
    cancels = [(i, day, 0.0) for i, m in enumerate(population) for day in m.cancels]
    size = len(population)
    return ContractSpells.of(day_rows(payments, size), day_rows(cancels, size), at)


def assert_equal_to_the_loop(population: list[Member], at: int) -> None:
    expected = contract_columns(population, at)
    columns = spells(population, at)
    for name in NAMES:
        np.testing.assert_array_equal(
            getattr(columns, name), expected[f"contract__{name}"], err_msg=name
        )


day_lists = st.lists(st.integers(0, 12), unique=True, max_size=6).map(sorted)
any_member = st.builds(
    lambda days, amounts, cancels: Member(
        [(d, float(v)) for d, v in zip(days, amounts, strict=False)], cancels
    ),
    day_lists,
    st.lists(st.sampled_from([0, 5, 7]), min_size=6, max_size=6),
    day_lists,
)


@given(population=st.lists(any_member, min_size=1, max_size=6), at=st.integers(0, 14))
@settings(max_examples=tries(100), deadline=None)
def test_contracts_are_those_of_a_plain_loop(population, at):
    assert_equal_to_the_loop(population, at)


@pytest.mark.parametrize("at", [50, 200, 400])
def test_contracts_with_trials_and_returns_are_those_of_a_plain_loop(at):
    assert_equal_to_the_loop(members(300, seed=1, days=400, trials=0.4, returns=0.5), at)


def test_events_on_or_after_the_day_change_nothing():
    population, at = members(300, seed=2, days=400, returns=0.5), 200
    past = [
        Member(
            [payment for payment in member.payments if payment[0] < at],
            [day for day in member.cancels if day < at],
        )
        for member in population
    ]
    whole, cut = spells(population, at), spells(past, at)
    for name in NAMES:
        np.testing.assert_array_equal(getattr(whole, name), getattr(cut, name))


def test_only_data_with_contracts_have_their_columns():
    def names(*, contracts: bool) -> list[str]:
        spec = FeatureSpec((30, 90), ("purchase", "cancel"), (), contracts=contracts)
        return [feature.name for feature in catalogue(spec)]

    plain, with_contracts = names(contracts=False), names(contracts=True)
    assert with_contracts == [*plain, *(f"contract__{name}" for name in NAMES)]
