"""Settings shared by all simulated customers: calendar, season, products, lookup tables."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from features.arrays import Array
from simulator.scenario import ATTRIBUTES, SEND_CHANNELS, CalendarScenario, LifecycleScenario

DAY_SECONDS = 86_400
WEEK_SECONDS = 7 * DAY_SECONDS
# Customers in a block. Each block has its own random generators, so blocks are independent.
BLOCK_SIZE = 2048
# Entries of a lookup table that maps a random integer to a weighted choice.
LOOKUP_ENTRIES = 4096
# Weights of the days from Monday, and of the hours from midnight.
_DAY_WEIGHTS = (12, 13, 13, 14, 16, 18, 14)
_HOUR_WEIGHTS = (
    1,
    0.5,
    0.3,
    0.2,
    0.3,
    0.8,
    2,
    4,
    6,
    7,
    8,
    8,
    9,
    8,
    7,
    7,
    8,
    9,
    10,
    11,
    10,
    8,
    5,
    2,
)
# Names of a block's random generators. Their order is part of the seed: only append.
_STREAMS = ("people", "path", "orders", "engagement", "messages", "records", "late", "visitors")


def random_streams(seed: int, block: int) -> dict[str, np.random.Generator]:
    """Independent random generators of one block, by name."""
    children = np.random.SeedSequence([seed, 1 + block]).spawn(len(_STREAMS))
    return {
        name: np.random.Generator(np.random.Philox(child))
        for name, child in zip(_STREAMS, children, strict=True)
    }


def lookup_table(weights: Array | list[float] | tuple[float, ...]) -> Array:
    """`LOOKUP_ENTRIES` choice codes (int16) in proportion to the weights, to within one entry."""
    edges = np.cumsum(np.asarray(weights, dtype=np.float64))
    entry_weights = (np.arange(LOOKUP_ENTRIES) + 0.5) / LOOKUP_ENTRIES * edges[-1]
    return np.searchsorted(edges, entry_weights, side="right").astype(np.int16)


def draw_choices(rng: np.random.Generator, table: Array, size: int) -> Array:
    """Draw `size` weighted choices from a lookup table."""
    return table[rng.integers(0, LOOKUP_ENTRIES, size, dtype=np.uint16)]


@dataclass(frozen=True)
class SimulationPlan:
    """Scenario, seed and derived tables that all customers of a simulation share.

    Attributes
    ----------
    scenario
        Parameters of the simulation.
    seed
        Random seed of the simulation.
    origin
        First moment, seconds since 1970 (UTC).
    season
        Order factor of each week, up to the end of the truth's horizon.
    hours
        Lookup table of the hour in a week, 0 to 167.
    choices
        Attribute -> names in code order.
    popular
        Attribute -> lookup table of codes.
    messages
        Names of all sends in code order: the campaigns, then one newsletter a week.
    product_ids
        Product names in code order: (type, brand, number).
    prices
        List price of each product, money.
    """

    scenario: LifecycleScenario
    seed: int
    origin: int
    season: Array
    hours: Array
    choices: dict[str, list[str]]
    popular: dict[str, Array]
    messages: list[str]
    product_ids: list[str]
    prices: Array

    @property
    def weeks(self) -> int:
        """Simulated weeks."""
        return self.scenario.weeks

    @property
    def end(self) -> int:
        """First moment after the simulation, seconds since 1970."""
        return self.origin + self.weeks * WEEK_SECONDS

    def moments(self, rng: np.random.Generator, week: Array) -> Array:
        """Draw a moment in each week, seconds since 1970, weighted by day and hour."""
        hour = draw_choices(rng, self.hours, len(week)).astype(np.int64)
        second = rng.integers(0, 3600, len(week), dtype=np.int64)
        return self.origin + week.astype(np.int64) * WEEK_SECONDS + hour * 3600 + second


def first_moment(scenario: CalendarScenario) -> int:
    """First moment of a scenario, seconds since 1970 (UTC)."""
    return (scenario.start - dt.date(1970, 1, 1)).days * DAY_SECONDS


def make_plan(scenario: LifecycleScenario, seed: int) -> SimulationPlan:
    """Derive the shared plan from a scenario."""
    weeks_ahead = scenario.weeks + scenario.truth.horizon_weeks
    choices = {name: [str(choice) for choice in scenario.attributes[name]] for name in ATTRIBUTES}
    # Message channels follow the acquisition channels in code order.
    choices["channel"] = [*choices["channel"], *SEND_CHANNELS]
    popular = {name: lookup_table(list(scenario.attributes[name].values())) for name in ATTRIBUTES}
    messages = [choice.id for choice in scenario.campaigns]
    messages += [f"news-{week:03d}" for week in range(scenario.weeks)]
    types, brands = choices["product_type"], choices["brand"]
    product_ids = [
        f"P-{product_type}-{b}-{number + 1}"
        for product_type in types
        for b in brands
        for number in range(scenario.products_each)
    ]
    hours = lookup_table(np.outer(_DAY_WEIGHTS, _HOUR_WEIGHTS).ravel())
    return SimulationPlan(
        scenario,
        seed,
        first_moment(scenario),
        _season(scenario, weeks_ahead),
        hours,
        choices,
        popular,
        messages,
        product_ids,
        _prices(scenario, seed),
    )


def _season(scenario: LifecycleScenario, weeks: int) -> Array:
    week_starts = [scenario.start + dt.timedelta(weeks=week) for week in range(weeks)]
    day_of_year = np.array([start.timetuple().tm_yday for start in week_starts])
    wave = 1 + scenario.season.swing * np.sin(4 * np.pi * (day_of_year - 60) / 365.25)
    peak = np.array(
        [scenario.season.peaks.get(start.isocalendar().week, 1.0) for start in week_starts]
    )
    return wave * peak


def _prices(scenario: LifecycleScenario, seed: int) -> Array:
    generator = np.random.default_rng(np.random.SeedSequence([seed, 0, 3]))
    types, brands = scenario.attributes["product_type"], scenario.attributes["brand"]
    products_each = len(brands) * scenario.products_each
    level = np.repeat(np.exp(3.2 + 0.5 * generator.standard_normal(len(types))), products_each)
    return np.round(level * generator.uniform(0.7, 1.4, len(level)), 2)


def product_table(plan: SimulationPlan) -> pa.Table:
    """Products: product_id, product_type, brand, price, margin (share of the price), restocked_at.

    One row a product. `restocked_at` is a date, null if the product never ran out.
    """
    generator = np.random.default_rng(np.random.SeedSequence([plan.seed, 0, 1]))
    types, brands = plan.choices["product_type"], plan.choices["brand"]
    products_each, product_count = plan.scenario.products_each, len(plan.product_ids)
    type_code = np.repeat(np.arange(len(types)), len(brands) * products_each)
    brand_code = np.tile(np.repeat(np.arange(len(brands)), products_each), len(types))
    restocked = plan.origin // DAY_SECONDS + generator.integers(0, 7 * plan.weeks, product_count)
    never_restocked = generator.random(product_count) < 0.6
    return pa.table(
        {
            "product_id": plan.product_ids,
            "product_type": [types[type_number] for type_number in type_code],
            "brand": [brands[brand_number] for brand_number in brand_code],
            "price": plan.prices,
            "margin": np.round(generator.uniform(0.2, 0.6, product_count), 3),
            "restocked_at": pa.array(restocked.astype(np.int32), mask=never_restocked).cast(
                pa.date32()
            ),
        }
    )


def spend_table(plan: SimulationPlan, customers: int) -> pa.Table:
    """Acquisition spend: date, channel, amount (money); one row a day and paid channel."""
    generator = np.random.default_rng(np.random.SeedSequence([plan.seed, 0, 2]))
    days = np.arange(plan.weeks * 7)
    daily = customers / len(days) * plan.season[days // 7]
    channel_tables = []
    for channel, cost_per_customer in (("paid_search", 4.2), ("social", 3.1), ("affiliate", 2.4)):
        amount = np.round(daily * cost_per_customer * generator.gamma(20, 1 / 20, len(days)), 2)
        date = pa.array((plan.origin // DAY_SECONDS + days).astype(np.int32)).cast(pa.date32())
        channel_tables.append(
            pa.table({"date": date, "channel": [channel] * len(days), "amount": amount})
        )
    return pa.concat_tables(channel_tables)
