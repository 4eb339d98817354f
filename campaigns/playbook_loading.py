"""Playbooks of YAML files, and every problem of a file in one answer."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from campaigns.playbook import Playbook, by_priority
from campaigns.rules import (
    KNOWN_COLUMNS,
    ORDER_WITHIN_DAYS,
    UPLIFT,
    RuleError,
    is_scored_column,
    parse_rule,
    rule_conditions,
)
from campaigns.stage_set import StageSet
from features.config.validation_messages import allowed_keys, in_plain_words
from features.config.yaml_loading import parse_yaml
from features.errors import Problems, UserError
from features.similar_names import did_you_mean
from features.sources.channels import CONTACT_CHANNELS

# Expected money over all outcomes, and chances that it contains already.
_SPEND = ("clv", "clv_margin", "clv_low", "clv_high")
_CHANCES = ("p_any_order", "p_first_purchase", "p_reactivate", "p_churn", ORDER_WITHIN_DAYS)


def load_playbook(path: Path) -> Playbook:
    """Playbook of a YAML file.

    Raises
    ------
    UserError
        For every invalid key, with the file, the value and the allowed values.
    """
    problems, content = Problems(), parse_yaml(path)
    playbook: Playbook | None = None
    try:
        playbook = Playbook.model_validate(content)
    except ValidationError as error:
        details = error.errors()
        places = [detail["loc"] for detail in details]
        for detail in details:
            # A list all of whose entries are refused counts as empty, which is no problem.
            size = len(detail["loc"])
            below = any(place[:size] == detail["loc"] and len(place) > size for place in places)
            if detail["type"] != "too_short" or not below:
                for problem in _problems_of(detail, path):
                    problems.add(problem)
    for key, column in _named_columns(content):
        if not is_scored_column(column):
            problems.add(_unknown_column(f"{path}: {key}", column))
    for key, columns in _spend_products(content):
        if any(name in _SPEND for name in columns) and any(name in _CHANCES for name in columns):
            problems.add(
                UserError(
                    f"{path}: {key}",
                    found=" x ".join(columns),
                    expected="`clv` alone, which contains the chance of an order, or a chance "
                    "times `average_order_value`",
                    hint="for the spend that is lost with a customer, write `product: [clv]` and "
                    "`at_risk: true`",
                )
            )
    if playbook is None or problems.errors:
        raise problems.joined()
    return playbook


def load_playbooks(paths: Iterable[Path], problems: Problems | None = None) -> list[Playbook]:
    """Playbooks in order of priority (equal ones by name); see `playbooks_by_file`.

    Raises
    ------
    UserError
        As `playbooks_by_file`.
    """
    return by_priority(playbooks_by_file(paths, problems).values())


def playbooks_by_file(
    paths: Iterable[Path], problems: Problems | None = None
) -> dict[Path, Playbook]:
    """Playbooks by their files, in the order of the files.

    With `problems`, errors are collected there and the files skipped; without, they are raised.

    Raises
    ------
    UserError
        As `load_playbook`, and if two files describe the same campaign.
    """
    path_of_campaign: dict[str, Path] = {}
    playbooks: dict[Path, Playbook] = {}
    collector = problems if problems is not None else Problems()
    for path in paths:
        with collector.collect():
            playbook = load_playbook(path)
            if earlier_path := path_of_campaign.get(playbook.campaign):
                raise UserError(
                    f"{path}: campaign",
                    found=f"{playbook.campaign!r}, which {earlier_path} has too",
                    expected="one file per campaign",
                )
            path_of_campaign[playbook.campaign] = path
            playbooks[path] = playbook
    if problems is None:
        collector.refuse()
    return playbooks


@contextmanager
def problems_of_file(problems: Problems, path: Path) -> Iterator[None]:
    """Collect the errors of a block as problems of a file, which their place then names first."""
    try:
        yield
    except UserError as error:
        for single in error.problems:
            place = f"{path}: {single.where}"
            problems.add(
                UserError(place, found=single.found, expected=single.expected, hint=single.hint)
            )


def known_channels(declared: Sequence[str] = ()) -> tuple[str, ...]:
    """Channels that a playbook may name: built-in ones, and those that the config declares."""
    return (*CONTACT_CHANNELS, *declared)


def refuse_unknown_names(
    playbooks: Iterable[Playbook],
    channels: Sequence[str],
    taxonomy: StageSet | None = None,
    dates: Collection[str] | None = None,
) -> None:
    """Refuse stages, channels and dates that nothing knows: such a campaign reaches no customer.

    Parameters
    ----------
    playbooks
        The campaigns.
    channels
        Channels that the config declares beside the built-in ones.
    taxonomy
        The stages; None: they are not checked.
    dates
        Dates of customers that the config declares; None: they are not checked.

    Raises
    ------
    UserError
        Every unknown name in one error.
    """
    problems, allowed = Problems(), known_channels(channels)
    for playbook in playbooks:
        for channel in playbook.channels:
            if channel not in allowed:
                problems.add(
                    UserError(
                        f"campaign {playbook.campaign}: channel",
                        found=f"unknown channel {channel!r}",
                        expected=f"one of: {', '.join(allowed)}",
                        hint=did_you_mean(
                            channel,
                            allowed,
                            otherwise=f"declare your own in the config: channels: [{channel}]",
                        ),
                    )
                )
        for trigger in playbook.trigger:
            if dates is not None and trigger.date is not None and trigger.date not in dates:
                problems.add(_unknown_date(playbook.campaign, trigger.date, dates))
        if taxonomy is not None:
            with problems.collect():
                playbook.addressed(taxonomy)
            for problem in _unknown_stages_of_triggers(playbook, taxonomy):
                problems.add(problem)
    problems.refuse()


def _unknown_date(campaign: str, name: str, dates: Collection[str]) -> UserError:
    declared = f"customers: {{columns: {{dates: {{{name}: COLUMN}}}}}}"
    return UserError(
        f"campaign {campaign}: trigger",
        found=f"unknown date {name!r}",
        expected=f"one of: {', '.join(dates)}" if dates else "a date that the config declares",
        hint=did_you_mean(
            name,
            dates,
            otherwise=f"declare it in the config: {declared}",
        ),
    )


def _unknown_stages_of_triggers(playbook: Playbook, taxonomy: StageSet) -> Iterator[UserError]:
    """Trigger stages of no taxonomy that the playbook names, nor of the one in use."""
    named = [stages for stages in playbook.stages.values() if not isinstance(stages, str)]
    known = [*taxonomy.stages, *(stage for stages in named for stage in stages)]
    for number, trigger in enumerate(playbook.trigger):
        if trigger.stage is not None and trigger.stage not in known:
            yield UserError(
                f"campaign {playbook.campaign}: trigger.{number}.stage",
                found=f"unknown stage {trigger.stage!r}",
                expected=f"a stage of {taxonomy.name} ({', '.join(taxonomy.stages)}), or one that "
                f"`stages` lists",
                hint=did_you_mean(trigger.stage, known),
            )


def _unknown_column(place: str, column: str) -> UserError:
    """Return the error for a column that no scored row has."""
    known = (*KNOWN_COLUMNS, UPLIFT, ORDER_WITHIN_DAYS)
    return UserError(
        place,
        found=f"column {column!r}",
        expected=f"a scored column: {', '.join(known)}, preferred_<attribute>..., "
        "interest_<attribute>...",
        hint=did_you_mean(column, known),
    )


def _spend_products(content: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    """Key and columns of every product that stands for money."""
    value = content.get("value")
    if not isinstance(value, dict):
        return []
    return [(f"value.{key}", _texts(value.get(key))) for key in ("product", "redeemed")]


def _named_columns(content: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Key and column of every scored column in a playbook; broken parts are left out."""
    for key in ("audience", "exit_on", "exclude"):
        try:
            rule = None if content.get(key) is None else parse_rule(content[key], key)
        except RuleError:
            continue
        for condition in rule_conditions(rule) if rule is not None else []:
            yield key, condition.column
    yield from (("rank_by", column) for column in _texts(content.get("rank_by")))
    for key, columns in _spend_products(content):
        yield from ((key, column) for column in columns)
    success = content.get("success")
    if isinstance(success, dict) and isinstance(success.get("base_rate"), str):
        yield "success.base_rate", success["base_rate"]


