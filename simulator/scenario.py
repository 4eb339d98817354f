"""Scenarios: the parameters of a simulation, read from YAML and validated."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError, model_validator

from features.config.types import Strict
from features.config.validation_messages import problem
from features.config.yaml_loading import find, parse_yaml
from features.errors import UserError

# Latent states, hidden from the shop. Their names differ from stages, which are rules on events.
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
# Message channels in code order.
SEND_CHANNELS = ("email", "sms", "push")
CONSENTS = ("email", "sms", "push", "direct_mail", "ads", "profiling")

_Share = Annotated[float, Field(ge=0, le=1)]
_Positive = Annotated[float, Field(gt=0)]
_Weight = Annotated[float, Field(ge=0)]
_Week = Annotated[int, Field(ge=0, le=2000)]


def _among(allowed: tuple[str, ...]) -> AfterValidator:
    def check(mapping: dict[str, float]) -> dict[str, float]:
        unknown = [name for name in mapping if name not in allowed]
        if unknown:
            raise ValueError(f"unknown name {unknown[0]!r}; allowed: {', '.join(allowed)}")
        return mapping

    return AfterValidator(check)


ByState = Annotated[dict[str, _Weight], _among(STATES[:-1])]
_BySend = Annotated[dict[str, _Share], _among(SEND_CHANNELS)]
_ByConsent = Annotated[dict[str, _Share], _among(CONSENTS)]


class ScenarioTargets(Strict):
    """Figures that tests check; campaign effects are drawn from `base_response` and `uplift_*`."""

    events_mean: _Positive
    events_median_at_least: _Positive
    base_response: _Share
    uplift_mean: float
    uplift_sd: _Weight
    uplift_latent_share: _Share
    uplift_churn_correlation_at_most: _Share


class _Arrival(Strict):
    """When customers first appear, in which state, and whether as unknown visitors."""

    launch_share: _Share
    launch_weeks: Annotated[int, Field(ge=1)]
    last_week: _Week
    begins_as: Annotated[dict[str, _Weight], _among(STATES[:3])]
    anonymous_share: _Share
    known_after_days: _Positive
    visitors_share: _Share


class _Progress(Strict):
    """Weekly probabilities of moving between latent states, before a customer's own factors."""

    aware_to_interested: _Share
    aware_to_deciding: _Share
    aware_to_gone: _Share
    interested_to_deciding: _Share
    interested_to_cold: _Share
    deciding_to_interested: _Share
    deciding_to_cold: _Share
    first_order: _Share
    order: _Share
    loyal_order: _Positive
    becomes_loyal: _Share
    loyal_to_repeat: _Share
    to_sleeping: _Share
    loyal_sleeps: _Weight
    sleeping_returns: _Share
    sleeping_to_gone: _Share
    drop_out: _Share
    loyal_drops_out: _Weight
    cold_to_interested: _Share
    cold_to_gone: _Share


class _Spread(Strict):
    """Variation between customers: gamma shapes, and standard deviations of logarithms.

    `hour_shift_sd` (hours) is that of the shift of a customer's visits in the day.
    """

    order_shape: _Positive
    activity_shape: _Positive
    drop_out_sd: _Weight
    conversion_sd: _Weight
    order_value: _Positive
    order_value_sd: _Weight
    order_noise_sd: _Weight
    favourite_share: tuple[_Positive, _Positive]
    hour_shift_sd: _Weight = 0.0


class _Season(Strict):
    """Amplitude of the yearly wave, and factors of ISO weeks."""

    swing: _Share
    peaks: dict[int, _Positive]


class _Engagement(Strict):
    """Events other than purchases: weekly rates by latent state, and shares."""

    sessions: ByState
    single_page_share: Annotated[float, Field(gt=0, le=1)]
    intent: ByState
    lead: ByState
    claim: ByState
    support: ByState
    complaint_share: _Share
    csat_share: _Share
    nps_share: _Share
    advocacy: ByState
    refund_share: _Share
    redemption_share: _Share
    late_share: _Share
    late_days: _Positive


class _Consent(Strict):
    """Share of customers who consent to each channel; weekly rates of withdrawal and return."""

    granted: _ByConsent
    withdrawn: _Share
    granted_again: _Share


class _Messages(Strict):
    """Weekly probability of an ordinary message, shares of opens and clicks, and fatigue.

    Attributes
    ----------
    opt_out, opt_out_growth
        Chance to opt out of the channel after a message; each other one of the last 30 days
        multiplies it by exp(growth).
    response_drop
        Share by which each message of the last 30 days lowers the chance of an answer.
    """

    sends: _BySend
    open: _Share
    click: _BySend
    prefetching_share: _Share
    awake: ByState
    opt_out: _Share = 0.0
    opt_out_growth: _Weight = 0.0
    response_drop: Annotated[float, Field(ge=0, lt=1)] = 0.0

    @property
    def wears_off(self) -> bool:
        """True if messages change what later ones bring."""
        return self.opt_out > 0 or self.response_drop > 0


class _Campaign(Strict):
    """A randomised send; `mix` is the weight of age in its effect, the rest is distance."""

    id: str
    week: _Week
    channel: Literal["email", "sms", "push"]
    treated: Annotated[float, Field(gt=0, lt=1)]
    mix: _Share


