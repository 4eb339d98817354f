"""What the shop cannot know: expectations given the hidden state, computed and not sampled."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from simulator.customers import People
from simulator.latent_state_path import MOST, Chances, Path
from simulator.orders import REFUNDED, SENT_AT
from simulator.records import state_changes
from simulator.rows import coded, dates
from simulator.scenario import GONE, STATES
from simulator.shared_settings import BLOCK, WEEK, Array, Plan

NAMES = pa.array(STATES)


def order_chance(plan: Plan, person: People, chance: Chances, week: int) -> Array:
    """Chance of an order in a week by customer and state, before campaign lists are drawn."""
    p = np.minimum(chance.order * plan.season[week], MOST)
    for number, campaign in enumerate(plan.scenario.campaigns):
        if campaign.week == week:
            consent = person.consents(campaign.channel, np.array(week), np.arange(BLOCK))
            listed = chance.listed[None, :] * consent[:, None]
            response = chance.base[:, number] + campaign.treated * chance.uplift[:, number]
            p = (1 - listed) * p + listed * response[:, None]
    return p


def expectations(
    plan: Plan, person: People, chance: Chances, week: int
) -> tuple[Array, Array, Array]:
    """P(no order), expected orders and P(not gone) over the horizon, by customer and state.

    Backwards over the weeks of the horizon: what is expected of a state is what this week brings
    plus what is expected of the next state.
    """
    future = np.zeros((BLOCK, len(STATES), 3), dtype=np.float32)
    future[:, :, 0] = 1.0
    future[:, :, 2] = np.arange(len(STATES)) != GONE
    without, after = chance.without.astype(np.float32), chance.after.astype(np.float32)
    for ahead in reversed(range(week, week + plan.scenario.truth.horizon_weeks)):
        p = order_chance(plan, person, chance, ahead).astype(np.float32)[:, :, None]
        gain = after @ future
        gain[:, :, 0] = 0.0
        gain[:, :, 1] += 1.0
        future = p * gain + (1 - p) * (without @ future)
    return future[:, :, 0], future[:, :, 1], future[:, :, 2]


def snapshots(
    plan: Plan, person: People, chance: Chances, path: Path, ids: pa.Array, known: Array
) -> pa.Table:
    """The truth at each truth date, of everyone the shop knew by then.

    Returns
    -------
    Table
        One row a customer and snapshot: customer_id, snapshot_at (date), horizon_days, state
        (latent), alive (not gone), p_alive (not gone at the end of the horizon), p_no_purchase,
        p_first_purchase (null: has bought before), expected_orders, expected_spend (money, net of
        the refunds of the horizon's orders), hazard_<state> (chance of being in that state a week
        later). All given the latent state and traits, campaigns counted before they are drawn.
    """
    parts = []
    low, high = REFUNDED
    kept = 1 - plan.scenario.engagement.refund_share * (low + high) / 2
    for week in plan.scenario.truth.at_weeks:
        at = plan.origin + week * WEEK
        who = np.flatnonzero((known >= 0) & (known < at))
        state = path.state[who, week]
        silent, orders, alive = (
            part[who, state] for part in expectations(plan, person, chance, week)
        )
        p = order_chance(plan, person, chance, week)[who, state][:, None]
        hazard = p * chance.after[state] + (1 - p) * chance.without[who, state]
        bought = path.ordered[who, :week].any(axis=1)
        columns = {
            "customer_id": ids.take(pa.array(who)),
            "snapshot_at": dates(np.full(len(who), at)),
            "horizon_days": np.full(len(who), plan.scenario.truth.horizon_weeks * 7),
            "state": coded(state, NAMES),
            "alive": state != GONE,
            "p_alive": alive,
            "p_no_purchase": silent,
            "p_first_purchase": pa.array(1 - silent, mask=bought),
            "expected_orders": orders,
            "expected_spend": (orders * person.order_value[who] * kept).astype(np.float32),
        }
        for code, name in enumerate(STATES):
            columns[f"hazard_{name}"] = hazard[:, code].astype(np.float32)
        parts.append(pa.table(columns))
    return pa.concat_tables(parts)


def uplift(plan: Plan, chance: Chances, path: Path, ids: pa.Array, known: Array) -> pa.Table:
    """Effects of the campaigns: one row a campaign and customer known before it.

    Columns: customer_id, campaign_id, snapshot_at (date of the send), state (latent), listed,
    treated, p_control (chance of an order in 7 days untreated), uplift (added by the treatment).
    For customers off the list both are what they would have been on it.
    """
    parts = []
    for number, campaign in enumerate(plan.scenario.campaigns):
        at = plan.origin + campaign.week * WEEK
        who = np.flatnonzero((known >= 0) & (known < at + SENT_AT))
        parts.append(
            pa.table(
                {
                    "customer_id": ids.take(pa.array(who)),
                    "campaign_id": pa.repeat(campaign.id, len(who)),
                    "snapshot_at": dates(np.full(len(who), at)),
                    "state": coded(path.state[who, campaign.week], NAMES),
                    "listed": path.arm[who, number] >= 0,
                    "treated": path.arm[who, number] == 1,
                    "p_control": chance.base[who, number].astype(np.float32),
                    "uplift": chance.uplift[who, number].astype(np.float32),
                }
            )
        )
    return (
        pa.concat_tables(parts) if parts else pa.table({"customer_id": pa.array([], pa.string())})
    )


def traits(plan: Plan, person: People, path: Path, ids: pa.Array, known: Array) -> pa.Table:
    """Hidden traits: one row a customer.

    Columns: customer_id, joined_at, gone_at (date of drop-out, null: still there), the factors and
    scores of `People`, order_value (mean money an order), and for every attribute
    `favourite_<attribute>` with `favourite_<attribute>_share`.
    """
    who = np.flatnonzero(known >= 0)
    gone = path.state[who] == GONE
    left = np.where(gone.any(axis=1), plan.origin + np.argmax(gone, axis=1) * WEEK, -1)
    columns = {
        "customer_id": ids.take(pa.array(who)),
        "joined_at": dates(plan.origin + person.join_week[who] * WEEK),
        "gone_at": dates(left),
        "order_value": person.order_value[who],
    }
    for name in (
        "activity",
        "ordering",
        "dropping",
        "converting",
        "opening",
        "redeeming",
        "satisfaction",
        "deal_score",
        "age_score",
        "distance_score",
    ):
        columns[name] = getattr(person, name)[who].astype(np.float32)
    for name, favourite in person.favourite.items():
        columns[f"favourite_{name}"] = coded(favourite[who], pa.array(plan.choices[name]))
        columns[f"favourite_{name}_share"] = person.favourite_share[name][who].astype(np.float32)
    return pa.table(columns)


def states(plan: Plan, path: Path, ids: pa.Array) -> pa.Table:
    """Latent paths: customer_id, from_at (date), state; one row a change."""
    customer, week, state = state_changes(plan, path)
    return pa.table(
        {
            "customer_id": ids.take(pa.array(customer)),
            "from_at": dates(plan.origin + week.astype(np.int64) * WEEK),
            "state": coded(state, NAMES),
        }
    )