def _texts(value: object) -> list[str]:
    """Return the texts of a list."""
    return [part for part in value if isinstance(part, str)] if isinstance(value, list) else []


def _problems_of(detail: Any, path: Path) -> Iterator[UserError]:
    """Convert a validation error of pydantic to errors for the user."""
    location: Sequence[int | str] = detail["loc"]
    key_path = ".".join(str(part) for part in location)
    cause = detail.get("ctx", {}).get("error")
    if isinstance(cause, RuleError):
        for single in (cause, *cause.others):
            place = f"{path}: {single.key}"
            yield UserError(place, found=single.found, expected=single.expected, hint=single.hint)
    elif detail["type"] == "extra_forbidden":
        known = allowed_keys(Playbook, location[:-1])
        yield UserError(
            f"{path}: {key_path}",
            found="an unknown key",
            expected=f"one of {', '.join(known)}",
            hint=did_you_mean(
                location[-1], known, otherwise="check the spelling, or remove the key"
            ),
        )
    elif detail["type"] == "missing":
        yield UserError(
            f"{path}: {key_path}", found="nothing", expected="this key", hint="add it to the file"
        )
    else:
        is_block = isinstance(detail["input"], dict)
        found = "the keys together" if is_block else repr(detail["input"])
        for expected in in_plain_words(detail["msg"]).splitlines():
            yield UserError(
                f"{path}: {key_path}".removesuffix(": "), found=found, expected=expected
            )
