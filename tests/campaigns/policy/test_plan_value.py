"""What a plan would have earned in logged decisions with a known truth."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from campaigns.policy.plan_value import plan_value

MEAN = {("new", "nothing"): 1.0, ("new", "note"): 1.5, ("new", "gift"): 0.5,
        ("loyal", "nothing"): 2.0, ("loyal", "note"): 2.1, ("loyal", "gift"): 4.0}  # fmt: skip


def decisions(count: int = 6_000, seed: int = 1) -> pd.DataFrame:
    """Uniform draws among note and gift, and nothing for three of ten; half cannot get a gift."""
    rng = np.random.default_rng(seed)
    rows = []
    for person in range(count):
        stage = ("new", "loyal")[rng.integers(2)]
        chances = {"nothing": 0.3, "note": 0.35, "gift": 0.35}
        if person % 2:
            chances = {"nothing": 0.3, "note": 0.7}
        offer = str(rng.choice(list(chances), p=list(chances.values())))
        reward = float(rng.random() < 0.2) * MEAN[stage, offer] * 5
        rows.append((stage, offer, chances[offer], reward, person, json.dumps(chances)))
    names = ["stage", "offer", "propensity", "reward", "person", "propensities"]
    return pd.DataFrame(rows, columns=names)


def test_the_gain_of_the_plan_is_within_its_interval() -> None:
    members = pd.DataFrame(
        {"stage": ["new", "new", "loyal"], "offer_name": ["note", "note", "gift"]}
    )
    value = plan_value("next", decisions(), members, seed=1)
    # Half of the loyal customers cannot get the gift: they get nothing.
    truth = (0.5 + (4.0 - 2.0) / 2) / 2
    assert value.over_nothing.gain_low < truth < value.over_nothing.gain_high
    assert value.over_nothing.gain == pytest.approx(truth, abs=0.25)
    assert value.over_nothing.gain_low > 0
    log = decisions()
    past = log["reward"].mean()
    assert value.over_past.gain == pytest.approx(value.over_past.value - past)
    assert value.decisions == len(log)


def test_a_stage_without_members_gets_nothing_and_an_empty_plan_adds_nothing() -> None:
    nobody = pd.DataFrame({"stage": ["other"], "offer_name": ["note"]})
    value = plan_value("next", decisions(2_000), nobody, seed=1)
    assert (value.over_nothing.gain, value.over_nothing.gain_low) == (0.0, 0.0)


def test_few_decisions_tell_nothing() -> None:
    members = pd.DataFrame({"stage": ["new"], "offer_name": ["gift"]})
    value = plan_value("next", decisions(60), members, seed=1)
    assert "50 are needed" in value.over_nothing.unknown or "10 are" in value.over_nothing.unknown
