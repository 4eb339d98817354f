"""Playbooks: definition of a campaign, its audience, its offer and its measurement."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from campaigns.playbook_parts import (
    ELSEWHERE,
    NOTHING,
    CampaignName,
    Channels,
    Days,
    Line,
    NamedOffer,
    Offer,
    Share,
    Success,
    Trigger,
    Value,
)
from campaigns.rules import AudienceRule, parse_rule
from campaigns.stage_set import StageKind, StageSet
from features.config.types import Strict
from features.errors import UserError
from features.similar_names import did_you_mean

OTHER_TAXONOMIES = "other"


class Playbook(Strict):
    """One campaign.

    Attributes
    ----------
    campaign, title, description
        Identifier, and text for the marketer.
    kind
        ``promotional``: few at once per customer (contact policy), with a control group.
        ``service``: never held out, allowed beside other campaigns. ``list``: ids for an
        advertising tool, without messages. ``site_rule``: a rule for the site tool about anonymous
        visitors, without an audience.
    stages
        Taxonomy name -> addressed stages, with ``other`` for all other taxonomies. Instead of
        names: ``all``, ``silent_buyers``, or ``active`` (stages not entered by inactivity).
    trigger
        Triggers; one of them must have fired for a newcomer.
    audience
        Rule on scored columns that a newcomer must meet.
    exit_on
        Rule that ends a membership; null: it ends when ``audience`` no longer holds.
    expires_days, re_entry_days, max_contacts
        Days of a membership; days from leaving to the next entry; most messages in one
        membership.
    rank_by
        Columns; their product orders the customers, highest first.
    channel
        One channel, or several: each customer gets the first that consent and caps allow.
    offer, offers
        What the customer gets; or several offers, of which each customer gets one or nothing.
    exploration_share
        Share of the treated newcomers who get a randomly drawn offer, 0 to below 1.
    exploration
        How they draw: ``uniform``, every offer equally often; ``thompson``, every offer as often as
        it is the best one by its learned effect and error.
    exploration_floor
        Least probability of each possible offer in a ``thompson`` draw: without it, nothing would
        be learned of an offer that looks bad. At most 1 / number of offers.
    send_time
        ``customer``: the lists name the hour and weekday at which each customer is most likely
        active, where that is known to beat the best time of all. ``campaign``: they name none.
    value, contact_cost
        Expected value = margin x product - discount x redeemed - contact cost, in money.
    control_share
        Share of the selected customers without a message, 0 to below 1.
    capacity
        Most customers in the campaign at once, both arms; null: no limit.
    budget
        Most money for contacts and discounts of one run's newcomers; null: no limit.
    exclude
        Rule of a second list: customers the advertising tool must exclude (kind ``list``).
    priority
        1 is served first.
    """

    campaign: CampaignName
    title: Line
    description: Line
    kind: Literal["promotional", "service", "list", "site_rule"] = "promotional"
    stages: dict[CampaignName, tuple[CampaignName, ...] | StageKind]
    trigger: Annotated[tuple[Trigger, ...], Field(min_length=1)]
    audience: Annotated[Any, BeforeValidator(lambda node: parse_rule(node, "audience"))]
    exit_on: Annotated[
        Any, BeforeValidator(lambda node: None if node is None else parse_rule(node, "exit_on"))
    ] = None
    expires_days: Days
    re_entry_days: Annotated[int, Field(ge=0, le=3650)] = 0
    max_contacts: Annotated[int, Field(ge=1, le=100)] | None = None
    rank_by: Annotated[tuple[CampaignName, ...], Field(min_length=1)]
    value: Value | None = None
    channel: Channels
    offer: Offer | None = None
    offers: tuple[NamedOffer, ...] = ()
    exploration_share: Share = 0.0
    exploration: Literal["uniform", "thompson"] = "uniform"
    exploration_floor: Annotated[float, Field(gt=0, le=0.5)] = 0.05
    send_time: Literal["campaign", "customer"] = "campaign"
    contact_cost: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    control_share: Share
    success: Success
    priority: Annotated[int, Field(ge=1, le=1000)]
    capacity: Annotated[int, Field(ge=1)] | None = None
    budget: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    exclude: Annotated[
        Any, BeforeValidator(lambda node: None if node is None else parse_rule(node, "exclude"))
    ] = None

    @model_validator(mode="after")
    def _consistent(self) -> Playbook:
        if disagreements := [*self._disagreements(), *self._disagreements_of_offers()]:
            raise ValueError("\n".join(disagreements))
        return self

    def _disagreements(self) -> Iterator[str]:
        """What the keys say against each other, one line each."""
        if self.kind == "promotional" and self.value is None:
            yield "a promotional campaign needs `value`"
        if self.kind == "list" and self.control_share > 0:
            yield "an advertising list addresses nobody by name: control_share must be 0"
        if self.exclude is not None and self.kind != "list":
            yield "`exclude` belongs to campaigns of the kind list"
        if OTHER_TAXONOMIES not in self.stages:
            yield f"stages needs `{OTHER_TAXONOMIES}`, for taxonomies that are not named"
        if self.kind == "service" and self.control_share > 0:
            yield "a service message is never held out: control_share must be 0"
        is_compared = self.kind == "promotional" and self.control_share > 0
        if is_compared and self.success.metric == ELSEWHERE:
            yield f"`success.metric: {ELSEWHERE}` is for campaigns without a control arm"
        if not is_compared and self.success.metric != ELSEWHERE:
            yield (
                f"without held-out customers {self.success.metric!r} cannot be computed: write "
                f"`metric: {ELSEWHERE}`, and under `means` what you look at"
            )
        if self.success.metric != "response" and "role" in self.success.model_fields_set:
            yield "`success.role` belongs to the metric response"

    def _disagreements_of_offers(self) -> Iterator[str]:
        """What `offer` and `offers` say against other keys, one line each."""
        if (self.offer is None) == (not self.offers):
            yield "a playbook needs either `offer` or `offers`"
        if not self.offers:
            if self.exploration_share > 0:
                yield "`exploration_share` belongs to playbooks with `offers`"
            if self.exploration != "uniform":
                yield "`exploration` belongs to playbooks with `offers`"
            return
        if self.exploration != "uniform" and self.exploration_share == 0:
            yield f"`exploration: {self.exploration}` needs an `exploration_share` above 0"
        if "exploration_floor" in self.model_fields_set and self.exploration == "uniform":
            yield "`exploration_floor` belongs to `exploration: thompson`"
        if self.exploration == "thompson" and self.exploration_floor * len(self.offers) > 1:
            yield (
                f"exploration_floor must be at most 1 / number of offers, "
                f"{1 / len(self.offers):.3g}: it is {self.exploration_floor:g}"
            )
        names = [named.name for named in self.offers]
        if self.kind != "promotional":
            yield "`offers` belong to promotional campaigns"
        if len(set(names)) < len(names) or NOTHING in names:
            yield f"every offer needs a name of its own, other than {NOTHING!r}"
        if self.exploration_share > 0 and self.control_share == 0:
            yield (
                "exploring needs a control arm, or no offer can be compared with nothing: "
                "control_share must be above 0"
            )
        share = self.value.incremental_share if self.value is not None else None
        assumed = [named.incremental_share or share for named in self.offers]
        if None in assumed:
            yield (
                f"offer {names[assumed.index(None)]!r} needs `incremental_share`, its own or that "
                "of `value`: it counts until draws have taught the effect"
            )

    @property
    def rules(self) -> tuple[AudienceRule, ...]:
        """Rules of the playbook: audience, exit and exclusion."""
        optional_rules = (self.audience, self.exit_on, self.exclude)
        return tuple(rule for rule in optional_rules if rule is not None)

    @property
    def channels(self) -> tuple[str, ...]:
        """Channels of all offers, the preferred one first."""
        own = (self.channel,) if isinstance(self.channel, str) else self.channel
        if not self.offers:
            return own
        return tuple(dict.fromkeys(name for book in self.variants for name in book.channels))

    @property
    def variants(self) -> tuple[Playbook, ...]:
        """The playbook with each of its offers alone; without `offers` the playbook itself."""
        return tuple(self._variant(named) for named in self.offers) or (self,)

    def _variant(self, named: NamedOffer) -> Playbook:
        changes: dict[str, Any] = {"offer": named, "offers": ()}
        if named.channel is not None:
            changes["channel"] = named.channel
        if named.contact_cost is not None:
            changes["contact_cost"] = named.contact_cost
        if named.incremental_share is not None and self.value is not None:
            share = {"incremental_share": named.incremental_share}
            changes["value"] = self.value.model_copy(update=share)
        return self.model_copy(update=changes)

    @property
    def discount(self) -> float:
        """Least discount of the offers, a share of the order value."""
        return min(book.offer.discount for book in self.variants if book.offer is not None)

    @property
    def valid_days(self) -> int:
        """Days in which a discount can be redeemed."""
        own_days = self.offer.valid_days if self.offer is not None else None
        return own_days or self.success.within_days

    @property
    def offer_texts(self) -> dict[str, str]:
        """Text of each offer by name; of a playbook with a single offer the name is empty."""
        if self.offer is not None:
            return {"": self.offer.text}
        return {named.name: named.text for named in self.offers}

    @property
    def fixed_columns(self) -> tuple[str, ...]:
        """Scored columns for rank, value and base rate."""
        value_rule = self.value
        value_columns = (
            (*value_rule.product, *(value_rule.redeemed or ())) if value_rule is not None else ()
        )
        chance_columns = (
            ("p_any_order", "clv_horizon_days", "p_churn") if value_rule is not None else ()
        )
        base_rate_column = (self.success.base_rate,) if self.success.base_rate is not None else ()
        return (*self.rank_by, *value_columns, *chance_columns, *base_rate_column)

    def addressed(self, taxonomy: StageSet) -> tuple[str, ...]:
        """Stages of a taxonomy that the playbook addresses; empty if it has none of them.

        Raises
        ------
        UserError
            If the playbook names a stage for this taxonomy that the taxonomy lacks.
        """
        listed = self.stages.get(taxonomy.name, self.stages[OTHER_TAXONOMIES])
        if isinstance(listed, str):
            return taxonomy.kind(listed)
        unknown = [stage for stage in listed if stage not in taxonomy.stages]
        if unknown and taxonomy.name in self.stages:
            raise UserError(
                f"campaign {self.campaign}: stages.{taxonomy.name}",
                found=f"stage {unknown[0]!r}",
                expected=f"stages of that taxonomy: {', '.join(taxonomy.stages)}",
                hint=did_you_mean(unknown[0], taxonomy.stages),
            )
        return tuple(stage for stage in listed if stage in taxonomy.stages)


def by_priority(playbooks: Iterable[Playbook]) -> list[Playbook]:
    """Playbooks by priority, equal ones by name."""
    return sorted(playbooks, key=lambda playbook: (playbook.priority, playbook.campaign))
