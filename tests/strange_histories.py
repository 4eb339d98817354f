"""Purchase histories such as real shops have them and models trip over, made by plain loops."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

START = pd.Timestamp("2014-01-06")
CONFIG = """\
name: strange
timezone: UTC
sources:
  - events: orders.csv
    columns: {{customer_id: customer, occurred_at: {{column: day, as: local_date}}, value: amount,
      order_id: order, product_type: product}}
    event_type: purchase
stages: {{file: stages/recency_frequency.yaml, params: {{L: 75, w: 150, k: 4, m: 1}}}}
activity_days: 120
snapshots: {{every_days: 30}}
churn: {{horizon_days: 60, train: {{at_most: 6}}}}
clv: {{horizon_days: 60, train: {{at_most: 6}}}}
stage: {{confirm_days: 60, train: {{at_most: 6}}}}
transition: {{periods: 8, period_days: 7, train: {{at_most: 6}}}}
"""
Row = tuple[str, pd.Timestamp, float, str, str]  # customer, day, amount, order, product


def buyers(
    random: np.random.Generator,
    *,
    customers: int = 260,
    days: int = 600,
    first: Callable[[np.random.Generator], float] | None = None,
    amount: Callable[[np.random.Generator], float] | None = None,
    products: int = 6,
) -> list[Row]:
    """Customers who buy at a pace of their own until they leave."""
    first = first or (lambda r: float(r.uniform(0, 0.7 * days)))
    amount = amount or (lambda r: float(r.gamma(3, 12)))
    rows: list[Row] = []
    for number in range(customers):
        rate, leave = random.gamma(1.3, 1 / 26), random.exponential(days * 0.6)
        day = first(random)
        left = day + leave
        while day < days:
            product = f"p{random.integers(products)}"
            at = START + pd.Timedelta(days=int(day))
            rows.append((f"c{number:04d}", at, round(amount(random), 2), f"o{len(rows)}", product))
            day += max(random.exponential(1 / max(rate, 1e-3)), 1.0)
            if day > left:
                break
    return rows


def one_cohort(random: np.random.Generator) -> list[Row]:
    """Everybody came in the same week."""
    return buyers(random, first=lambda r: float(r.uniform(0, 7)))


def few_customers(random: np.random.Generator) -> list[Row]:
    """A dozen."""
    return buyers(random, customers=12)


def ten_years(random: np.random.Generator) -> list[Row]:
    """A long history of few orders a year."""
    return buyers(random, customers=150, days=3650)


def guests(random: np.random.Generator) -> list[Row]:
    """Most orders are of guests, each a customer of their own who never comes back."""
    rows = buyers(random, customers=150)
    for number in range(700):
        at = START + pd.Timedelta(days=int(random.uniform(0, 600)))
        rows.append((f"guest-{number}", at, float(random.integers(5, 90)), f"g{number}", "p0"))
    return rows


def whales(random: np.random.Generator) -> list[Row]:
    """A handful spends most of the money."""
    return buyers(random, amount=lambda r: float(r.lognormal(2.5, 2.0)))


def refunds(random: np.random.Generator) -> list[Row]:
    """A third of the orders comes back, days later, as a negative one."""
    rows = buyers(random)
    back = [
        (c, at + pd.Timedelta(days=int(random.integers(1, 20))), -amount, f"r{order}", product)
        for c, at, amount, order, product in rows
        if random.random() < 0.33
    ]
    last = max(row[1] for row in rows)
    return rows + [row for row in back if row[1] <= last]


def one_order_each(random: np.random.Generator) -> list[Row]:
    """Nobody ever came back."""
    days = random.uniform(0, 600, 400)
    return [
        (f"c{n}", START + pd.Timedelta(days=int(day)), float(random.integers(10, 60)), f"o{n}", "p")
        for n, day in enumerate(days)
    ]


def single_product(random: np.random.Generator) -> list[Row]:
    """One product at one price."""
    return buyers(random, amount=lambda r: 19.0, products=1)


def no_amounts(random: np.random.Generator) -> list[Row]:
    """Orders are known and money is not."""
    return buyers(random, amount=lambda r: 0.0)


HISTORIES: dict[str, Callable[[np.random.Generator], list[Row]]] = {
    made.__name__: made
    for made in (
        one_cohort, few_customers, ten_years, guests, whales, refunds, one_order_each,
        single_product, no_amounts,
    )
}  # fmt: skip


def write(name: str, folder: Path, *, seed: int = 5) -> Path:
    """Write a history and its config; returns the config's path."""
    folder.mkdir(parents=True, exist_ok=True)
    columns = ["customer", "day", "amount", "order", "product"]
    rows = pd.DataFrame(HISTORIES[name](np.random.default_rng(seed)), columns=columns)
    rows["day"] = rows["day"].dt.strftime("%Y-%m-%d")
    rows.to_csv(folder / "orders.csv", index=False)
    path = folder / "strange.yaml"
    path.write_text(CONFIG.format(), encoding="utf-8")
    return path
