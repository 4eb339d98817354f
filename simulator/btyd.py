"""Customers who buy exactly as BG/NBD and Gamma-Gamma assume, with the exact posterior.

After Fader, Hardie and Lee (2005), "Counting your customers" the easy way, and Fader and Hardie
(2013), the Gamma-Gamma model of monetary value. Time is in weeks since the first purchase.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from scipy.special import hyp2f1

from features.arrays import Array
from simulator.orders import ID_BITS
from simulator.records import customer_ids
from simulator.rows import CHOICE_COLUMNS, EventRows, dates, event_table
from simulator.scenario import BtydScenario, MoneyParameters, PurchaseParameters
from simulator.shared_settings import BLOCK_SIZE, DAY_SECONDS, WEEK_SECONDS, first_moment


@dataclass(frozen=True)
class _Buyers:
    """Latent customers of a block and their purchases.

    Attributes
    ----------
    rate, drop_chance, scale
        Purchases a week, drop-out probability after each repeat purchase, mean purchase value.
    first_at, left_at
        Seconds since 1970; `left_at` is far beyond the end for customers who are still active.
    customer, at, amount
        Of each purchase: position in the block, seconds since 1970, money.
    """

    rate: Array
    drop_chance: Array
    scale: Array
    first_at: Array
    left_at: Array
    customer: Array
    at: Array
    amount: Array


def _draw_buyers(scenario: BtydScenario, seed: int, block: int) -> _Buyers:
    """Draw one block of customers with all their purchases."""
    generator = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, 1 + block])))
    parameters, money, start = scenario.purchases, scenario.money, first_moment(scenario)
    end = start + scenario.weeks * WEEK_SECONDS
    purchase_rate = generator.gamma(parameters.r, 1 / parameters.alpha, BLOCK_SIZE)
    drop_chance = generator.beta(parameters.a, parameters.b, BLOCK_SIZE)
    inverse_scale = generator.gamma(money.q, 1 / money.gamma, BLOCK_SIZE)
    first_at = start + (
        generator.random(BLOCK_SIZE) * scenario.joins_within_weeks * WEEK_SECONDS
    ).astype(np.int64)
    buyer_rounds, moment_rounds = [np.arange(BLOCK_SIZE)], [first_at]
    left_at = np.full(BLOCK_SIZE, end + 1000 * WEEK_SECONDS)
    clock, is_active = first_at.astype(np.float64), np.ones(BLOCK_SIZE, dtype=bool)
    while is_active.any():
        # Every customer draws in every round, so that histories are independent of each other.
        clock = (
            clock
            + generator.standard_exponential(BLOCK_SIZE)
            / np.maximum(purchase_rate, 1e-12)
            * WEEK_SECONDS
        )
        drops_out = generator.random(BLOCK_SIZE) < drop_chance
        is_active &= clock < end
        buyer_rounds.append(np.flatnonzero(is_active))
        moment_rounds.append(clock[is_active].astype(np.int64))
        left_at = np.where(is_active & drops_out, clock, left_at).astype(np.int64)
        is_active &= ~drops_out
    customer, moment = np.concatenate(buyer_rounds), np.concatenate(moment_rounds)
    amount = np.maximum(np.round(generator.gamma(money.p, 1 / inverse_scale[customer]), 2), 0.01)
    return _Buyers(
        purchase_rate,
        drop_chance,
        money.p / inverse_scale,
        first_at,
        left_at,
        customer,
        moment,
        amount,
    )


def btyd_tables(
    scenario: BtydScenario, seed: int, block: int, customers: int
) -> dict[str, pa.Table]:
    """Events, hidden traits and truth of one block, limited to the first `customers`."""
    block_buyers, first_customer = _draw_buyers(scenario, seed, block), block * BLOCK_SIZE
    ids, size = customer_ids(first_customer), min(BLOCK_SIZE, customers - first_customer)
    end = first_moment(scenario) + scenario.weeks * WEEK_SECONDS
    event_rows = EventRows()
    order_numbers = np.arange(len(block_buyers.at))
    order_ids = (first_customer << ID_BITS) + order_numbers
    event_rows.add(
        "purchase",
        block_buyers.customer,
        block_buyers.at,
        value=block_buyers.amount,
        order_id=order_ids,
    )
    purchases = event_rows.sorted(before=end)
    purchases["number"], purchases["known"] = np.arange(len(order_numbers)), purchases["at"]
    kept_rows = {name: column[purchases["customer"] < size] for name, column in purchases.items()}
    no_choices = {name: pa.array([], pa.string()) for name in CHOICE_COLUMNS}
    positions = np.arange(size)
    customer_names = ids.take(pa.array(positions))
    latents = pa.table(
        {
            "customer_id": customer_names,
            "joined_at": dates(block_buyers.first_at[positions]),
            "gone_at": dates(
                np.where(block_buyers.left_at < end, block_buyers.left_at, -1)[positions]
            ),
            "rate_a_week": block_buyers.rate[positions],
            "drop_chance": block_buyers.drop_chance[positions],
            "order_value": block_buyers.scale[positions],
        }
    )
    return {
        "events": event_table(kept_rows, no_choices, ids=ids, first_id=first_customer << ID_BITS),
        "truth/customers": latents,
        "truth/snapshots": _posterior_snapshots(scenario, block_buyers, ids, size),
    }


def _posterior_snapshots(
    scenario: BtydScenario, block_buyers: _Buyers, ids: pa.Array, size: int
) -> pa.Table:
    """Truth and posterior at each truth date, for customers who have bought before it.

    Returns
    -------
    Table
        customer_id, snapshot_at, horizon_days; history x (repeat purchases), t_x, T (weeks), n and
        mean_value (of all purchases); given the hidden traits: alive, p_no_purchase,
        expected_orders, expected_spend (money); given the history alone, the best possible
        forecasts: posterior_p_alive, posterior_p_no_purchase, posterior_orders, posterior_value
        (money a purchase), posterior_spend.
    """
    horizon, snapshot_tables = scenario.truth.horizon_weeks, []
    for week in scenario.truth.at_weeks:
        snapshot_at = first_moment(scenario) + week * WEEK_SECONDS
        # Purchase count, money and last purchase of each customer before the snapshot.
        before = block_buyers.at < snapshot_at
        purchase_count = np.bincount(block_buyers.customer[before], minlength=BLOCK_SIZE)
        money_sum = np.bincount(
            block_buyers.customer[before], block_buyers.amount[before], minlength=BLOCK_SIZE
        )
        last_at = block_buyers.first_at.copy()
        np.maximum.at(last_at, block_buyers.customer[before], block_buyers.at[before])
        positions = np.flatnonzero(
            (block_buyers.first_at < snapshot_at) & (np.arange(BLOCK_SIZE) < size)
        )
        repeat_count, recency = (
            (purchase_count - 1)[positions],
            (last_at - block_buyers.first_at)[positions] / WEEK_SECONDS,
        )
        age = (snapshot_at - block_buyers.first_at[positions]) / WEEK_SECONDS
        mean_value = money_sum[positions] / purchase_count[positions]
        is_alive, purchase_rate, drop_chance = (
            (block_buyers.left_at >= snapshot_at)[positions],
            block_buyers.rate[positions],
            block_buyers.drop_chance[positions],
        )
        expected_orders = np.where(
            is_alive,
            -np.expm1(-purchase_rate * drop_chance * horizon) / np.maximum(drop_chance, 1e-12),
            0.0,
        )
        expected_value = _posterior_value(scenario.money, purchase_count[positions], mean_value)
        posterior_count = posterior_purchases(
            scenario.purchases, repeat_count, recency, age, horizon
        )
        p_alive = _posterior_alive(scenario.purchases, repeat_count, recency, age)
        snapshot_tables.append(
            pa.table(
                {
                    "customer_id": ids.take(pa.array(positions)),
                    "snapshot_at": dates(
                        np.full(len(positions), snapshot_at // DAY_SECONDS * DAY_SECONDS)
                    ),
                    "horizon_days": np.full(len(positions), horizon * 7),
                    "x": repeat_count,
                    "t_x": recency,
                    "T": age,
                    "n": purchase_count[positions],
                    "mean_value": mean_value,
                    "alive": is_alive,
                    "p_no_purchase": np.where(is_alive, np.exp(-purchase_rate * horizon), 1.0),
                    "expected_orders": expected_orders,
                    "expected_spend": expected_orders * block_buyers.scale[positions],
                    "posterior_p_alive": p_alive,
                    "posterior_p_no_purchase": 1
                    - p_alive * _purchase_probability(scenario, repeat_count, age, horizon),
                    "posterior_orders": posterior_count,
                    "posterior_value": expected_value,
                    "posterior_spend": posterior_count * expected_value,
                }
            )
        )
    return pa.concat_tables(snapshot_tables)


def _purchase_probability(scenario: BtydScenario, x: Array, age: Array, horizon: float) -> Array:
    """P(a purchase within the horizon | alive, history): the rate's posterior is a gamma."""
    parameters = scenario.purchases
    return 1 - ((parameters.alpha + age) / (parameters.alpha + age + horizon)) ** (parameters.r + x)


