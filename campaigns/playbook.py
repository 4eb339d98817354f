"""Playbooks: what a campaign is, whom it addresses, what it offers and how it is measured."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from campaigns.rules import KNOWN_COLUMNS, Rule, RuleError, conditions, is_known, parse_rule
from campaigns.stage_set import StageKind
from campaigns.stage_set import StageSet as StageSet
from features.config.types import Strict
from features.config.yaml_loading import parse_yaml
from features.errors import Problems, UserError

OTHER = "other"
Share = Annotated[float, Field(ge=0, lt=1)]
Days = Annotated[int, Field(ge=1, le=3650)]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Line = Annotated[str, Field(min_length=1, max_length=2000)]


class Trigger(Strict):
    """What starts the campaign for a customer; one of a playbook's triggers must have fired.

    Attributes
    ----------
    when
        ``stage_entered``: the customer moved into the stage by behaviour or by the clock (a step
        down by the clock counts once two daily evaluations agree). ``flag_raised``: the flag
        holds. ``score_risen``: the column is higher than in the scores before, or new. ``event``:
        ``after_days`` have passed since the last event of the role. ``date``: that many days
        since the date in the column. ``schedule``: at every planning.
    within_days
        How long after that it may still start; null: as long as the audience rule holds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    when: Literal["stage_entered", "flag_raised", "score_risen", "event", "date", "schedule"]
    stage: Name | None = None
    flag: Name | None = None
    column: Name | None = None
    role: Name | None = None
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
    """What the customer is offered.

    Attributes
    ----------
    text
        For the marketer who writes the message.
    discount
        Share of the order value given away; 0 where the offer is no discount.
    """

    text: Line
    discount: Share = 0.0


class Value(Strict):
    """What one contact may bring, in money.

    Attributes
    ----------
    product
        Scored columns whose product is the spend that may follow.
    means
        That product in words.
    margin
        Share of the spend that is earned; null: that of the contact policy.
    redeemed
        Columns whose product is the spend to which a discount would apply; null: `product`.
    uplift
        Experiment whose uplift the scores carry for this campaign; null: its own name.
    """

    product: Annotated[tuple[Name, ...], Field(min_length=1)]
    means: Line
    margin: Annotated[float, Field(gt=0, le=1)] | None = None
    redeemed: tuple[Name, ...] | None = None
    uplift: Line | None = None


class Success(Strict):
    """How the campaign will be judged, treatment minus control.

    Attributes
    ----------
    metric, within_days
        What is counted, and for how long after the start.
    base_rate
        Scored probability whose mean stands for the rate without the campaign (or for its
        complement: the smallest detectable effect is the same).
    role
        Role of the event that counts as a response.
    """

    metric: Line
    within_days: Days
    base_rate: Name | None = None
    role: Literal["purchase", "lead", "intent", "advocacy", "redemption", "survey_csat"] = (
        "purchase"
    )


class Playbook(Strict):
    """One campaign.

    Attributes
    ----------
    campaign, title, description
        Identifier, and words for the marketer.
    kind
        ``promotional``: at most one such campaign a customer and run, with a control group.
        ``service``: never held out, may come beside another. ``list``: ids for an advertising
        tool, nobody is written to. ``site_rule``: about visitors without a name, so it ends in a
        rule for the site tool and no audience.
    stages
        Taxonomy name -> stages it addresses, with ``other`` for every taxonomy not named. Instead
        of names: ``all``, ``silent_buyers``, or ``active``: the stages that no silence leads to.
    trigger
        What starts it; the first version lists everyone who fits the audience.
    audience
        Rule on scored columns that a newcomer must meet.
    exit_on
        Rule that ends a membership; without it, no longer meeting ``audience`` does.
    expires_days, re_entry_days, max_contacts
        Days a membership lasts; days from leaving until the customer may enter again; messages
        in one membership.
    rank_by
        Columns whose product orders the customers, best first.
    channel
        One, or several of which each customer gets the first that consent and caps allow.
    value, contact_cost
        Expected value = margin x product - discount x redeemed - contact cost, in money.
    control_share
        Share of the selected customers who get no message.
    capacity
        Most customers in the campaign at once, both arms; null: no limit.
    budget
        Most money for contacts and discounts of those who enter in one run; null: no limit.
    exclude
        Rule of a second list, of those an advertising tool must leave out (kind ``list``).
    priority
        1 is served first.
    """

    campaign: Name
    title: Line
    description: Line
    kind: Literal["promotional", "service", "list", "site_rule"] = "promotional"
    stages: dict[Name, tuple[Name, ...] | StageKind]
    trigger: Annotated[tuple[Trigger, ...], Field(min_length=1)]
    audience: Annotated[Any, BeforeValidator(lambda node: parse_rule(node, "audience"))]
    exit_on: Annotated[
        Any, BeforeValidator(lambda node: None if node is None else parse_rule(node, "exit_on"))
    ] = None
    expires_days: Days
    re_entry_days: Annotated[int, Field(ge=0, le=3650)] = 0
    max_contacts: Annotated[int, Field(ge=1, le=100)] | None = None
    rank_by: Annotated[tuple[Name, ...], Field(min_length=1)]
    value: Value | None = None
    channel: Name | Annotated[tuple[Name, ...], Field(min_length=1)]
    offer: Offer
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
        if self.kind == "promotional" and self.value is None:
            raise ValueError("a promotional campaign needs `value`")
        if self.kind == "list" and self.control_share > 0:
            raise ValueError(
                "an advertising list addresses nobody by name: control_share must be 0"
            )
        if self.exclude is not None and self.kind != "list":
            raise ValueError("`exclude` belongs to campaigns of the kind list")
        if OTHER not in self.stages:
            raise ValueError(f"stages needs `{OTHER}`, for taxonomies that are not named")
        if self.kind == "service" and self.control_share > 0:
            raise ValueError("a service message is never held out: control_share must be 0")
        return self

    @property
    def rules(self) -> tuple[Rule, ...]:
        """Its rules: the audience, what ends a membership, whom to leave out."""
        found = (self.audience, self.exit_on, self.exclude)
        return tuple(rule for rule in found if rule is not None)

    @property
    def channels(self) -> tuple[str, ...]:
        """Its channels, the preferred one first."""
        return (self.channel,) if isinstance(self.channel, str) else self.channel

    @property
    def fixed_columns(self) -> tuple[str, ...]:
        """Columns that rank customers and make up their value."""
        value = self.value
        asked = (*value.product, *(value.redeemed or ())) if value is not None else ()
        base = (self.success.base_rate,) if self.success.base_rate is not None else ()
        return (*self.rank_by, *asked, *base)

    def addressed(self, taxonomy: StageSet) -> tuple[str, ...]:
        """Stages of a taxonomy that it addresses; none where the taxonomy has no such stage.

        Raises
        ------
        UserError
            Where the playbook names a stage for this very taxonomy that it lacks.
        """
        listed = self.stages.get(taxonomy.name, self.stages[OTHER])
        if isinstance(listed, str):
            return taxonomy.kind(listed)
        unknown = [stage for stage in listed if stage not in taxonomy.stages]
        if unknown and taxonomy.name in self.stages:
            raise UserError(
                f"campaign {self.campaign}: stages.{taxonomy.name}",
                found=f"stage {unknown[0]!r}",
                expected=f"stages of that taxonomy: {', '.join(taxonomy.stages)}",
            )
        return tuple(stage for stage in listed if stage in taxonomy.stages)


