"""The contract model: drawn contracts, a loop over customers, trials, and too little data."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from scipy.special import betaln

from models.fitting.contracts import fit_contracts, with_level
from models.scorer.contracts import RETURN_DAYS, contract_risk, contract_spend, renewal_survival
from tests.contract_frames import Member, contract_columns, members

DAYS = 1_200
PLAIN = {
    "model": "sbg", "alpha": 0.8, "beta": 6.0, "c": 1.0, "period_days": 30.0, "billed": True,
    "phase": [0.0, 0.2, 1.0], "level": 1.0, "trial": None, "returns": [0.0] * len(RETURN_DAYS),
}  # fmt: skip


@pytest.fixture(scope="module")
def population() -> list[Member]:
    return members(20_000, seed=3, days=DAYS)


def test_parameters_of_drawn_contracts_of_all_ages(population):
    contract = fit_contracts(contract_columns(population, DAYS))
    assert (contract["model"], contract["c"], contract["billed"]) == ("sbg", 1.0, True)
    assert contract["alpha"] == pytest.approx(0.8, rel=0.08)
    assert contract["beta"] == pytest.approx(6.0, rel=0.08)
    assert contract["period_days"] == 30.0
    assert contract["trial"] is None
    assert json.loads(json.dumps(contract)) == contract


def test_contracts_without_payments_for_renewals_have_the_same_parameters(population):
    starts = [Member(member.payments[:1], member.cancels[:1]) for member in population]
    contract = fit_contracts(contract_columns(starts, DAYS))
    assert not contract["billed"]
    assert contract["period_days"] == 365.25 / 12
    assert contract["alpha"] == pytest.approx(0.8, rel=0.08)
    assert contract["beta"] == pytest.approx(6.0, rel=0.08)


def test_irregular_payments_are_no_renewals(population):
    generator = np.random.default_rng(8)
    irregular = [
        Member(
            [(day, v) for day, v in member.payments if generator.random() < generator.random()],
            member.cancels,
        )
        for member in population[:3_000]
    ]
    assert not fit_contracts(contract_columns(irregular, DAYS))["billed"]


@pytest.mark.parametrize("horizon", [20.0, 60.0, 90.0])
def test_the_chance_of_an_end_is_the_share_that_ended(population, horizon):
    at = DAYS - 100
    frame = contract_columns(population, at)
    contract = fit_contracts(frame)
    runs = frame["contract__length"].isna() & frame["contract__age"].notna()
    ended = np.array([any(at <= day < at + horizon for day in m.cancels) for m in population])
    risk = contract_risk(contract, frame[runs], horizon)
    assert risk.mean() == pytest.approx(ended[runs].mean(), rel=0.07)


def test_the_value_of_contracts_is_what_they_pay():
    population = members(8_000, seed=4, days=DAYS, trials=0.4, returns=0.3)
    at = DAYS - 100
    frame = contract_columns(population, at)
    contract = fit_contracts(frame)
    assert contract["trial"]["conversion"] == pytest.approx(0.6, abs=0.03)
    assert contract["trial"]["days"] == 30.0
    paid = np.array([sum(v for day, v in m.payments if at <= day < at + 90) for m in population])
    spend = contract_spend(contract, frame, 90.0)
    known, runs = frame["contract__age"].notna(), frame["contract__length"].isna()
    in_trial = known & runs & frame["contract__trial"].isna()
    for rows in (known & runs & ~in_trial, in_trial, known & ~runs):
        assert spend[rows].sum() == pytest.approx(paid[rows].sum(), rel=0.3)
    assert spend[known].sum() == pytest.approx(paid[known].sum(), rel=0.05)


def test_it_is_a_loop_over_customers():
    """Survival by scipy, the phase and the payments one customer at a time."""
    generator = np.random.default_rng(5)
    paid = 30.0 * generator.integers(0, 20, 200)
    age = paid + generator.integers(0, 30, 200)
    price = generator.choice([10.0, 20.0], 200)
    frame = pd.DataFrame({
        "contract__age": age, "contract__length": np.nan, "contract__paid": paid,
        "contract__trial": 0.0, "contract__price": price,
    })  # fmt: skip

    def survival(days: float) -> float:
        renewals, within = divmod(days / 30.0, 1.0)
        whole = [np.exp(betaln(0.8, 6.0 + t) - betaln(0.8, 6.0)) for t in (renewals, renewals + 1)]
        return whole[0] - (whole[0] - whole[1]) * np.interp(within, [0.0, 0.5, 1.0], [0, 0.2, 1])

    risk, spend = contract_risk(PLAIN, frame, 75.0), contract_spend(PLAIN, frame, 75.0)
    for i in range(200):
        assert risk[i] == pytest.approx(1 - survival(age[i] + 75.0) / survival(age[i]))
        due = [day for day in range(int(paid[i]) + 30, int(age[i]) + 75, 30) if day < age[i] + 75]
        expected = price[i] * sum(survival(day) / survival(age[i]) for day in due)
        assert spend[i] == pytest.approx(expected)


def test_survival_is_the_formula_of_the_paper():
    contract = {**PLAIN, "c": 1.3}
    powers = np.arange(13.0) ** 1.3
    formula = np.exp(betaln(0.8, 6.0 + powers) - betaln(0.8, 6.0))
    np.testing.assert_allclose(renewal_survival(contract, 12), formula, rtol=1e-9)


def test_rows_are_independent_and_customers_without_a_contract_are_worth_nothing(population):
    frame = contract_columns([*population[:300], Member()], 600)
    contract = fit_contracts(contract_columns(population, 600))
    spend = contract_spend(contract, frame, 90.0)
    for i in (0, 17, 299):
        assert contract_spend(contract, frame.iloc[[i]], 90.0)[0] == spend[i]
    assert spend[-1] == 0.0


def test_the_level_is_that_of_the_labels(population):
    frame = contract_columns(population, 900)
    contract = fit_contracts(frame)
    running = frame[frame["contract__length"].isna() & frame["contract__age"].notna()]
    half = running.assign(no_purchase=0.5 * contract_risk(contract, running, 60.0))
    assert with_level(contract, half, 60)["level"] == pytest.approx(0.5, abs=0.02)


def test_without_contracts_or_with_few_of_them_is_no_model(population):
    assert fit_contracts(None) is None
    assert fit_contracts(pd.DataFrame({"btyd__x": [1.0, 2.0]})) is None
    assert fit_contracts(contract_columns(population[:40], DAYS)) is None
    unending = [Member(member.payments) for member in population[:200]]
    assert fit_contracts(contract_columns(unending, DAYS)) is None
