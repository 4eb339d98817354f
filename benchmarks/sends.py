"""Randomised sends of the reference scenario with their hidden effects, made in memory.

Only what the sends need is simulated (people, their weeks, orders, messages); the streams of random
numbers are those of `stagecast simulate`, so the people and sends are the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from simulator import engagement, records, scenario
from simulator.customers import draw_people
from simulator.latent_state_path import simulate_paths, transition_chances
from simulator.offers import offer_uplift
from simulator.orders import SENT_AT, add_orders
from simulator.rows import EVENT_CODES, EventRows
from simulator.scenario import LifecycleScenario, ScenarioOffer
from simulator.shared_settings import (
    BLOCK_SIZE,
    WEEK_SECONDS,
    SimulationPlan,
    make_plan,
    random_streams,
)

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
    uplift, base and of each offer uplift_NAME (true, hidden), order_value (true mean), silent (no
    order in the 13 weeks after the week of the send).
    """

    campaign: str
    week: int
    people: pd.DataFrame


def shared(seed: int) -> SimulationPlan:
    """Plan of the reference scenario."""
    spec = scenario.load_scenario("reference")
    if not isinstance(spec, LifecycleScenario):
        raise TypeError("the reference scenario has no life cycle")
    return make_plan(spec, seed)


def sends(
    seed: int, customers: int, offers: Sequence[ScenarioOffer] | None = None
) -> dict[str, Send]:
    """All sends to the first `customers` of a simulation, by campaign.

    With the effects of some offers; None: those of the scenario.
    """
    common = shared(seed)
    offers = common.scenario.offers if offers is None else offers
    blocks = range(-(-customers // BLOCK_SIZE))
    parts = [_block(common, block, customers, offers) for block in blocks]
    rows = pd.concat(parts, ignore_index=True)
    return {
        each.id: Send(
            each.id, each.week, rows[rows["campaign_id"] == each.id].reset_index(drop=True)
        )
        for each in common.scenario.campaigns
    }


def _block(
    common: SimulationPlan, block: int, customers: int, offers: Sequence[ScenarioOffer]
) -> pd.DataFrame:
    stream = random_streams(common.seed, block)
    person = draw_people(common, stream["people"], block)
    chance = transition_chances(common, person, stream["people"])
    path = simulate_paths(common, person, chance, stream["path"])
    gathered = EventRows()
    made = add_orders(common, person, path, stream["orders"], gathered)
    engagement.add_messages(common, person, path, stream["messages"], gathered)
    happened = gathered.sorted(before=common.end)
    numbers = np.arange(person.first, person.first + BLOCK_SIZE)
    table = records.experiments(
        common, person, path, made, happened, records.customer_ids(person.first)
    ).to_pandas()
    redeemed = np.flatnonzero(happened["kind"] == EVENT_CODES["redemption"])
    parts = []
    for number, campaign in enumerate(common.scenario.campaigns):
        mine = table[table["campaign_id"] == campaign.id].copy()
        who = np.flatnonzero(path.arm[:, number] >= 0)
        at = common.origin + campaign.week * WEEK_SECONDS + SENT_AT
        before = happened["customer"][redeemed[happened["at"][redeemed] < at]]
        after = path.ordered[who, campaign.week + 1 : campaign.week + 14]
        mine["customer"] = numbers[who]
        mine["redemptions_before"] = np.bincount(before, minlength=BLOCK_SIZE)[who]
        mine["uplift"] = chance.uplift[who, number]
        mine["base"] = chance.base[who, number]
        for offer in offers:
            mine[f"uplift_{offer.name}"] = offer_uplift(offer, person, chance.base[:, number])[who]
        mine["order_value"] = person.order_value[who]
        mine["silent"] = (~after.any(axis=1)).astype(float)
        parts.append(mine[mine["customer"] < customers])
    return pd.concat(parts, ignore_index=True)