def load_playbook(path: Path) -> Playbook:
    """Playbook of a YAML file.

    Raises
    ------
    UserError
        Naming the file, every key at fault, what was found and what is allowed.
    """
    problems = Problems()
    try:
        playbook = Playbook.model_validate(parse_yaml(path))
    except ValidationError as error:
        for single in error.errors():
            problems.add(_problem(single, path))
        raise problems.joined() from error
    for key, column in _named_columns(playbook):
        if not is_known(column):
            problems.add(
                UserError(
                    f"{path}: {key}",
                    found=f"column {column!r}",
                    expected=f"a scored column: {', '.join(KNOWN_COLUMNS)}, "
                    "preferred_<attribute>..., interest_<attribute>...",
                )
            )
    problems.refuse()
    return playbook


def load_playbooks(paths: Iterable[Path], problems: Problems | None = None) -> list[Playbook]:
    """Playbooks in order of priority (equal ones by name).

    `problems` collects what is wrong with files, which then are left out; without it, it is raised.

    Raises
    ------
    UserError
        As `load_playbook`, and where two files describe the same campaign.
    """
    seen: dict[str, Path] = {}
    playbooks = []
    kept = problems if problems is not None else Problems()
    for path in paths:
        with kept.collect():
            playbook = load_playbook(path)
            if playbook.campaign in seen:
                raise UserError(
                    f"{path}: campaign",
                    found=f"{playbook.campaign!r}, which {seen[playbook.campaign]} has too",
                    expected="one file a campaign",
                )
            seen[playbook.campaign] = path
            playbooks.append(playbook)
    if problems is None:
        kept.refuse()
    return by_priority(playbooks)


def by_priority(playbooks: Iterable[Playbook]) -> list[Playbook]:
    """Playbooks in the order they are served."""
    return sorted(playbooks, key=lambda playbook: (playbook.priority, playbook.campaign))


def _named_columns(playbook: Playbook) -> list[tuple[str, str]]:
    """Every scored column a playbook names, with its key."""
    found = [("audience", each.column) for each in conditions(playbook.audience)]
    for key in ("exit_on", "exclude"):
        rule = getattr(playbook, key)
        found += [(key, each.column) for each in conditions(rule)] if rule is not None else []
    found += [("rank_by", column) for column in playbook.rank_by]
    if playbook.value is not None:
        found += [("value.product", column) for column in playbook.value.product]
        found += [("value.redeemed", column) for column in playbook.value.redeemed or ()]
    if playbook.success.base_rate is not None:
        found.append(("success.base_rate", playbook.success.base_rate))
    return found


def _problem(first: Any, path: Path) -> UserError:
    """A problem of a validation as one message."""
    loc: Sequence[int | str] = first["loc"]
    key = ".".join(str(part) for part in loc)
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, RuleError):
        return UserError(f"{path}: {cause.key}", found=cause.found, expected=cause.expected)
    if first["type"] == "extra_forbidden":
        return UserError(
            f"{path}: {key}",
            found="an unknown key",
            expected=f"one of {', '.join(_allowed(loc[:-1]))}",
            hint="check the spelling, or remove the key",
        )
    if first["type"] == "missing":
        return UserError(
            f"{path}: {key}", found="nothing", expected="this key", hint="add it to the file"
        )
    found = "the keys together" if isinstance(first["input"], dict) else repr(first["input"])
    expected = str(cause) if cause is not None else first["msg"]
    return UserError(f"{path}: {key}".removesuffix(": "), found=found, expected=expected)


def _allowed(loc: Sequence[int | str]) -> list[str]:
    """Keys of the block at a place of the playbook."""
    blocks: dict[str, type[BaseModel]] = {
        "trigger": Trigger,
        "offer": Offer,
        "value": Value,
        "success": Success,
    }
    block = blocks.get(str(loc[0]), Playbook) if loc else Playbook
    return list(block.model_fields)
