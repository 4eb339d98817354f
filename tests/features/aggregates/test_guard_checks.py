"""The guards find what they are for, and nothing in a shop without such data."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from features.aggregates.guard_checks import check_guards, tally_facts
from features.config.guards import GUARDS, GuardName
from tests.oracles.orders import csv, read, shop

HEADER = "order,customer,at,amount,currency\n"
COLUMNS: dict[str, Any] = {
    "customer_id": "customer",
    "occurred_at": {"column": "at", "as": "local_date"},
    "value": "amount",
    "order_id": "order",
    "currency": "currency",
}


def orders(count: int = 400, customers: int = 25) -> list[str]:
    """Rows of a shop with an order every day or two."""
    days = np.datetime64("2019-01-02") + np.arange(count) * 2
    return [f"o{n},c{n % customers},{day},{10 + n % 7},EUR" for n, day in enumerate(days)]


def edited(old: str, new: str, every: int) -> list[str]:
    """Rows of which every n-th has another text; `{n}` stands for the row, `{c}` its customer."""
    return [
        row.replace(old.format(n=n, c=n % 25), new.format(n=n, half=n // 2, turn=n % 200))
        if n % every == 0
        else row
        for n, row in enumerate(orders())
    ]


def found(rows: list[str], folder: Path, **changes: Any) -> dict[str, str]:
    """Action by name of each guard that finds something."""
    text = HEADER + "\n".join(rows) + "\n"
    config = shop(csv(folder, text), source_columns=COLUMNS, **changes)
    tallies, reports = read(config, folder)
    facts = tally_facts([tallies.daily], [tallies.attributes], config)
    return {finding.name: finding.action for finding in check_guards(facts, reports, config)}


def test_a_shop_without_such_data_passes(tmp_path: Path) -> None:
    assert found(orders(), tmp_path) == {}


SHOPS: dict[str, tuple[list[str], dict[str, str]]] = {
    "one order dated a year late": ([*orders(), "o9,c1,2021-12-30,5,EUR"], {"stray_end": "refuse"}),
    "a date before the trade": ([*orders(), "o9,c1,2000-01-01,5,EUR"], {"stray_start": "warn"}),
    "files of a month are missing": (orders()[:200] + orders()[230:], {"feed_gap": "warn"}),
    "guests have the id 0": (edited(",c{c},", ",0,", 4), {"placeholder_id": "warn"}),
    "guests under a word": (edited(",c{c},", ",web-guest,", 4), {"placeholder_id": "warn"}),
    "a house account": (edited(",c{c},", ",k7,", 8), {"heavy_id": "warn"}),
    "a till": (edited(",c{c},", ",k7,", 2), {"heavy_id": "warn"}),
    "a file that was delivered twice": ([*orders(), *orders()[:40]], {"copied_rows": "warn"}),
    "order ids of several customers": (edited("o{n},", "o{half},", 1), {"shared_orders": "warn"}),
    "order numbers start again every year": (
        edited("o{n},", "o{turn},", 1), {"restarted_orders": "warn"}
    ),
    "two currencies": (edited("EUR", "CHF", 9), {"mixed_currencies": "warn"}),
}  # fmt: skip


@pytest.mark.parametrize("case", SHOPS)
def test_each_guard_finds_its_data(case: str, tmp_path: Path) -> None:
    rows, expected = SHOPS[case]
    assert found(rows, tmp_path) == expected


def test_settings_of_a_guard(tmp_path: Path) -> None:
    rows, _ = SHOPS["one order dated a year late"]
    assert found(rows, tmp_path, guards={"stray_end": "warn"}) == {"stray_end": "warn"}
    assert found(rows, tmp_path, guards={"stray_end": "ignore"}) == {}
    strict = {"stray_end": {"action": "warn", "threshold": 0}}
    assert "stray_end" not in found(rows, tmp_path, guards=strict)


def test_placeholder_ids_are_left_out(tmp_path: Path) -> None:
    rows, _ = SHOPS["guests have the id 0"]
    assert found(rows, tmp_path, placeholder_ids=["0"]) == {}


def test_an_empty_time_is_no_order_of_1970(tmp_path: Path) -> None:
    rows = [*orders(), "o9,c1,1970-01-01,5,EUR"]
    assert found(rows, tmp_path) == {}


def test_two_of_one_product_are_no_copies(tmp_path: Path) -> None:
    rows = orders()
    repeated = [*rows, *rows[:40], *(row.replace(",1", ",2", 1) for row in rows[:40])]
    assert "copied_rows" not in found(repeated, tmp_path)


def test_the_later_row_of_an_event_id_counts(tmp_path: Path) -> None:
    rows = ["1,a,2021-01-05,100,EUR", "1,a,2021-01-05,120,EUR",
            "2,b,2021-01-05,100,EUR", "2,b,2021-01-05,80,EUR"]  # fmt: skip
    text = HEADER + "\n".join(rows) + "\n"
    config = shop(csv(tmp_path, text), source_columns=COLUMNS, source_event_id="order")
    tallies, (report,) = read(config, tmp_path)
    daily = tallies.daily.to_pandas().set_index("customer_id")
    assert daily["value"].to_dict() == {"a": 12_000, "b": 8_000}
    assert report.ignored == {"replaced by a later row of its event_id": 2}


TYPED = {**COLUMNS, "order_id": "order"}
TYPED.pop("currency")


def refunded(signs: str, folder: Path, **changes: Any) -> tuple[int, set[str]]:
    """Net spend in cents of a customer who bought for 100, and the guards that find something."""
    rows = ["1,a,2021-01-05,100,sale"]
    rows += [f"r{n},a,2021-01-{n + 8:02},{sign}30,back" for n, sign in enumerate(signs)]
    text = "order,customer,at,amount,type\n" + "\n".join(rows) + "\n"
    config = shop(
        csv(folder, text), source_columns=TYPED, source_event_type={"column": "type"},
        roles={"purchase": ["sale"], "refund": ["back"]}, **changes,
    )  # fmt: skip
    tallies, reports = read(config, folder)
    facts = tally_facts([tallies.daily], [tallies.attributes], config)
    findings = {finding.name for finding in check_guards(facts, reports, config)}
    return int(tallies.daily.to_pandas()["value"].sum()), findings


@pytest.mark.parametrize(
    ("signs", "setting", "net", "findings"),
    [
        ("-", "either", 7_000, set()),
        ("+", "either", 7_000, set()),
        ("-+", "either", 4_000, {"mixed_refunds"}),
        ("-+", "negative", 10_000, set()),
        ("--+", "negative", 7_000, set()),
        ("+-", "positive", 10_000, set()),
    ],
)
def test_a_refund_that_was_taken_back(
    signs: str, setting: str, net: int, findings: set[str], tmp_path: Path
) -> None:
    assert refunded(signs, tmp_path, refund_amounts=setting) == (net, findings)


def test_the_table_of_guards_is_complete() -> None:
    assert {guard.name for guard in GUARDS} == set(get_args(GuardName))
