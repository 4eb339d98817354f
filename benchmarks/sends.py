"""Randomised sends of the reference scenario with their hidden effects, made in memory.

Only what the sends need is simulated (people, their weeks, orders, messages); the streams of random
numbers are those of `stagecast simulate`, so the people and sends are the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from simulator import engagement, records, scenario
from simulator.customers import people
from simulator.latent_state_path import chances, walk
from simulator.orders import SENT_AT, orders
from simulator.rows import CODE, Rows
from simulator.scenario import Lifecycle
from simulator.shared_settings import BLOCK, WEEK, Plan, plan, streams

COVARIATES = [
    "age",
    "urban",
    "distance_km",
    "household_size",
    "orders_before",
    "weeks_since_order",
    "clicks_before",
    "redemptions_before",
]


@dataclass(frozen=True)
class Send:
    """One send: `people` has a row a customer on its list, `week` is when it went out.

    Columns: customer (number), treatment, propensity, responded, `COVARIATES` as of the send,
    uplift (true, hidden), order_value (true mean), silent (no order in the 13 weeks after the
    week of the send).
    """

    campaign: str
    week: int
    people: pd.DataFrame


def shared(seed: int) -> Plan:
    """Plan of the reference scenario."""
    spec = scenario.load("reference")
    if not isinstance(spec, Lifecycle):
        raise TypeError("the reference scenario has no life cycle")
    return plan(spec, seed)


def sends(seed: int, customers: int) -> dict[str, Send]:
    """All sends to the first `customers` of a simulation, by campaign."""
    common = shared(seed)
    parts = [_block(common, block, customers) for block in range(-(-customers // BLOCK))]
    rows = pd.concat(parts, ignore_index=True)
    return {
        each.id: Send(
            each.id, each.week, rows[rows["campaign_id"] == each.id].reset_index(drop=True)
        )
        for each in common.scenario.campaigns
    }


def _block(common: Plan, block: int, customers: int) -> pd.DataFrame:
    stream = streams(common.seed, block)
    person = people(common, stream["people"], block)
    chance = chances(common, person, stream["people"])
    path = walk(common, person, chance, stream["path"])
    gathered = Rows()
    made = orders(common, person, path, stream["orders"], gathered)
    engagement.message(common, person, path, stream["messages"], gathered)
    happened = gathered.sorted(before=common.end)
    numbers = np.arange(person.first, person.first + BLOCK)
    table = records.experiments(
        common, person, path, made, happened, records.customer_ids(person.first)
    ).to_pandas()
    redeemed = np.flatnonzero(happened["kind"] == CODE["redemption"])
    parts = []
    for number, campaign in enumerate(common.scenario.campaigns):
        mine = table[table["campaign_id"] == campaign.id].copy()
        who = np.flatnonzero(path.arm[:, number] >= 0)
        at = common.origin + campaign.week * WEEK + SENT_AT
        before = happened["customer"][redeemed[happened["at"][redeemed] < at]]
        after = path.ordered[who, campaign.week + 1 : campaign.week + 14]
        mine["customer"] = numbers[who]
        mine["redemptions_before"] = np.bincount(before, minlength=BLOCK)[who]
        mine["uplift"] = chance.uplift[who, number]
        mine["order_value"] = person.order_value[who]
        mine["silent"] = (~after.any(axis=1)).astype(float)
        parts.append(mine[mine["customer"] < customers])
    return pd.concat(parts, ignore_index=True)