class ScenarioOffer(Strict):
    """An offer that a send of the lists could have made instead, and what it would change.

    Attributes
    ----------
    name
        Its name.
    mean, sd
        Effect on the chance of an order: mean and standard deviation over the customers.
    age, distance, deals
        Directions of the effect: by age (sign reversed outside cities and suburbs), by distance,
        and by the liking of deals, which no observable covariate shows. Only their ratios count.
    discount, cost
        Share of the order value that is given away; money per contact.
    """

    name: str
    mean: float
    sd: _Weight
    age: float = 0.0
    distance: float = 0.0
    deals: float = 0.0
    discount: _Share = 0.0
    cost: _Weight = 0.0


class _CrmRecords(Strict):
    """Error rates of the CRM's stage records."""

    unstaged_share: _Share
    mis_staged: _Share


class _TruthDates(Strict):
    """Weeks at which the truth is written, and its horizon in weeks."""

    at_weeks: tuple[_Week, ...]
    horizon_weeks: Annotated[int, Field(ge=1, le=104)]


class CalendarScenario(Strict):
    """Base of all scenarios: a calendar of whole weeks, starting on a Monday."""

    notice: str
    start: dt.date
    weeks: Annotated[int, Field(ge=4, le=520)]
    truth: _TruthDates

    @model_validator(mode="after")
    def _calendar_fits(self) -> CalendarScenario:
        if self.start.weekday() != 0:
            raise ValueError(f"start {self.start} is not a Monday")
        late_weeks = [week for week in self.truth.at_weeks if week > self.weeks]
        if late_weeks:
            raise ValueError(f"truth.at_weeks {late_weeks[0]} is after the last week {self.weeks}")
        return self

    @property
    def end(self) -> dt.date:
        """The day after the last simulated one."""
        return self.start + dt.timedelta(weeks=self.weeks)


class LifecycleScenario(CalendarScenario):
    """Customers with latent states, engagement of all kinds and randomised campaigns."""

    kind: Literal["lifecycle"]
    facts: ScenarioTargets
    arrival: _Arrival
    progress: _Progress
    customers: _Spread
    season: _Season
    engagement: _Engagement
    consent: _Consent
    messages: _Messages
    campaigns: tuple[_Campaign, ...] = ()
    offers: tuple[ScenarioOffer, ...] = ()
    eligible: ByState
    base_response_sd: _Weight
    stage_history: _CrmRecords
    attributes: dict[str, dict[str | int, _Positive]]
    products_each: Annotated[int, Field(ge=1, le=50)]

    @model_validator(mode="after")
    def _lists_fit(self) -> LifecycleScenario:
        late_campaigns = [campaign.id for campaign in self.campaigns if campaign.week >= self.weeks]
        if late_campaigns:
            raise ValueError(f"campaign {late_campaigns[0]} is after the last week {self.weeks}")
        campaign_weeks = [campaign.week for campaign in self.campaigns]
        if len(set(campaign_weeks)) < len(campaign_weeks):
            raise ValueError("two campaigns in one week: their effects cannot be separated")
        missing = sorted(set(ATTRIBUTES) - set(self.attributes))
        if missing:
            raise ValueError(f"attributes lack {missing[0]!r}")
        if self.arrival.last_week >= self.weeks:
            raise ValueError("arrival.last_week must lie before the last week")
        return self


class PurchaseParameters(Strict):
    """BG/NBD: rate ~ Gamma(r, alpha weeks), drop-out ~ Beta(a, b)."""

    r: _Positive
    alpha: _Positive
    a: _Positive
    b: _Positive

    @model_validator(mode="after")
    def _mean_exists(self) -> PurchaseParameters:
        if self.a == 1:
            raise ValueError("a = 1 has no closed form for the expected purchases")
        return self


class MoneyParameters(Strict):
    """Gamma-Gamma: amount ~ Gamma(p, nu), nu ~ Gamma(q, gamma)."""

    p: _Positive
    q: Annotated[float, Field(gt=1)]
    gamma: _Positive


class BtydScenario(CalendarScenario):
    """Purchases only, drawn from BG/NBD and Gamma-Gamma."""

    kind: Literal["btyd"]
    joins_within_weeks: Annotated[int, Field(ge=1)]
    purchases: PurchaseParameters
    money: MoneyParameters


Scenario = LifecycleScenario | BtydScenario
# Attributes of simulated events; a scenario lists their choices and weights.
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


def load_scenario(name: str) -> Scenario:
    """Scenario by name (`reference`, `btyd`) or path of a YAML file.

    Raises
    ------
    UserError
        If the file does not exist or holds an invalid value.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else Path("scenarios") / f"{name}.yaml"
    file = find(str(path))
    adapter: TypeAdapter[Scenario] = TypeAdapter(
        Annotated[LifecycleScenario | BtydScenario, Field(discriminator="kind")]
    )
    content = parse_yaml(file)
    try:
        return adapter.validate_python(content)
    except ValidationError as error:
        models: dict[object, type[Strict]] = {"lifecycle": LifecycleScenario, "btyd": BtydScenario}
        model = models.get(str(content.get("kind")))
        if model is None:
            raise UserError(
                f"{file}: kind", found=repr(content.get("kind")), expected="lifecycle or btyd"
            ) from error
        raise problem(error, file, content, model) from error
