"""Orders and what comes with them: lines, coupons, refunds, surveys, and the visit before."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator.customers import People, taken
from simulator.latent_state_path import Path
from simulator.rows import Rows
from simulator.scenario import LOYAL
from simulator.shared_settings import DAY, WEEK, Array, Plan

# A campaign goes out at eight on its Monday; orders of its week come after it.
SENT_AT = 8 * 3600
# Ids of a block start at its number shifted by this many bits.
ID_BITS = 24
# Part of an order that a refund gives back: uniform between these.
REFUNDED = (0.3, 1.0)


@dataclass(frozen=True)
class Orders:
    """Orders of a block.

    Attributes
    ----------
    customer, week, at
        Who (position in the block), in which week, at which second.
    total
        Money, lines together.
    online
        Placed on the site or in the app, after a visit.
    product_type, brand
        Codes of the first line.
    """

    customer: Array
    week: Array
    at: Array
    total: Array
    online: Array
    product_type: Array
    brand: Array


def campaign_of(plan: Plan, path: Path, customer: Array, week: Array) -> tuple[Array, Array]:
    """Campaign on whose list a customer is in a week (-1 none), and their arm."""
    by_week = np.full(plan.weeks, -1, dtype=np.int16)
    for number, campaign in enumerate(plan.scenario.campaigns):
        by_week[campaign.week] = number
    sent: Array = by_week[week]
    if path.arm.shape[1] == 0:
        return sent, np.full(len(sent), -1, dtype=np.int8)
    arm = np.where(sent >= 0, path.arm[customer, sent], -1)
    return np.where(arm >= 0, sent, -1).astype(np.int16), arm


def orders(plan: Plan, person: People, path: Path, rng: np.random.Generator, rows: Rows) -> Orders:
    """All orders of a block, with their lines, coupons, refunds and surveys added to the rows."""
    customer, week = np.nonzero(path.ordered)
    number, arm = campaign_of(plan, path, customer, week)
    at = plan.moments(rng, week)
    sent = plan.origin + week.astype(np.int64) * WEEK + SENT_AT
    after = sent + 600 + (rng.random(len(week)) * (WEEK - SENT_AT - 1200)).astype(np.int64)
    at = np.where(arm >= 0, after, at)
    sd = plan.scenario.customers.order_noise_sd
    noise = np.exp(sd * rng.standard_normal(len(week)) - sd**2 / 2)
    total = person.order_value[customer] * noise
    made = _lines(plan, person, rng, rows, (customer, week, at, total))
    _coupons(plan, person, rng, rows, made, (number, arm))
    _refunds(plan, rng, rows, made, first_id(person))
    _surveys(plan, person, path, rng, rows, made)
    return made


def first_id(person: People) -> int:
    """First id of a block, of its events, orders and sessions alike."""
    return person.first << ID_BITS


def _lines(
    plan: Plan,
    person: People,
    rng: np.random.Generator,
    rows: Rows,
    order: tuple[Array, Array, Array, Array],
) -> Orders:
    """Lines of each order: its total is shared out in proportion to list price times quantity."""
    customer, week, at, total = order
    count = 1 + np.minimum(rng.poisson(0.6, len(customer)), 4)
    of = np.repeat(np.arange(len(customer)), count)
    who = customer[of]

    def line(name: str) -> Array:
        return taken(plan, rng, person, name, who)

    def whole(name: str) -> Array:
        return taken(plan, rng, person, name, customer)

    kind, brand = line("product_type"), line("brand")
    brands, each = len(plan.choices["brand"]), plan.scenario.products_each
    product = (kind.astype(np.int32) * brands + brand) * each + rng.integers(0, each, len(of))
    units = np.array([int(name) for name in plan.choices["quantity"]], dtype=np.int8)
    quantity = units[line("quantity")]
    weight = plan.prices[product] * quantity
    share = weight / np.bincount(of, weights=weight, minlength=len(customer))[of]
    place = whole("point_of_sale")
    names = plan.choices["point_of_sale"]
    online = np.array([not name.startswith("store") for name in names])[place]
    rows.add(
        "purchase",
        who,
        at[of],
        value=np.maximum(np.round(total[of] * share, 2), 0.01),
        order_id=first_id(person) + of,
        product_id=product,
        product_type=kind,
        brand=brand,
        size=line("size"),
        colour=line("colour"),
        quantity=quantity,
        payment_method=whole("payment_method")[of],
        point_of_sale=place[of],
        delivery_method=np.where(online, whole("delivery_method"), -1)[of],
        destination=np.where(online, whole("destination"), -1)[of],
    )
    first = np.cumsum(count) - count
    return Orders(customer, week, at, total, online, kind[first], brand[first])


def _coupons(
    plan: Plan,
    person: People,
    rng: np.random.Generator,
    rows: Rows,
    made: Orders,
    listed: tuple[Array, Array],
) -> None:
    """Redemptions at the till; who was treated by a campaign mostly redeems its coupon."""
    number, arm = listed
    share = person.redeeming[made.customer]
    share = np.where(arm == 1, np.maximum(share, 0.6), share)
    used = np.flatnonzero(rng.random(len(share)) < share)
    news = len(plan.scenario.campaigns) + made.week[used]
    source = np.where(arm[used] == 1, number[used], news)
    rows.add("redemption", made.customer[used], made.at[used], campaign_id=source)


def _refunds(plan: Plan, rng: np.random.Generator, rows: Rows, made: Orders, first: int) -> None:
    back = np.flatnonzero(rng.random(len(made.at)) < plan.scenario.engagement.refund_share)
    delay = rng.integers(3 * DAY, 16 * DAY, len(back))
    amount = np.round(made.total[back] * rng.uniform(*REFUNDED, len(back)), 2)
    rows.add(
        "refund", made.customer[back], made.at[back] + delay, value=-amount, order_id=first + back
    )


def _surveys(
    plan: Plan, person: People, path: Path, rng: np.random.Generator, rows: Rows, made: Orders
) -> None:
    """Recommendation scores 0-10 some days after an order."""
    asked = np.flatnonzero(rng.random(len(made.at)) < plan.scenario.engagement.nps_share)
    who = made.customer[asked]
    loyal = path.state[who, made.week[asked]] == LOYAL
    score = 7.3 + 1.7 * person.satisfaction[who] + 1.0 * loyal + rng.standard_normal(len(who))
    at = made.at[asked] + rng.integers(4 * DAY, 12 * DAY, len(asked))
    rows.add("nps", who, at, value=np.clip(np.round(score), 0, 10))
