"""A playbook to begin with, from a few answers: valid, and explained in its comments."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from features.errors import UserError

Goal = Literal["win-back", "keep", "next-order", "first-order"]
SCHEMA_FILE = "playbook.schema.json"


@dataclass(frozen=True)
class GoalTerms:
    """What a goal means in the keys of a playbook.

    Attributes
    ----------
    title, description
        For people.
    stages
        Kind of stages that are addressed.
    audience, rank_by, value, base_rate
        As in the playbook, on one line.
    """

    title: str
    description: str
    stages: str
    audience: str
    rank_by: str
    value: str
    base_rate: str


GOALS: Mapping[Goal, GoalTerms] = {
    "win-back": GoalTerms(
        "Win back silent customers",
        "Customers who stopped buying, those most likely to come back with a good order first.",
        "silent_buyers",
        '{column: p_reactivate, ">=": 0.02}  # at least a small chance to come back',
        "[p_reactivate, average_order_value]",
        "{product: [p_reactivate, average_order_value], means: an order of their usual size if "
        "they come back}",
        "p_reactivate",
    ),
    "keep": GoalTerms(
        "Keep customers who may leave",
        "Active customers whose risk of leaving is high for similar customers, those with the "
        "most to lose first.",
        "active",
        "{column: churn_band, in: [high]}",
        "[p_churn, clv]",
        "{product: [clv], means: expected spend that is lost with the customer, at_risk: true}",
        "p_churn",
    ),
    "next-order": GoalTerms(
        "Bring the next order",
        "Active customers, those with the most valuable expected order first.",
        "active",
        "{column: p_any_order, missing: false}  # all who may order",
        "[p_any_order, average_order_value]",
        "{product: [p_any_order, average_order_value], means: an order of their usual size}",
        "p_any_order",
    ),
    "first-order": GoalTerms(
        "Bring the first order",
        "People who never bought, those most likely to buy first.",
        "all",
        "{column: p_first_purchase, missing: false}  # only people who never bought have it",
        "[p_first_purchase]",
        "{product: [clv], means: expected spend}",
        "p_first_purchase",
    ),
}

_TEXT = """\
# yaml-language-server: $schema={schema}
# An editor with a YAML language server completes the keys below and marks mistakes.
# Check this file at any time: stagecast campaign check {campaign}.yaml
campaign: {campaign}    # id: small letters, digits and _
title: {title}
description: {description}
kind: promotional    # with held-out customers, under the contact caps

# Which life-cycle stages may get it. `other` is for every set of stages that is not named.
stages:
  other: {stages}

# When newcomers enter: at the first planning of every day, week, month or quarter.
trigger:
  - {{when: schedule, every: {every}}}

# Whom: a rule on the columns of the scored row. Combine rules with all: [...], any: [...], not: ...
audience: {audience}

expires_days: {days}    # a membership ends after so many days
re_entry_days: {days}    # days until the same customer may enter again

# Who comes first where places or messages are short: these columns multiplied, highest first.
rank_by: {rank_by}
# What one contact is worth in money, before costs.
value: {value}

channel: {channel}    # in order of preference; consent decides
offer: {{text: {offer}, discount: {discount}}}    # discount: share of the order, 0.1 is 10 %
contact_cost: {cost}    # of one message

# This share gets no message, so that you can see who would have ordered anyway.
control_share: {control_share}
# What decides: response (share of people who order), orders, revenue, profit or revenue_per_order.
success: {{metric: {metric}, within_days: {days}, base_rate: {base_rate}}}

priority: {priority}    # campaigns compete for customers: 1 is served first
capacity: {capacity}    # most customers in it at once; null: no limit
"""


@dataclass(frozen=True)
class PlaybookAnswers:
    """What the author of a campaign says.

    Attributes
    ----------
    campaign, title, goal
        Id, name (empty: that of the goal), and what the campaign is for.
    stages
        Names of stages; empty: those of the goal.
    channels, offer, discount, cost
        How it reaches people, what they get, discount (share of the order), cost of a message.
    every, days, control_share, metric, capacity, priority
        As in the playbook; `days` of the membership and of success.
    """

    campaign: str
    goal: Goal
    channels: Sequence[str]
    offer: str
    title: str = ""
    stages: Sequence[str] = ()
    discount: float = 0.0
    cost: float = 0.0
    every: str = "day"
    days: int = 30
    control_share: float = 0.2
    metric: str = "response"
    capacity: int | None = None
    priority: int = 90


def playbook_text(answers: PlaybookAnswers) -> str:
    """Text of a playbook in YAML, with comments; what holds is checked by `Playbook` alone."""
    terms = GOALS[answers.goal]
    return _TEXT.format(
        schema=SCHEMA_FILE,
        campaign=answers.campaign,
        title=_quoted(answers.title or terms.title),
        description=_quoted(terms.description),
        stages=_list(answers.stages) if answers.stages else terms.stages,
        every=answers.every,
        audience=terms.audience,
        days=answers.days,
        rank_by=terms.rank_by,
        value=terms.value,
        channel=_list(answers.channels),
        offer=_quoted(answers.offer),
        discount=answers.discount,
        cost=answers.cost,
        control_share=answers.control_share,
        metric=answers.metric,
        base_rate=terms.base_rate,
        priority=answers.priority,
        capacity="null" if answers.capacity is None else answers.capacity,
    )


def _quoted(text: str) -> str:
    """Quote a text for YAML, which reads JSON."""
    return json.dumps(text, ensure_ascii=False)


def _list(names: Sequence[str]) -> str:
    return f"[{', '.join(map(_quoted, names))}]"


def write_playbook(answers: PlaybookAnswers, folder: Path) -> Path:
    """Write a playbook as ``CAMPAIGN.yaml``, with the schema for editors beside it; its path.

    Raises
    ------
    UserError
        If a file of that name exists, or the folder cannot be written to.
    """
    path = folder / f"{answers.campaign}.yaml"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(playbook_text(answers))
        shutil.copyfile(_shipped_schema(), folder / SCHEMA_FILE)
    except FileExistsError as error:
        raise UserError(
            str(path),
            found="a file of that name",
            expected="a new file: a playbook is never replaced",
            hint="choose another NAME, another --folder, or remove the file",
        ) from error
    except OSError as error:
        raise UserError(
            str(folder), found=str(error.strerror), expected="a folder that can be written to"
        ) from error
    return path


def _shipped_schema() -> Path:
    """Return the published schema: among the docs of a clone, or the configs of a wheel."""
    root = Path(__file__).resolve().parents[2]
    in_clone = root / "docs" / "schemas" / "playbook.json"
    return in_clone if in_clone.is_file() else root / "configs" / "schemas" / "playbook.json"
