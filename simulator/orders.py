"""Orders of a block with their lines, coupon redemptions, refunds and surveys."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from features.arrays import Array
from simulator.customers import SimulatedPeople, choose_attribute
from simulator.latent_state_path import StatePaths
from simulator.rows import EventRows
from simulator.scenario import LOYAL
from simulator.shared_settings import DAY_SECONDS, WEEK_SECONDS, SimulationPlan

# Campaigns are sent at 08:00 on the Monday of their week; listed customers order after it.
SENT_AT = 8 * 3600
# The ids of a block start at the number of its first customer shifted left by this many bits.
ID_BITS = 24
# A refund returns a share of the order that is uniform between these.
REFUNDED = (0.3, 1.0)


@dataclass(frozen=True)
class Orders:
    """Orders of a block.

    Attributes
    ----------
    customer, week, at
        Position in the block, week number, seconds since 1970.
    total
        Sum of the lines (money).
    online
        True if placed on the site or in the app.
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


def _campaign_arms(
    plan: SimulationPlan, paths: StatePaths, customer: Array, week: Array
) -> tuple[Array, Array]:
    """Number of the campaign that lists each customer in a week (-1: none), and the arm."""
    by_week = np.full(plan.weeks, -1, dtype=np.int16)
    for number, campaign in enumerate(plan.scenario.campaigns):
        by_week[campaign.week] = number
    sent: Array = by_week[week]
    if paths.arm.shape[1] == 0:
        return sent, np.full(len(sent), -1, dtype=np.int8)
    arm = np.where(sent >= 0, paths.arm[customer, sent], -1)
    return np.where(arm >= 0, sent, -1).astype(np.int16), arm


def add_orders(
    plan: SimulationPlan,
    people: SimulatedPeople,
    paths: StatePaths,
    rng: np.random.Generator,
    rows: EventRows,
) -> Orders:
    """Draw all orders of a block; add lines, redemptions, refunds and surveys to the rows."""
    customer, week = np.nonzero(paths.ordered)
    number, arm = _campaign_arms(plan, paths, customer, week)
    moment = plan.moments(rng, week)
    sent_at = plan.origin + week.astype(np.int64) * WEEK_SECONDS + SENT_AT
    after_send = (
        sent_at + 600 + (rng.random(len(week)) * (WEEK_SECONDS - SENT_AT - 1200)).astype(np.int64)
    )
    moment = np.where(arm >= 0, after_send, moment)
    noise_sd = plan.scenario.customers.order_noise_sd
    noise = np.exp(noise_sd * rng.standard_normal(len(week)) - noise_sd**2 / 2)
    total = people.order_value[customer] * noise
    orders = _add_lines(plan, people, rng, rows, (customer, week, moment, total))
    _add_redemptions(plan, people, rng, rows, orders, (number, arm))
    _add_refunds(plan, rng, rows, orders, first_block_id(people))
    _add_surveys(plan, people, paths, rng, rows, orders)
    return orders


def first_block_id(people: SimulatedPeople) -> int:
    """First id of a block, the same for events, orders and sessions."""
    return people.first << ID_BITS


