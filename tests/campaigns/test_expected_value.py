"""Expected values: no chance counts twice, discounts only while the offer is valid."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from campaigns.expected_value import (
    ASSUMED_LABEL,
    RESPONSE_LABEL,
    contact_value,
    order_within_days,
)
from campaigns.playbook_loading import load_playbook
from features.errors import UserError
from tests.campaigns.campaign_examples import playbook

CONFIGS = Path(__file__).parents[2] / "configs" / "campaigns"


def customers(**columns: float) -> pd.DataFrame:
    known = {
        "clv": 100.0, "p_any_order": 0.5, "p_churn": 0.5, "clv_horizon_days": 90,
        "average_order_value": 40.0, "campaign_uplift": np.nan,
    }  # fmt: skip
    return pd.DataFrame({name: [value] for name, value in (known | columns).items()})


def value_of(
    frame: pd.DataFrame, *, offer: dict[str, object] | None = None, **value: object
) -> float:
    book = playbook(
        value={"product": ["clv"], "means": "spend", **value},
        offer=offer or {"text": "hello"},
        contact_cost=0,
    )
    return float(contact_value(book, frame, margin=np.ones(1)).expected[0])


@given(st.floats(0, 1), st.integers(1, 90), st.integers(30, 720))
def test_the_chance_of_an_order_grows_with_the_days_of_the_offer(
    chance: float, days: int, horizon: int
) -> None:
    frame = customers(p_any_order=chance, clv_horizon_days=horizon)
    within = [
        float(order_within_days(playbook(offer={"text": "x", "valid_days": n}), frame)[0])
        for n in (days, days + 1, horizon)
    ]
    assert 0 <= within[0] <= within[1] <= 1
    assert within[2] == pytest.approx(chance)


def test_a_discount_costs_only_orders_while_it_is_valid() -> None:
    offer = {"text": "10 %", "discount": 0.1, "valid_days": 30}
    chance = 1 - 0.5 ** (30 / 90)
    assert value_of(customers(), offer=offer) == pytest.approx(100 - 0.1 * chance * 40)
    # Without a chance of an order, as much as before: the discount on the expected spend.
    unknown = customers(p_any_order=np.nan)
    assert value_of(unknown, offer=offer) == pytest.approx(100 - 0.1 * 100)


@given(st.floats(0, 0.98), st.floats(1, 1000))
def test_spend_at_risk_is_what_a_stayer_spends_times_the_chance_to_leave(
    leaves: float, stayer_spends: float
) -> None:
    frame = customers(clv=stayer_spends * (1 - leaves), p_churn=leaves)
    assert value_of(frame, at_risk=True) == pytest.approx(stayer_spends * leaves, abs=1e-9)


def test_an_assumed_share_counts_that_share_and_is_named() -> None:
    frame = customers()
    assert value_of(frame, incremental_share=0.1) == pytest.approx(10)
    everybody = np.ones(1, dtype=bool)
    for share, label in ((None, RESPONSE_LABEL), (0.1, ASSUMED_LABEL)):
        book = playbook(value={"product": ["clv"], "means": "spend", "incremental_share": share})
        assert contact_value(book, frame, margin=np.ones(1)).label(everybody) == label


@pytest.mark.parametrize("product", [["p_any_order", "clv"], ["p_churn", "clv"]])
def test_a_chance_that_the_spend_contains_is_refused(tmp_path: Path, product: list[str]) -> None:
    content = yaml.safe_load((CONFIGS / "win_back.yaml").read_text(encoding="utf-8"))
    content["value"]["product"] = product
    file = tmp_path / "win_back.yaml"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    with pytest.raises(UserError, match="at_risk"):
        load_playbook(file)