def _odds_gone(parameters: PurchaseParameters, x: Array, t_x: Array, age: Array) -> Array:
    """Odds of having dropped out given the history; 0 without a repeat purchase."""
    ratio = (parameters.alpha + age) / (parameters.alpha + t_x)
    odds = parameters.a / (parameters.b + np.maximum(x, 1) - 1) * ratio ** (parameters.r + x)
    return np.where(x > 0, odds, 0.0)


def _posterior_alive(parameters: PurchaseParameters, x: Array, t_x: Array, age: Array) -> Array:
    """P(alive | x, t_x, T) of BG/NBD."""
    return 1 / (1 + _odds_gone(parameters, x, t_x, age))


def posterior_purchases(
    parameters: PurchaseParameters, x: Array, t_x: Array, age: Array, horizon: float
) -> Array:
    """Expected purchases within the horizon given (x, t_x, T): equation 10 of the BG/NBD paper."""
    r, alpha, a, b = parameters.r, parameters.alpha, parameters.a, parameters.b
    shrunk = ((alpha + age) / (alpha + age + horizon)) ** (r + x)
    series = hyp2f1(r + x, b + x, a + b + x - 1, horizon / (alpha + age + horizon))
    expected = (a + b + x - 1) / (a - 1) * (1 - shrunk * series)
    return expected / (1 + _odds_gone(parameters, x, t_x, age))


def _posterior_value(parameters: MoneyParameters, n: Array, mean: Array) -> Array:
    """Expected purchase value given `n` amounts with this mean: Gamma-Gamma."""
    return parameters.p * (parameters.gamma + n * mean) / (parameters.p * n + parameters.q - 1)