def _add_lines(
    plan: SimulationPlan,
    people: SimulatedPeople,
    rng: np.random.Generator,
    rows: EventRows,
    order: tuple[Array, Array, Array, Array],
) -> Orders:
    """Add the lines of each order; split its total in proportion to list price x quantity."""
    customer, week, moment, total = order
    line_count = 1 + np.minimum(rng.poisson(0.6, len(customer)), 4)
    order_row = np.repeat(np.arange(len(customer)), line_count)
    line_customer = customer[order_row]

    def line(name: str) -> Array:
        return choose_attribute(plan, rng, people, name, line_customer)

    def whole(name: str) -> Array:
        return choose_attribute(plan, rng, people, name, customer)

    product_type, brand = line("product_type"), line("brand")
    brands, products_each = len(plan.choices["brand"]), plan.scenario.products_each
    product = (product_type.astype(np.int32) * brands + brand) * products_each + rng.integers(
        0, products_each, len(order_row)
    )
    units = np.array([int(name) for name in plan.choices["quantity"]], dtype=np.int8)
    quantity = units[line("quantity")]
    weight = plan.prices[product] * quantity
    total_share = (
        weight / np.bincount(order_row, weights=weight, minlength=len(customer))[order_row]
    )
    point_of_sale = whole("point_of_sale")
    sale_points = plan.choices["point_of_sale"]
    online = np.array([not name.startswith("store") for name in sale_points])[point_of_sale]
    rows.add(
        "purchase",
        line_customer,
        moment[order_row],
        value=np.maximum(np.round(total[order_row] * total_share, 2), 0.01),
        order_id=first_block_id(people) + order_row,
        product_id=product,
        product_type=product_type,
        brand=brand,
        size=line("size"),
        colour=line("colour"),
        quantity=quantity,
        payment_method=whole("payment_method")[order_row],
        point_of_sale=point_of_sale[order_row],
        delivery_method=np.where(online, whole("delivery_method"), -1)[order_row],
        destination=np.where(online, whole("destination"), -1)[order_row],
    )
    first_line = np.cumsum(line_count) - line_count
    return Orders(
        customer, week, moment, total, online, product_type[first_line], brand[first_line]
    )


def _add_redemptions(
    plan: SimulationPlan,
    people: SimulatedPeople,
    rng: np.random.Generator,
    rows: EventRows,
    orders: Orders,
    listed: tuple[Array, Array],
) -> None:
    """Add coupon redemptions; treated customers redeem with a probability of at least 0.6."""
    number, arm = listed
    redemption_chance = people.redeeming[orders.customer]
    redemption_chance = np.where(arm == 1, np.maximum(redemption_chance, 0.6), redemption_chance)
    redeeming = np.flatnonzero(rng.random(len(redemption_chance)) < redemption_chance)
    news_message = len(plan.scenario.campaigns) + orders.week[redeeming]
    campaign_id = np.where(arm[redeeming] == 1, number[redeeming], news_message)
    rows.add(
        "redemption", orders.customer[redeeming], orders.at[redeeming], campaign_id=campaign_id
    )


def _add_refunds(
    plan: SimulationPlan, rng: np.random.Generator, rows: EventRows, orders: Orders, first: int
) -> None:
    refunded = np.flatnonzero(rng.random(len(orders.at)) < plan.scenario.engagement.refund_share)
    delay = rng.integers(3 * DAY_SECONDS, 16 * DAY_SECONDS, len(refunded))
    amount = np.round(orders.total[refunded] * rng.uniform(*REFUNDED, len(refunded)), 2)
    rows.add(
        "refund",
        orders.customer[refunded],
        orders.at[refunded] + delay,
        value=-amount,
        order_id=first + refunded,
    )


def _add_surveys(
    plan: SimulationPlan,
    people: SimulatedPeople,
    paths: StatePaths,
    rng: np.random.Generator,
    rows: EventRows,
    orders: Orders,
) -> None:
    """Add recommendation scores (0 to 10), 4 to 12 days after an order."""
    surveyed = np.flatnonzero(rng.random(len(orders.at)) < plan.scenario.engagement.nps_share)
    customer = orders.customer[surveyed]
    is_loyal = paths.state[customer, orders.week[surveyed]] == LOYAL
    score = (
        7.3
        + 1.7 * people.satisfaction[customer]
        + 1.0 * is_loyal
        + rng.standard_normal(len(customer))
    )
    answered_at = orders.at[surveyed] + rng.integers(
        4 * DAY_SECONDS, 12 * DAY_SECONDS, len(surveyed)
    )
    rows.add("nps", customer, answered_at, value=np.clip(np.round(score), 0, 10))
