"""Customers who buy exactly as BG/NBD and Gamma-Gamma say, and the posterior that knows it.

After Fader, Hardie and Lee (2005), "Counting your customers" the easy way, and Fader and Hardie
(2013), the Gamma-Gamma model of monetary value. Time is in weeks since the first purchase.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from scipy.special import hyp2f1

from simulator.orders import ID_BITS
from simulator.records import customer_ids
from simulator.rows import CODED, Rows, dates, event_table
from simulator.scenario import Btyd, MoneyParameters, PurchaseParameters
from simulator.shared_settings import BLOCK, DAY, WEEK, Array, origin


@dataclass(frozen=True)
class Buyers:
    """Latent customers of a block and their purchases.

    Attributes
    ----------
    rate, drop_chance, scale
        Purchases a week, chance to leave after each repeat purchase, mean money a purchase.
    first_at, left_at
        Seconds since 1970; `left_at` is far beyond the end for those who are still there.
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


def buyers(scenario: Btyd, seed: int, block: int) -> Buyers:
    """Draw one block of customers with all their purchases."""
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, 1 + block])))
    spec, money, start = scenario.purchases, scenario.money, origin(scenario)
    end = start + scenario.weeks * WEEK
    rate = rng.gamma(spec.r, 1 / spec.alpha, BLOCK)
    drop = rng.beta(spec.a, spec.b, BLOCK)
    nu = rng.gamma(money.q, 1 / money.gamma, BLOCK)
    first = start + (rng.random(BLOCK) * scenario.joins_within_weeks * WEEK).astype(np.int64)
    who, when = [np.arange(BLOCK)], [first]
    left = np.full(BLOCK, end + 1000 * WEEK)
    now, there = first.astype(np.float64), np.ones(BLOCK, dtype=bool)
    while there.any():
        # Every customer draws in every round: nobody's history hangs on another's.
        now = now + rng.standard_exponential(BLOCK) / np.maximum(rate, 1e-12) * WEEK
        leaves = rng.random(BLOCK) < drop
        there &= now < end
        who.append(np.flatnonzero(there))
        when.append(now[there].astype(np.int64))
        left = np.where(there & leaves, now, left).astype(np.int64)
        there &= ~leaves
    customer, at = np.concatenate(who), np.concatenate(when)
    amount = np.maximum(np.round(rng.gamma(money.p, 1 / nu[customer]), 2), 0.01)
    return Buyers(rate, drop, money.p / nu, first, left, customer, at, amount)


def tables(scenario: Btyd, seed: int, block: int, customers: int) -> dict[str, pa.Table]:
    """Events, latents and truth of one block, cut to the first `customers` of the simulation."""
    drawn, first = buyers(scenario, seed, block), block * BLOCK
    ids, here = customer_ids(first), min(BLOCK, customers - first)
    end = origin(scenario) + scenario.weeks * WEEK
    rows = Rows()
    order = np.arange(len(drawn.at))
    orders = (first << ID_BITS) + order
    rows.add("purchase", drawn.customer, drawn.at, value=drawn.amount, order_id=orders)
    happened = rows.sorted(before=end)
    happened["number"], happened["known"] = np.arange(len(order)), happened["at"]
    kept = {name: column[happened["customer"] < here] for name, column in happened.items()}
    nothing = {name: pa.array([], pa.string()) for name in CODED}
    who = np.arange(here)
    names = ids.take(pa.array(who))
    latents = pa.table(
        {
            "customer_id": names,
            "joined_at": dates(drawn.first_at[who]),
            "gone_at": dates(np.where(drawn.left_at < end, drawn.left_at, -1)[who]),
            "rate_a_week": drawn.rate[who],
            "drop_chance": drawn.drop_chance[who],
            "order_value": drawn.scale[who],
        }
    )
    return {
        "events": event_table(kept, nothing, ids=ids, first_id=first << ID_BITS),
        "truth/customers": latents,
        "truth/snapshots": snapshots(scenario, drawn, ids, here),
    }


