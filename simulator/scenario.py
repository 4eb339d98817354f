"""A scenario: everything that is fixed about simulated customers, read from YAML and checked."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError, model_validator

from features.config.types import Strict
from features.config.yaml_loading import find, parse_yaml
from features.errors import UserError

# Latent states, hidden from the shop. Names differ from stages on purpose: stages are rules.
STATES = (
    "aware",
    "interested",
    "deciding",
    "new",
    "repeat",
    "loyal",
    "sleeping",
    "cold",
    "gone",
)
AWARE, INTERESTED, DECIDING, NEW, REPEAT, LOYAL, SLEEPING, COLD, GONE = range(len(STATES))
BUYERS = (NEW, REPEAT, LOYAL, SLEEPING)
# Channels a message can be sent through, in code order.
SEND_CHANNELS = ("email", "sms", "push")
CONSENTS = ("email", "sms", "push", "direct_mail", "ads", "profiling")

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Weight = Annotated[float, Field(ge=0)]
Week = Annotated[int, Field(ge=0, le=2000)]


def _among(allowed: tuple[str, ...]) -> AfterValidator:
    def check(named: dict[str, float]) -> dict[str, float]:
        unknown = [name for name in named if name not in allowed]
        if unknown:
            raise ValueError(f"unknown name {unknown[0]!r}; allowed: {', '.join(allowed)}")
        return named

    return AfterValidator(check)


ByState = Annotated[dict[str, Weight], _among(STATES[:-1])]
BySend = Annotated[dict[str, Share], _among(SEND_CHANNELS)]
ByConsent = Annotated[dict[str, Share], _among(CONSENTS)]


class Facts(Strict):
    """What tests hold the scenario to; the effect of campaigns is drawn from it."""

    events_mean: Positive
    events_median_at_least: Positive
    base_response: Share
    uplift_mean: float
    uplift_sd: Weight
    uplift_latent_share: Share
    uplift_churn_correlation_at_most: Share


class Arrival(Strict):
    """When customers first appear, as what, and whether by name."""

    launch_share: Share
    launch_weeks: Annotated[int, Field(ge=1)]
    last_week: Week
    begins_as: Annotated[dict[str, Weight], _among(STATES[:3])]
    anonymous_share: Share
    known_after_days: Positive
    visitors_share: Share


class Progress(Strict):
    """Chances a week of moving between latent states, before a customer's own factors."""

    aware_to_interested: Share
    aware_to_deciding: Share
    aware_to_gone: Share
    interested_to_deciding: Share
    interested_to_cold: Share
    deciding_to_interested: Share
    deciding_to_cold: Share
    first_order: Share
    order: Share
    loyal_order: Positive
    becomes_loyal: Share
    loyal_to_repeat: Share
    to_sleeping: Share
    loyal_sleeps: Weight
    sleeping_returns: Share
    sleeping_to_gone: Share
    drop_out: Share
    loyal_drops_out: Weight
    cold_to_interested: Share
    cold_to_gone: Share


class Spread(Strict):
    """How unequal customers are: gamma shapes, and standard deviations of logs."""

    order_shape: Positive
    activity_shape: Positive
    drop_out_sd: Weight
    conversion_sd: Weight
    order_value: Positive
    order_value_sd: Weight
    order_noise_sd: Weight
    favourite_share: tuple[Positive, Positive]


class Season(Strict):
    """Yearly wave and factors of ISO weeks."""

    swing: Share
    peaks: dict[int, Positive]


class Engagement(Strict):
    """What customers do beside buying: rates a week by latent state, and shares."""

    sessions: ByState
    single_page_share: Annotated[float, Field(gt=0, le=1)]
    intent: ByState
    lead: ByState
    claim: ByState
    support: ByState
    complaint_share: Share
    csat_share: Share
    nps_share: Share
    advocacy: ByState
    refund_share: Share
    redemption_share: Share
    late_share: Share
    late_days: Positive


class Consent(Strict):
    """Who may be contacted how, and how consent changes."""

    granted: ByConsent
    withdrawn: Share
    granted_again: Share


class Messages(Strict):
    """Ordinary sends a week, and how people answer them."""

    sends: BySend
    open: Share
    click: BySend
    prefetching_share: Share
    awake: ByState


class Campaign(Strict):
    """A send to a random part of an eligible list; `mix` turns its effect between covariates."""

    id: str
    week: Week
    channel: Literal["email", "sms", "push"]
    treated: Annotated[float, Field(gt=0, lt=1)]
    mix: Share


