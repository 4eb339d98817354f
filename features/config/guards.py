"""Guards of the data: the one table of what is checked in every run, and its settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from features.config.types import Strict

Action = Literal["refuse", "warn", "ignore"]


@dataclass(frozen=True)
class Guard:
    """One check of the events.

    Attributes
    ----------
    name
        Key under `guards` in a config.
    title
        For the report.
    action
        What happens by default: ``refuse`` stops the run, ``warn`` prints a message.
    threshold
        Default of the limit.
    meaning
        What the threshold limits.
    hint
        What to do about a finding.
    """

    name: str
    title: str
    action: Action
    threshold: float
    meaning: str
    hint: str


GUARDS = (
    Guard(
        "stray_end", "Last days stand alone", "refuse", 0.01,
        "share of events after a gap of 60 days or more at the end of the data",
        "correct the dates, or set `data_through` to the last day that you know in full",
    ),
    Guard(
        "stray_start", "First days stand alone", "refuse", 0.01,
        "share of events before a gap of a year or more at the start of the data",
        "correct the dates, or set `earliest` to the first day of the trade",
    ),
    Guard(
        "feed_gap", "Gap in the feed", "warn", 14,
        "days without any event, where the usual gap is a fifth of it at most",
        "deliver the missing files; churn and stages take the gap for silence of the customers",
    ),
    Guard(
        "placeholder_id", "An id without a person behind it", "refuse", 0.02,
        "share of the purchases under a customer id like 0, NULL, guest or test",
        "list it under `placeholder_ids`: its events are left out; or `guards: {placeholder_id: "
        "warn}` if it is a customer",
    ),
    Guard(
        "heavy_id", "One id with many orders", "warn", 0.05,
        "share of the purchases under one customer id that has three times as many as any other",
        "a till, test or house account belongs under `placeholder_ids`",
    ),
    Guard(
        "copied_rows", "Copied rows", "warn", 0.005,
        "share of the rows that repeat an order in full",
        "deliver each row once, or map `event_id`: then copies count once",
    ),
    Guard(
        "shared_orders", "Order ids of several customers", "warn", 0.01,
        "share of the order ids that several customers have",
        "check that `order_id` and `customer_id` are the right columns, and that no customer has "
        "two ids",
    ),
    Guard(
        "restarted_orders", "Order numbers start again", "warn", 0.005,
        "share of the order ids whose lines are more than 180 days apart",
        "add the year or the shop to the order id: lines of one customer and id count as one order",
    ),
    Guard(
        "mixed_currencies", "Several currencies", "warn", 1,
        "number of values of an attribute named currency",
        "convert amounts to one currency; they are added up as they are",
    ),
)  # fmt: skip
GUARDS_BY_NAME = {guard.name: guard for guard in GUARDS}
GuardName = Literal[
    "stray_end", "stray_start", "feed_gap", "placeholder_id", "heavy_id", "copied_rows",
    "shared_orders", "restarted_orders", "mixed_currencies",
]  # fmt: skip


class GuardSetting(Strict):
    """Another action or threshold of a guard."""

    action: Action | None = None
    threshold: Annotated[float, Field(ge=0)] | None = None


GuardSettings = dict[GuardName, Action | GuardSetting]


def guard_setting(name: str, settings: GuardSettings) -> tuple[Action, float]:
    """Return action and threshold of a guard under a config's settings."""
    guard = GUARDS_BY_NAME[name]
    setting = {str(key): value for key, value in settings.items()}.get(name)
    if isinstance(setting, GuardSetting):
        threshold = guard.threshold if setting.threshold is None else setting.threshold
        return setting.action or guard.action, threshold
    return setting or guard.action, guard.threshold
