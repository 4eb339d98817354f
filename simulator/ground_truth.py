"""Truth tables: exact expectations given the hidden states, computed without sampling."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from features.arrays import Array
from simulator.customers import SimulatedPeople
from simulator.latent_state_path import HIGHEST_CHANCE, StatePaths, TransitionChances
from simulator.offers import offer_uplift
from simulator.orders import REFUNDED, SENT_AT
from simulator.records import state_changes
from simulator.rows import coded, dates
from simulator.scenario import GONE, STATES
from simulator.shared_settings import BLOCK_SIZE, WEEK_SECONDS, SimulationPlan

_STATE_NAMES = pa.array(STATES)


def _order_chances(
    plan: SimulationPlan, people: SimulatedPeople, chances: TransitionChances, week: int
) -> Array:
    """Order probability in a week before campaign lists are drawn: customer x state."""
    order_chance = np.minimum(chances.order * plan.season[week], HIGHEST_CHANCE)
    for number, campaign in enumerate(plan.scenario.campaigns):
        if campaign.week == week:
            consent = people.consents(campaign.channel, np.array(week), np.arange(BLOCK_SIZE))
            listed = chances.listed[None, :] * consent[:, None]
            response = chances.base[:, number] + campaign.treated * chances.uplift[:, number]
            order_chance = (1 - listed) * order_chance + listed * response[:, None]
    return order_chance


def _expectations(
    plan: SimulationPlan, people: SimulatedPeople, chances: TransitionChances, week: int
) -> tuple[Array, Array, Array]:
    """P(no order), expected orders and P(not gone) over the horizon: customer x state.

    Backward recursion over the weeks: the expectation of a state is this week's contribution plus
    the expectation of the next state.
    """
    future = np.zeros((BLOCK_SIZE, len(STATES), 3), dtype=np.float32)
    future[:, :, 0] = 1.0
    future[:, :, 2] = np.arange(len(STATES)) != GONE
    without, after = chances.without.astype(np.float32), chances.after.astype(np.float32)
    for future_week in reversed(range(week, week + plan.scenario.truth.horizon_weeks)):
        order_chance = _order_chances(plan, people, chances, future_week).astype(np.float32)[
            :, :, None
        ]
        after_order = after @ future
        after_order[:, :, 0] = 0.0
        after_order[:, :, 1] += 1.0
        future = order_chance * after_order + (1 - order_chance) * (without @ future)
    return future[:, :, 0], future[:, :, 1], future[:, :, 2]


def truth_snapshots(
    plan: SimulationPlan,
    people: SimulatedPeople,
    chances: TransitionChances,
    paths: StatePaths,
    ids: pa.Array,
    known_at: Array,
) -> pa.Table:
    """Truth at each truth date for all customers known before it.

    Returns
    -------
    Table
        One row a customer and snapshot: customer_id, snapshot_at (date), horizon_days, state
        (latent), alive (not gone), p_alive (not gone at the end of the horizon), p_no_purchase,
        p_first_purchase (null: has bought before), expected_orders, expected_spend (money, net of
        the refunds of the horizon's orders), hazard_<state> (chance of being in that state a week
        later). All given the latent state and traits, campaigns counted before they are drawn.
    """
    snapshot_tables = []
    lowest_refund, highest_refund = REFUNDED
    net_share = 1 - plan.scenario.engagement.refund_share * (lowest_refund + highest_refund) / 2
    for week in plan.scenario.truth.at_weeks:
        snapshot_at = plan.origin + week * WEEK_SECONDS
        positions = np.flatnonzero((known_at >= 0) & (known_at < snapshot_at))
        state = paths.state[positions, week]
        no_order, expected_orders, alive_at_end = (
            part[positions, state] for part in _expectations(plan, people, chances, week)
        )
        order_chance = _order_chances(plan, people, chances, week)[positions, state][:, None]
        hazard = (
            order_chance * chances.after[state]
            + (1 - order_chance) * chances.without[positions, state]
        )
        has_bought = paths.ordered[positions, :week].any(axis=1)
        columns = {
            "customer_id": ids.take(pa.array(positions)),
            "snapshot_at": dates(np.full(len(positions), snapshot_at)),
            "horizon_days": np.full(len(positions), plan.scenario.truth.horizon_weeks * 7),
            "state": coded(state, _STATE_NAMES),
            "alive": state != GONE,
            "p_alive": alive_at_end,
            "p_no_purchase": no_order,
            "p_first_purchase": pa.array(1 - no_order, mask=has_bought),
            "expected_orders": expected_orders,
            "expected_spend": (expected_orders * people.order_value[positions] * net_share).astype(
                np.float32
            ),
        }
        for code, name in enumerate(STATES):
            columns[f"hazard_{name}"] = hazard[:, code].astype(np.float32)
        snapshot_tables.append(pa.table(columns))
    return pa.concat_tables(snapshot_tables)


def campaign_effects(
    plan: SimulationPlan,
    people: SimulatedPeople,
    chances: TransitionChances,
    paths: StatePaths,
    ids: pa.Array,
    known_at: Array,
) -> pa.Table:
    """Campaign effects: one row a campaign and customer known before the send.

    Columns: customer_id, campaign_id, snapshot_at (date of the send), state (latent), listed,
    treated, p_control (order probability within 7 days, untreated), uplift (increase by the
    treatment), and for each offer of the scenario uplift_<offer> (increase if it were made
    instead). For customers not on the list, these values apply as if they were on it.
    """
    campaign_tables = []
    for number, campaign in enumerate(plan.scenario.campaigns):
        week_start = plan.origin + campaign.week * WEEK_SECONDS
        positions = np.flatnonzero((known_at >= 0) & (known_at < week_start + SENT_AT))
        base = chances.base[:, number]
        by_offer = {
            f"uplift_{offer.name}": offer_uplift(offer, people, base)[positions].astype(np.float32)
            for offer in plan.scenario.offers
        }
        campaign_tables.append(
            pa.table(
                {
                    "customer_id": ids.take(pa.array(positions)),
                    "campaign_id": pa.repeat(campaign.id, len(positions)),
                    "snapshot_at": dates(np.full(len(positions), week_start)),
                    "state": coded(paths.state[positions, campaign.week], _STATE_NAMES),
                    "listed": paths.arm[positions, number] >= 0,
                    "treated": paths.arm[positions, number] == 1,
                    "p_control": base[positions].astype(np.float32),
                    "uplift": chances.uplift[positions, number].astype(np.float32),
                    **by_offer,
                }
            )
        )
    return (
        pa.concat_tables(campaign_tables)
        if campaign_tables
        else pa.table({"customer_id": pa.array([], pa.string())})
    )


def hidden_traits(
    plan: SimulationPlan, people: SimulatedPeople, paths: StatePaths, ids: pa.Array, known_at: Array
) -> pa.Table:
    """Hidden traits: one row a customer.

    Columns: customer_id, joined_at, gone_at (date of drop-out, null: still active), the factors and
    scores of `SimulatedPeople`, order_value (mean value of an order, money), and for each attribute
    `favourite_<attribute>` with `favourite_<attribute>_share`.
    """
    positions = np.flatnonzero(known_at >= 0)
    is_gone = paths.state[positions] == GONE
    gone_at = np.where(
        is_gone.any(axis=1), plan.origin + np.argmax(is_gone, axis=1) * WEEK_SECONDS, -1
    )
    columns = {
        "customer_id": ids.take(pa.array(positions)),
        "joined_at": dates(plan.origin + people.join_week[positions] * WEEK_SECONDS),
        "gone_at": dates(gone_at),
        "order_value": people.order_value[positions],
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
        "hour_shift",
    ):
        columns[name] = getattr(people, name)[positions].astype(np.float32)
    for name, favourite in people.favourite.items():
        columns[f"favourite_{name}"] = coded(favourite[positions], pa.array(plan.choices[name]))
        columns[f"favourite_{name}_share"] = people.favourite_share[name][positions].astype(
            np.float32
        )
    return pa.table(columns)


def latent_paths(plan: SimulationPlan, paths: StatePaths, ids: pa.Array) -> pa.Table:
    """Latent paths: customer_id, from_at (date), state; one row a change."""
    customer, week, state = state_changes(plan, paths)
    return pa.table(
        {
            "customer_id": ids.take(pa.array(customer)),
            "from_at": dates(plan.origin + week.astype(np.int64) * WEEK_SECONDS),
            "state": coded(state, _STATE_NAMES),
        }
    )
