"""Reasons in words: the theme of a feature column, and a sentence with the customer's values.

Sentences are built from the meanings in the feature catalogue, so a new feature needs no new text.
Recency, tenure, spend and stage have sentences of their own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache

import numpy as np

from features.contracts import ROLE_WORDS, ROLES

# Patterns of columns and their themes; the first match wins.
_ROLE = "|".join(sorted(ROLES, key=len, reverse=True))
_THEMES = (
    (rf"^({_ROLE})__recency_days$", r"\1_recency"),
    (r"^cadence__recency_over_.*|^btyd__(p_alive|t_x)$", "purchase_recency"),
    (r"^cadence__gap_.*|^tenure__purchase_rate$|^btyd__expected_days$", "purchase_rhythm"),
    (r"^purchase__amount_.*|^btyd__(mean_value|value_n|expected_value|clv)$", "purchase_spend"),
    (r"^contract__(age|length|paid|payments)$", "tenure"),
    (rf"^({_ROLE})__(count_year_ago|sum_year_ago)_.*", r"\1_season"),
    (rf"^({_ROLE})__(sum_)?trend_.*", r"\1_trend"),
    (rf"^({_ROLE})__(sum|mean)_.*", r"\1_spend"),
    (rf"^({_ROLE})__(count|days)_.*", r"\1_activity"),
    (r"^cadence__days$|^btyd__x$", "purchase_activity"),
    (rf"^tenure__days$|^cadence__span_days$|^btyd__T$|^({_ROLE})__age_days$", "tenure"),
    (rf"^response__({_ROLE})_.*", r"\1_response"),
    (r"^preference__(.*)_(share|n|distinct)$", r"preference_\1"),
    (r"^stage__.*", "stage"),
)
_MONEY_DIGITS = 2


@cache
def column_theme(column: str) -> str:
    """Return the theme of a column; columns of one theme form one reason."""
    for pattern, name in _THEMES:
        found = re.match(pattern, column)
        if found is not None:
            return found.expand(name)
    return column.split("__")[0]


def is_sensitive_theme(name: str, sensitive: tuple[str, ...]) -> bool:
    """Return whether a theme is about an attribute that the config lists as sensitive."""
    return any(name == f"preference_{attribute}" for attribute in sensitive)


def theme_sentence(
    name: str,
    column: str,
    row: Mapping[str, float],
    meanings: Mapping[str, tuple[str, str]],
    *,
    stage: str | None = None,
    currency: str = "",
    period_days: int = 0,
) -> str:
    """Describe a theme of one customer in a phrase with values and units.

    Parameters
    ----------
    name
        The theme.
    column
        The column of the theme with the largest contribution.
    row
        The customer's features.
    meanings
        Unit and meaning of every column, from the catalogue.
    stage
        Name of the stage by the rules.
    currency
        Currency of amounts; empty: amounts without a unit.
    period_days
        Days of a period in ``stage__periods_in_stage``; 0: unknown.
    """
    if name == "stage":
        return _stage(row, stage, period_days)
    if name.endswith("_recency"):
        return _silence(name.removesuffix("_recency"), row)
    if name == "purchase_rhythm" and _known(row, "cadence__gap_median"):
        return f"usual gap between purchases {_number(row['cadence__gap_median'])} days"
    if name == "tenure" and _known(row, "tenure__days"):
        return f"a customer or lead for {_number(row['tenure__days'])} days"
    if name == "purchase_spend" and not _known(row, column):
        column = "purchase__amount_mean"
    unit, meaning = meanings.get(column, ("", column.replace("__", " ").replace("_", " ")))
    meaning = _plain(meaning)
    if not _known(row, column):
        return f"{meaning}: none yet"
    value = row[column]
    if unit in ("events", "days") and not meaning.startswith(("mean", "days from")):
        return f"{_number(value)} {_singular(meaning) if value == 1 else meaning}"
    if unit == "share":
        return f"{meaning}: {100 * value:.0f} %"
    digits = _MONEY_DIGITS if unit == "money" else 1
    return f"{meaning}: {_number(value, digits)}{_suffix(unit, meaning, currency)}"


def _suffix(unit: str, meaning: str, currency: str) -> str:
    """Return what follows a number: a currency, a ratio's wording, or nothing."""
    if unit == "money" and currency:
        return f" {currency}"
    if unit != "ratio" or " per " in meaning:
        return ""
    if " against " in meaning:
        return f" times as {'much' if meaning.startswith('amount') else 'many'}"
    return " times"


def _silence(role: str, row: Mapping[str, float]) -> str:
    """Describe the days since the last event; for purchases also the customer's usual gap."""
    event_word = ROLE_WORDS.get(role, (role, role))[1]
    if not _known(row, f"{role}__recency_days"):
        return f"no {event_word} so far"
    silent_days = row[f"{role}__recency_days"]
    usual_gap = row.get("cadence__gap_median", np.nan) if role == "purchase" else np.nan
    gap_text = "" if np.isnan(usual_gap) else f", usual gap {_days(usual_gap)}"
    if silent_days <= (30.0 if np.isnan(usual_gap) else usual_gap):
        return f"last {event_word} {_days(silent_days)} ago{gap_text}"
    return f"no {event_word} for {_days(silent_days)}{gap_text}"


def _stage(row: Mapping[str, float], stage: str | None, period_days: int) -> str:
    """Describe the stage and, in whole periods, how long the customer has been in it."""
    periods = row.get("stage__periods_in_stage", np.nan)
    sentence = f"in stage {stage or 'unknown'}"
    if np.isnan(periods):
        return sentence
    if period_days:
        if periods == 0:
            return f"{sentence} for less than {_days(period_days)}"
        return f"{sentence} for at least {_days(periods * period_days)}"
    if periods == 0:
        return f"{sentence} since this period"
    return f"{sentence} for {_number(periods)} whole period{'' if periods == 1 else 's'}"


@cache
def _plain(meaning: str) -> str:
    """Replace role names in a meaning by words."""
    for role_name, (plural, singular) in ROLE_WORDS.items():
        meaning = re.sub(rf"\b{role_name} events?\b(?<=events)", plural, meaning)
        meaning = re.sub(rf"\b{role_name} event\b", singular, meaning)
        meaning = re.sub(rf"\bamount of {role_name}\b", f"amount of {plural}", meaning)
    return meaning


def _singular(meaning: str) -> str:
    """Return the meaning of a count of one, such as ``day with a purchase``."""
    for plural, singular in (("days with", "day with"), *ROLE_WORDS.values()):
        if meaning.startswith(f"{plural} "):
            return singular + meaning.removeprefix(plural)
    return meaning


def _known(row: Mapping[str, float], column: str) -> bool:
    return column in row and bool(np.isfinite(row[column]))


def _number(value: float, digits: int = 0) -> str:
    rounded = round(float(value), digits)
    return f"{rounded:,.{digits}f}" if rounded % 1 else f"{rounded:,.0f}"


def _days(value: float) -> str:
    return "1 day" if value == 1 else f"{_number(value)} days"
