"""Parts of a playbook: trigger, offers, value and success."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, model_validator

from features.config.types import Strict

Share = Annotated[float, Field(ge=0, lt=1)]
Days = Annotated[int, Field(ge=1, le=3650)]
CampaignName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Line = Annotated[str, Field(min_length=1, max_length=2000)]
Channels = CampaignName | Annotated[tuple[CampaignName, ...], Field(min_length=1)]

NOTHING = "nothing"  # what the control arm gets; no offer may have this name


class Trigger(Strict):
    """Trigger that starts the campaign for a customer; one of a playbook's must have fired.

    Attributes
    ----------
    when
        ``stage_entered``: the customer moved into the stage by behaviour or by the clock (a step
        down by the clock counts once two daily evaluations agree). ``flag_raised``: the flag
        holds. ``score_risen``: the column is higher than in the previous scores, or new.
        ``event``: ``after_days`` have passed since the last event of the role. ``date``: that many
        days since the date in the column. ``schedule``: at every planning.
    within_days
        Days after the trigger in which it may start; null: while the audience rule holds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    when: Literal["stage_entered", "flag_raised", "score_risen", "event", "date", "schedule"]
    stage: CampaignName | None = None
    flag: CampaignName | None = None
    column: CampaignName | None = None
    role: CampaignName | None = None
    every: Literal["day", "week", "month", "quarter"] | None = None
    after_days: Annotated[int, Field(ge=0, le=3650)] = 0
    within_days: Annotated[int, Field(ge=1, le=3650)] | None = None

    @model_validator(mode="after")
    def _complete(self) -> Trigger:
        needed = {
            "stage_entered": "stage",
            "flag_raised": "flag",
            "score_risen": "column",
            "event": "role",
            "date": "column",
            "schedule": "every",
        }[self.when]
        if getattr(self, needed) is None:
            raise ValueError(f"a trigger {self.when} needs `{needed}`")
        return self


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
    metric, within_days
        Counted outcome, and days after the start in which it counts.
    base_rate
        Scored probability; its mean estimates the rate without the campaign or the complement
        (the smallest detectable effect is the same).
    effect
        Difference of the response rates that you want to detect; null: no control share is
        suggested.
    role
        Role of the event that counts as a response.
    """

    metric: Line
    within_days: Days
    base_rate: CampaignName | None = None
    effect: Annotated[float, Field(gt=0, lt=1)] | None = None
    role: Literal["purchase", "lead", "intent", "advocacy", "redemption", "survey_csat"] = (
        "purchase"
    )
