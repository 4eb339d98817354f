"""Parts of a playbook: trigger, offers, value and success."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, model_validator

from features.config.types import Strict
from features.contracts import ROLES, SCORED_ROW
from features.similar_names import did_you_mean

Share = Annotated[float, Field(ge=0, lt=1)]
Days = Annotated[int, Field(ge=1, le=3650)]
CampaignName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Line = Annotated[str, Field(min_length=1, max_length=2000)]
Channels = CampaignName | Annotated[tuple[CampaignName, ...], Field(min_length=1)]

ELSEWHERE = "elsewhere"  # the metric of campaigns that are compared with no control arm
Metric = Literal["response", "orders", "revenue", "profit", "revenue_per_order", "elsewhere"]
NOTHING = "nothing"  # what the control arm gets; no offer may have this name
# Trigger -> the key it needs, and further keys that it reads; other keys would have no effect.
TRIGGER_KEYS: dict[str, tuple[str, ...]] = {
    "stage_entered": ("stage", "within_days"),
    "flag_raised": ("flag",),
    "score_risen": ("column",),
    "event": ("role", "after_days", "within_days"),
    "date": ("column", "after_days", "within_days"),
    "anniversary": ("date", "days_before", "within_days"),
    "schedule": ("every",),
}
_TRIGGER_COLUMNS = {
    "score_risen": [c.name for c in SCORED_ROW if c.dtype in ("double", "int64")],
    "date": [c.name for c in SCORED_ROW if c.dtype in ("date", "timestamp")],
}


class Trigger(Strict):
    """Trigger that starts the campaign for a customer; one of a playbook's must have fired.

    Attributes
    ----------
    when
        ``stage_entered``: the customer moved into the stage by behaviour or by the clock (a step
        down by the clock counts once two daily evaluations agree). ``flag_raised``: the flag
        holds. ``score_risen``: the column is higher than in the previous scores, or new.
        ``event``: ``after_days`` have passed since the last event of the role. ``date``: that many
        days since the date in the column. ``anniversary``: the day of a customer's date, such as a
        birthday, comes back in ``days_before`` days or less (29 February: on the 28th in other
        years). ``schedule``: at the first planning of every day, week
        (from Monday), month or quarter.
    within_days
        Days after the trigger in which it may start; null: while the audience rule holds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    when: Literal[
        "stage_entered", "flag_raised", "score_risen", "event", "date", "anniversary", "schedule"
    ]
    stage: CampaignName | None = None
    flag: CampaignName | None = None
    column: CampaignName | None = None
    role: CampaignName | None = None
    date: CampaignName | None = None
    every: Literal["day", "week", "month", "quarter"] | None = None
    after_days: Annotated[int, Field(ge=0, le=3650)] = 0
    days_before: Annotated[int, Field(ge=0, le=180)] = 0
    within_days: Annotated[int, Field(ge=1, le=3650)] | None = None

    @model_validator(mode="after")
    def _complete(self) -> Trigger:
        needed, *further = TRIGGER_KEYS[self.when]
        if getattr(self, needed) is None:
            raise ValueError(f"a trigger {self.when} needs `{needed}`")
        if useless := sorted(self.model_fields_set - {"when", needed, *further}):
            raise ValueError(
                f"a trigger {self.when} without `{useless[0]}`, which would have no effect: it "
                f"reads {', '.join(TRIGGER_KEYS[self.when])}"
            )
        if self.when == "event" and self.role not in ROLES:
            raise ValueError(_unknown("role", self.role, ROLES))
        columns = _TRIGGER_COLUMNS.get(self.when)
        if columns is not None and self.column not in columns:
            raise ValueError(_unknown("column", self.column, columns))
        return self


def _unknown(kind: str, name: object, known: Iterable[str]) -> str:
    """What is expected instead of an unknown name."""
    names = list(known)
    hint = did_you_mean(name, names)
    return f"a known {kind} instead of {name!r}: {', '.join(names)}" + (f"; {hint}" if hint else "")


class Offer(Strict):
    """Offer to the customer.

    Attributes
    ----------
    text
        Description for the author of the message.
    discount
        Discount as a share of the order value; 0 without a discount.
    valid_days
        Days in which it can be redeemed; null: the days of success.
    """

    text: Line
    discount: Share = 0.0
    valid_days: Days | None = None


class NamedOffer(Offer):
    """One of several offers of a playbook.

    Attributes
    ----------
    name
        Identifier, unique in the playbook.
    channel, contact_cost
        Channels and cost per contact of this offer; null: those of the playbook.
    capacity
        Most customers who have this offer at once; null: no limit.
    incremental_share
        Assumed share of the expected spend that this offer causes, until draws have taught its
        effect; null: that of the playbook's value.
    """

    name: CampaignName
    channel: Channels | None = None
    contact_cost: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    capacity: Annotated[int, Field(ge=1)] | None = None
    incremental_share: Annotated[float, Field(gt=0, le=1)] | None = None


class Value(Strict):
    """Expected money of one contact.

    Attributes
    ----------
    product
        Scored columns; their product is the expected spend.
    means
        The product in words.
    margin
        Margin, a share of the spend; null: margin of the contact policy.
    redeemed
        Columns; their product is the spend that a discount applies to; null: the chance of an
        order while the offer is valid, times the average order value.
    uplift
        Experiment that provides the campaign's uplift in the scores; null: the campaign's name.
    at_risk
        True: the spend that is lost if the customer leaves, product x p_churn / (1 - p_churn);
        the product must be unconditional (``clv``).
    incremental_share
        Assumed share of the expected spend that the message causes, where no uplift is known.
    """

    product: Annotated[tuple[CampaignName, ...], Field(min_length=1)]
    means: Line
    margin: Annotated[float, Field(gt=0, le=1)] | None = None
    redeemed: tuple[CampaignName, ...] | None = None
    uplift: Line | None = None
    at_risk: bool = False
    incremental_share: Annotated[float, Field(gt=0, le=1)] | None = None


class Success(Strict):
    """Success of the campaign, as treatment minus control.

    Attributes
    ----------
    metric
        Outcome that `stagecast measure` computes and that decides. ``response``: share of people
        with an event of the role. ``orders``, ``revenue``, ``profit``: per person; profit is margin
        less discount and contacts. ``revenue_per_order``: average order. ``elsewhere``: nothing is
        computed, for campaigns without a control arm.
    means
        What counts as success, in your words; null: the words of the metric.
    within_days
        Days after the start in which it counts.
    base_rate
        Scored probability; its mean estimates the rate without the campaign or the complement
        (the smallest detectable effect is the same).
    effect
        Difference of the response rates that you want to detect; null: no control share is
        suggested.
    role
        Role of the event that counts as a response.
    """

    metric: Metric
    means: Line | None = None
    within_days: Days
    base_rate: CampaignName | None = None
    effect: Annotated[float, Field(gt=0, lt=1)] | None = None
    role: Literal["purchase", "lead", "intent", "advocacy", "redemption", "survey_csat"] = (
        "purchase"
    )
