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


# Guards warn by default: an honest small shop may look like this. The limits err on its side.
GUARDS = (
    # Everybody counts as lapsed after such a hole: no figure of the run would be right. A shop that
    # has reopened has more than one event in a hundred soon.
    Guard(
        "stray_end", "Last days stand alone", "refuse", 0.01,
        "share of events after a gap of 60 days or more at the end of the data",
        "correct the dates, or set `data_through` to the last day that you know in full",
    ),
    Guard(
        "stray_start", "First days stand alone", "warn", 0.01,
        "share of events before a gap of a year or more at the start of the data",
        "correct the dates, or set `earliest` to the first day of the trade",
    ),
    # Company holidays last up to three weeks; the file of a month covers 28 days or more.
    Guard(
        "feed_gap", "Gap in the feed", "warn", 28,
        "days without any event, where the usual gap is a fifth of it at most",
        "deliver the missing files; churn and stages take the gap for silence of the customers",
    ),
    # A customer who happens to have such an id buys as much as others do.
    Guard(
        "placeholder_id", "An id without a person behind it", "warn", 0.05,
        "share of the purchases under a customer id like 0, NULL, guest or test",
        "list it under `placeholder_ids`: its events are left out; or `guards: {placeholder_id: "
        "ignore}` if it is a customer",
    ),
    # The best customer of a small shop can have one purchase in twenty.
    Guard(
        "heavy_id", "One id with many orders", "warn", 0.1,
        "share of the purchases under one customer id that has twice as many as any other",
        "a till, test or house account belongs under `placeholder_ids`",
    ),
    # Two of one product on two lines are real; a file that came twice repeats far more.
    Guard(
        "copied_rows", "Copied rows", "warn", 0.02,
        "share of the rows that repeat an order in full",
        "deliver each row once, or map `event_id`: then copies count once",
    ),
    # A few orders move to another account of the same household.
    Guard(
        "shared_orders", "Order ids of several customers", "warn", 0.02,
        "share of the order ids that several customers have",
        "check that `order_id` and `customer_id` are the right columns, and that no customer has "
        "two ids",
    ),
    # A late refund may stand under the id of its order.
    Guard(
        "restarted_orders", "Order numbers start again", "warn", 0.01,
        "share of the order ids whose lines are more than 180 days apart",
        "add the year or the shop to the order id: lines of one customer and id count as one order",
    ),
    # Which sign takes a refund back is not in the data: nobody but the shop knows.
    Guard(
        "mixed_refunds", "Refunds of either sign", "warn", 0,
        "share of the refunds that have the rarer sign, while `refund_amounts` is `either`",
        "set `refund_amounts` to the sign that refunds have: then the other sign takes a refund "
        "back; now every refund reduces spend",
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
    "shared_orders", "restarted_orders", "mixed_refunds", "mixed_currencies",
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