def snapshots(scenario: Btyd, drawn: Buyers, ids: pa.Array, here: int) -> pa.Table:
    """The truth and the posterior at each truth date, of all who have bought by then.

    Returns
    -------
    Table
        customer_id, snapshot_at, horizon_days; history x (repeat purchases), t_x, T (weeks), n and
        mean_value (of all purchases); given the latents: alive, p_no_purchase, expected_orders,
        expected_spend (money); given the history alone, so within anyone's reach, and the best
        possible: posterior_p_alive, posterior_p_no_purchase, posterior_orders, posterior_value
        (money a purchase), posterior_spend.
    """
    horizon, parts = scenario.truth.horizon_weeks, []
    for week in scenario.truth.at_weeks:
        at = origin(scenario) + week * WEEK
        before = drawn.at < at
        count = np.bincount(drawn.customer[before], minlength=BLOCK)
        money = np.bincount(drawn.customer[before], drawn.amount[before], minlength=BLOCK)
        last = drawn.first_at.copy()
        np.maximum.at(last, drawn.customer[before], drawn.at[before])
        who = np.flatnonzero((drawn.first_at < at) & (np.arange(BLOCK) < here))
        x, t_x = (count - 1)[who], (last - drawn.first_at)[who] / WEEK
        age = (at - drawn.first_at[who]) / WEEK
        mean = money[who] / count[who]
        alive, rate, drop = (drawn.left_at >= at)[who], drawn.rate[who], drawn.drop_chance[who]
        orders = np.where(alive, -np.expm1(-rate * drop * horizon) / np.maximum(drop, 1e-12), 0.0)
        value = posterior_value(scenario.money, count[who], mean)
        expected = posterior_orders(scenario.purchases, x, t_x, age, horizon)
        p_alive = posterior_alive(scenario.purchases, x, t_x, age)
        parts.append(
            pa.table(
                {
                    "customer_id": ids.take(pa.array(who)),
                    "snapshot_at": dates(np.full(len(who), at // DAY * DAY)),
                    "horizon_days": np.full(len(who), horizon * 7),
                    "x": x,
                    "t_x": t_x,
                    "T": age,
                    "n": count[who],
                    "mean_value": mean,
                    "alive": alive,
                    "p_no_purchase": np.where(alive, np.exp(-rate * horizon), 1.0),
                    "expected_orders": orders,
                    "expected_spend": orders * drawn.scale[who],
                    "posterior_p_alive": p_alive,
                    "posterior_p_no_purchase": 1 - p_alive * _buys(scenario, x, age, horizon),
                    "posterior_orders": expected,
                    "posterior_value": value,
                    "posterior_spend": expected * value,
                }
            )
        )
    return pa.concat_tables(parts)


def _buys(scenario: Btyd, x: Array, age: Array, horizon: float) -> Array:
    """P(a purchase within the horizon | alive, history): the rate's posterior is a gamma."""
    spec = scenario.purchases
    return 1 - ((spec.alpha + age) / (spec.alpha + age + horizon)) ** (spec.r + x)


def _odds_gone(spec: PurchaseParameters, x: Array, t_x: Array, age: Array) -> Array:
    """Odds of having left, given the history; no customer leaves before a repeat purchase."""
    ratio = (spec.alpha + age) / (spec.alpha + t_x)
    odds = spec.a / (spec.b + np.maximum(x, 1) - 1) * ratio ** (spec.r + x)
    return np.where(x > 0, odds, 0.0)


def posterior_alive(spec: PurchaseParameters, x: Array, t_x: Array, age: Array) -> Array:
    """P(alive | x, t_x, T) of BG/NBD."""
    return 1 / (1 + _odds_gone(spec, x, t_x, age))


def posterior_orders(
    spec: PurchaseParameters, x: Array, t_x: Array, age: Array, horizon: float
) -> Array:
    """Expected purchases within the horizon given (x, t_x, T): equation 10 of the BG/NBD paper."""
    r, alpha, a, b = spec.r, spec.alpha, spec.a, spec.b
    shrunk = ((alpha + age) / (alpha + age + horizon)) ** (r + x)
    series = hyp2f1(r + x, b + x, a + b + x - 1, horizon / (alpha + age + horizon))
    expected = (a + b + x - 1) / (a - 1) * (1 - shrunk * series)
    return expected / (1 + _odds_gone(spec, x, t_x, age))


def posterior_value(spec: MoneyParameters, n: Array, mean: Array) -> Array:
    """Expected money a purchase given n amounts of some mean: Gamma-Gamma."""
    return spec.p * (spec.gamma + n * mean) / (spec.p * n + spec.q - 1)