class CrmRecords(Strict):
    """How the CRM's own stage records err."""

    unstaged_share: Share
    mis_staged: Share


class TruthDates(Strict):
    """At which weeks the truth is written, and how far it looks ahead."""

    at_weeks: tuple[Week, ...]
    horizon_weeks: Annotated[int, Field(ge=1, le=104)]


class Timed(Strict):
    """What every scenario has: a calendar of whole weeks."""

    notice: str
    start: dt.date
    weeks: Annotated[int, Field(ge=4, le=520)]
    truth: TruthDates

    @model_validator(mode="after")
    def _calendar_fits(self) -> Timed:
        if self.start.weekday() != 0:
            raise ValueError(f"start {self.start} is not a Monday")
        late = [week for week in self.truth.at_weeks if week > self.weeks]
        if late:
            raise ValueError(f"truth.at_weeks {late[0]} is after the last week {self.weeks}")
        return self

    @property
    def end(self) -> dt.date:
        """The day after the last simulated one."""
        return self.start + dt.timedelta(weeks=self.weeks)


class Lifecycle(Timed):
    """Customers with latent states, engagement of all kinds and randomised campaigns."""

    kind: Literal["lifecycle"]
    facts: Facts
    arrival: Arrival
    progress: Progress
    customers: Spread
    season: Season
    engagement: Engagement
    consent: Consent
    messages: Messages
    campaigns: tuple[Campaign, ...] = ()
    eligible: ByState
    base_response_sd: Weight
    stage_history: CrmRecords
    attributes: dict[str, dict[str | int, Positive]]
    products_each: Annotated[int, Field(ge=1, le=50)]

    @model_validator(mode="after")
    def _lists_fit(self) -> Lifecycle:
        late = [c.id for c in self.campaigns if c.week >= self.weeks]
        if late:
            raise ValueError(f"campaign {late[0]} is after the last week {self.weeks}")
        weeks = [c.week for c in self.campaigns]
        if len(set(weeks)) < len(weeks):
            raise ValueError("two campaigns in one week: their effects could not be told apart")
        missing = sorted(set(ATTRIBUTES) - set(self.attributes))
        if missing:
            raise ValueError(f"attributes lack {missing[0]!r}")
        if self.arrival.last_week >= self.weeks:
            raise ValueError("arrival.last_week must lie before the last week")
        return self


class PurchaseParameters(Strict):
    """BG/NBD: rate ~ Gamma(r, alpha weeks), drop-out ~ Beta(a, b)."""

    r: Positive
    alpha: Positive
    a: Positive
    b: Positive

    @model_validator(mode="after")
    def _mean_exists(self) -> PurchaseParameters:
        if self.a == 1:
            raise ValueError("a = 1 has no closed form for the expected purchases")
        return self


class MoneyParameters(Strict):
    """Gamma-Gamma: amount ~ Gamma(p, nu), nu ~ Gamma(q, gamma)."""

    p: Positive
    q: Annotated[float, Field(gt=1)]
    gamma: Positive


class Btyd(Timed):
    """Purchases only, after BG/NBD and Gamma-Gamma."""

    kind: Literal["btyd"]
    joins_within_weeks: Annotated[int, Field(ge=1)]
    purchases: PurchaseParameters
    money: MoneyParameters


Scenario = Lifecycle | Btyd
# Attributes that the simulator gives to events; a scenario names their choices and weights.
ATTRIBUTES = (
    "product_type",
    "brand",
    "size",
    "colour",
    "quantity",
    "payment_method",
    "point_of_sale",
    "delivery_method",
    "destination",
    "channel",
)


def load(name: str) -> Scenario:
    """Scenario by name (`reference`, `btyd`) or path of a YAML file.

    Raises
    ------
    UserError
        Where there is no such file, or a value in it is not allowed.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else Path("scenarios") / f"{name}.yaml"
    found = find(str(path))
    adapter: TypeAdapter[Scenario] = TypeAdapter(
        Annotated[Lifecycle | Btyd, Field(discriminator="kind")]
    )
    try:
        return adapter.validate_python(parse_yaml(found))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"][1:]) or "kind"
        raise UserError(
            f"{found}: {key}",
            found=repr(first.get("input"))[:80],
            expected=first["msg"],
            hint="compare the file with configs/scenarios/reference.yaml or btyd.yaml",
        ) from error
