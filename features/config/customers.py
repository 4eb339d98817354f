"""Config blocks of what is known beside events: customers, consents, suppressions, products.

Also the rules of contact: caps, cooling-off, sunset, the global hold-out, and how campaigns share
customers.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from features.config.sources import CsvFormat, Location, TimeColumn
from features.config.types import USE, Name, PlainMapping, PositiveDays, Strict

# How a person can be reached; `external_id` is the customer's id in the receiving tool.
CONTACT_KEYS = (
    "email",
    "phone",
    "device_token",
    "mobile_ad_id",
    "external_id",
    "first_name",
    "last_name",
    "country",
    "postal_code",
    "city",
    "language",
)
ContactKey = Literal[
    "email",
    "phone",
    "device_token",
    "mobile_ad_id",
    "external_id",
    "first_name",
    "last_name",
    "country",
    "postal_code",
    "city",
    "language",
]
# Contact keys that name people in tables of consent and suppression.
ADDRESSES: tuple[Literal["email", "phone"], ...] = ("email", "phone")
Share = Annotated[float, Field(ge=0, lt=1)]
ADS, PROFILING = "ads", "profiling"
# In tables of consent and suppression: every channel there is.
ALL = "all"


# What YAML makes of the words yes, on, no and off where they stand as keys without quotes.
_BARE = {True: ("yes", "on", "true"), False: ("no", "off", "false")}


def _words(value: Any) -> Any:
    """Words as texts in small letters, the meaning as yes or no."""
    if not isinstance(value, dict):
        return value
    meanings: dict[str, Any] = {}
    for word, meaning in value.items():
        spellings = _BARE[word] if isinstance(word, bool) else (str(word).strip().lower(),)
        parsed_meaning = {"yes": True, "no": False}.get(str(meaning).strip().lower(), meaning)
        meanings |= dict.fromkeys(spellings, parsed_meaning)
    return meanings


# The data's own words for consent and refusal, such as {ja: yes, nein: no}.
Words = Annotated[dict[str, Annotated[bool, Field(strict=True)]], BeforeValidator(_words)]


class ConsentColumn(Strict):
    """A column that says whether a customer consents, and the one that says since when."""

    granted: str
    at: TimeColumn | None = None


class CustomerColumns(Strict):
    """Columns of the customers table.

    Attributes
    ----------
    customer_id
        As the sources of events name the customer.
    contact
        Contact key -> column.
    consent
        Channel or purpose (``ads``, ``profiling``) -> column of true and false.
    suppress
        Reason -> column of true and false: staff, test, fraud.
    dates
        Name -> column of a date that comes back every year: birthday, customer_since.
    """

    customer_id: str
    contact: dict[ContactKey, str] = Field(default={})
    consent: dict[Name, ConsentColumn | str] = Field(default={})
    suppress: dict[Name, str] = Field(default={})
    dates: dict[Name, TimeColumn] = Field(default={})


class CustomersTable(Strict):
    """One row a customer: contact keys, consent as it stands, marks that shut them out.

    `words` says what the data's own words mean, as in ``{ja: yes, nein: no}``.
    """

    table: Location
    columns: CustomerColumns
    words: Words = Field(default={})
    csv: CsvFormat = CsvFormat()


class PersonColumns(Strict):
    """Columns that name people in a table: by their id, by their address, or by both."""

    customer_id: str | None = None
    email: str | None = None
    phone: str | None = None

    @model_validator(mode="after")
    def _names_somebody(self) -> Self:
        if self.customer_id is None and self.email is None and self.phone is None:
            raise ValueError("none of customer_id, email and phone: the table names nobody")
        return self


class ConsentColumns(PersonColumns):
    """Columns of the consent history."""

    channel: str
    granted: str
    changed_at: TimeColumn


class ConsentsTable(Strict):
    """Every change of a consent, one row each; what was the last before the snapshot holds.

    `words` says what the data's own words mean, as in ``{ja: yes, nein: no}``.
    """

    table: Location
    columns: ConsentColumns
    words: Words = Field(default={})
    csv: CsvFormat = CsvFormat()


class SuppressionColumns(PersonColumns):
    """Columns of a suppression list; without dates it holds always, without channel everywhere."""

    reason: str | None = None
    channel: str | None = None
    from_: TimeColumn | None = Field(default=None, alias="from")
    until: TimeColumn | None = None


class SuppressionList(Strict):
    """Customers who must not be contacted: hard bounces, spam complaints, legal requests."""

    table: Location
    columns: SuppressionColumns
    reason: str = "suppression list"
    csv: CsvFormat = CsvFormat()


class ProductColumns(Strict):
    """Columns of the products table; attributes are named like those of events."""

    product_id: str
    margin: str | None = None
    restocked_at: TimeColumn | None = None
    attributes: dict[Name, str] = Field(default={})


class ProductsTable(Strict):
    """One row a product: attributes, margin (share of the price), last return to stock."""

    table: Location
    columns: ProductColumns
    csv: CsvFormat = CsvFormat()


class Cap(Strict):
    """Most promotional contacts of a customer in a span of days, in all or through one channel."""

    contacts: Annotated[int, Field(ge=0, le=1000)]
    days: PositiveDays
    channel: Name | None = None


class Sunset(Strict):
    """Stop writing to those who got many messages and have not shown life since."""

    sends: Annotated[int, Field(ge=1, le=10_000)] = 10
    days: PositiveDays = 180


class GlobalHoldout(Strict):
    """Customers whom no promotional campaign reaches, to measure all of them together.

    Attributes
    ----------
    share
        Of all customers.
    until
        First day on which they are addressed again.
    wave
        Part of the salt: another wave draws other people.
    """

    share: Annotated[float, Field(gt=0, le=0.5)]
    until: dt.date
    wave: str = "1"


_COMPLAINED = {"days_since_last": "complaint", "<=": 30}
_REFUNDED = {"days_since_last": "refund", "<=": 14}
_UNHAPPY = {
    "any": [
        {"all": [{"days_since_last": "survey_nps", "<=": 90}, {"last": "survey_nps", "<=": 6}]},
        {"all": [{"days_since_last": "survey_csat", "<=": 90}, {"last": "survey_csat", "<=": 2}]},
    ]
}
_FULL_PRICE = {
    "all": [
        {"days_since_last": "purchase", "<=": 14},
        {"not": {"days_since_last": "redemption", "<=": 14}},
    ]
}


class ContactPrice(Strict):
    """Price of one more contact, which the value of every promotional contact is less.

    Attributes
    ----------
    opt_out_risk
        Chance to opt out after a message, where withdrawals are too few to learn it.
    response_drop
        Share by which a message lowers the answers to the next, where answers are too few.
    days
        Days that a contact counts.
    lost_share
        Share of the expected spend (``clv``) that messages bring: what an opt-out loses.
    """

    opt_out_risk: Annotated[float, Field(ge=0, le=1)] = 0.001
    response_drop: Share = 0.02
    days: PositiveDays = 30
    lost_share: Annotated[float, Field(ge=0, le=1)] = 0.1


class ContactPolicy(Strict):
    """Rules of contact that hold for every promotional campaign.

    Attributes
    ----------
    caps
        Contacts already made are read from the events of the role ``sent``.
    suppress
        Reason -> rule on the customer's past, in the form of stage rules.
    no_discount
        The same, for campaigns whose offer is a discount.
    sunset
        None: nobody is given up.
    needs_profiling
        Whether audiences made from scores need the consent ``profiling``, where it is recorded.
    campaigns_at_once
        Promotional campaigns a customer may be in at the same time.
    objective
        ``priority``: campaigns are served in their order, each takes its best. ``value``: the
        assignment of the highest expected value, whatever the order.
    budget
        Money for contacts and discounts of all promotional campaigns of a run; null: no limit.
    margin
        Share of the spend that is earned, where no product says.
    contact_price
        Price of one more contact; null: contacts have no price beside their cost.
    """

    caps: tuple[Cap, ...] = (
        Cap(contacts=3, days=7),
        Cap(contacts=1, days=7, channel="sms"),
    )
    suppress: dict[str, PlainMapping] = Field(
        default={
            "open complaint": _COMPLAINED,
            "refund in the last 14 days": _REFUNDED,
            "unhappy in the last survey": _UNHAPPY,
        }
    )
    no_discount: dict[str, PlainMapping] = Field(
        default={"full-price order in the last 14 days": _FULL_PRICE}
    )
    sunset: Sunset | None = Sunset()
    needs_profiling: bool = True
    campaigns_at_once: Annotated[int, Field(ge=1, le=20)] = 1
    objective: Literal["priority", "value"] = "priority"
    budget: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    margin: Annotated[float, Field(gt=0, le=1)] = 1.0
    global_holdout: GlobalHoldout | None = None
    contact_price: ContactPrice | None = None


class MaxAge(Strict):
    """How many days old the data of an export may be; null: however old.

    Attributes
    ----------
    consents
        Of the consents, and of the customers table.
    suppressions
        Of every suppression list.
    events
        Of the sources of events together.
    """

    consents: PositiveDays | None = 30
    suppressions: PositiveDays | None = 30
    events: PositiveDays | None = 30


class CustomerData(Strict):
    """Base of the config: the tables beside events."""

    customers: Annotated[CustomersTable | None, USE] = None
    consents: Annotated[ConsentsTable | None, USE] = None
    suppressions: Annotated[tuple[SuppressionList, ...], USE] = ()
    products: Annotated[ProductsTable | None, USE] = None
    consent: Annotated[Literal["not_recorded", "managed_elsewhere", "recorded"], USE] = (
        "not_recorded"
    )
    channels: Annotated[tuple[Name, ...], USE] = ()
    max_age: Annotated[MaxAge, USE] = MaxAge()
    contact_policy: Annotated[ContactPolicy, USE] = ContactPolicy()
    exports: Annotated[tuple[str, ...], USE] = ()
    experiments: Annotated[tuple[str, ...], USE] = ()
    export_mode: Annotated[Literal["full", "delta"], USE] = "full"

    def customer_dates(self) -> tuple[str, ...]:
        """Names of the dates that the customers table declares."""
        return () if self.customers is None else tuple(self.customers.columns.dates)

    def _consent_disagreements(self) -> Iterator[str]:
        recorded = self.consents is not None or (
            self.customers is not None and bool(self.customers.columns.consent)
        )
        if self.consent == "recorded" and not recorded:
            yield (
                "`consent: recorded` without `consents`, or `customers: {columns: {consent: ...}}`"
            )
        contacts = self.customers.columns.contact if self.customers is not None else {}
        for kind in ADDRESSES:
            named = self.consents is not None and getattr(self.consents.columns, kind)
            if named and kind not in contacts:
                yield (
                    f"`consents: {{columns: {{{kind}: ...}}}}` without "
                    f"`customers: {{columns: {{contact: {{{kind}: ...}}}}}}`: nobody has it"
                )
