"""Themes of feature columns, and sentences about a theme with a customer's values.

Sentences are made from the catalogue's meanings, so that a new feature can be a reason without
further text. Only recency, purchase rhythm, tenure and stage have their own sentences.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache

import numpy as np

from features.contracts import ROLES

# Plain names of a role's events: plural and singular.
ROLE_WORDS = {
    "touch": ("visits, opens or clicks", "visit, open or click"),
    "intent": ("carts or checkouts", "cart or checkout"),
    "lead": ("sign-ups or forms", "sign-up or form"),
    "purchase": ("purchases", "purchase"),
    "refund": ("refunds", "refund"),
    "redemption": ("redeemed offers", "redeemed offer"),
    "advocacy": ("reviews or referrals", "review or referral"),
    "support": ("support contacts", "support contact"),
    "complaint": ("complaints", "complaint"),
    "survey_nps": ("NPS answers", "NPS answer"),
    "survey_csat": ("satisfaction answers", "satisfaction answer"),
    "sent": ("messages sent", "message sent"),
    "cancel": ("cancellations", "cancellation"),
}
# Column patterns, in order of precedence, with their themes.
_ROLE = "|".join(sorted(ROLES, key=len, reverse=True))
_THEMES = (
    (rf"^({_ROLE})__recency_days$", r"\1_recency"),
    (r"^cadence__recency_over_.*|^btyd__(p_alive|t_x)$", "purchase_recency"),
    (r"^cadence__gap_.*|^tenure__purchase_rate$|^btyd__expected_days$", "purchase_rhythm"),
    (r"^purchase__amount_.*|^btyd__(mean_value|value_n|expected_value|clv)$", "purchase_spend"),
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
    """Theme of a column; columns of one theme form one reason."""
    for pattern, name in _THEMES:
        match = re.match(pattern, column)
        if match is not None:
            return match.expand(name)
    return column.split("__")[0]


def is_sensitive_theme(name: str, sensitive: tuple[str, ...]) -> bool:
    """True if a theme is about an attribute that the config lists as sensitive."""
    return any(name == f"preference_{attribute}" for attribute in sensitive)


def theme_sentence(
    theme_name: str,
    column: str,
    row: Mapping[str, float],
    meanings: Mapping[str, tuple[str, str]],
    *,
    stage: str | None = None,
) -> str:
    """Sentence about a theme with one customer's values.

    Parameters
    ----------
    theme_name
        Name of the theme.
    column
        Column of the theme with the largest addition.
    row
        Features of the customer.
    meanings
        Unit and meaning of each column, from the catalogue.
    stage
        Name of the rule stage; None if unknown.
    """
    if theme_name == "stage":
        return _stage(row, stage)
    if theme_name.endswith("_recency"):
        return _silence(theme_name.removesuffix("_recency"), row)
    if theme_name == "purchase_rhythm" and _known(row, "cadence__gap_median"):
        return f"usual gap between purchases {_number(row['cadence__gap_median'])} days"
    if theme_name == "tenure" and _known(row, "tenure__days"):
        return f"a customer or lead for {_number(row['tenure__days'])} days"
    if theme_name == "purchase_spend" and not _known(row, column):
        column = "purchase__amount_mean"
    unit_name, meaning = meanings.get(column, ("", column.replace("__", " ").replace("_", " ")))
    meaning = _plain(meaning)
    if not _known(row, column):
        return f"{meaning}: none yet"
    number = row[column]
    if unit_name in ("events", "days") and not meaning.startswith(("mean", "days from")):
        return f"{_number(number)} {_singular(meaning) if number == 1 else meaning}"
    if unit_name == "share":
        return f"{meaning}: {100 * number:.0f} %"
    decimals = _MONEY_DIGITS if unit_name == "money" else 1
    return f"{meaning}: {_number(number, decimals)}{' times' if unit_name == 'ratio' else ''}"


def _silence(role: str, row: Mapping[str, float]) -> str:
    """Days since the last event of a role; for purchases compared with the usual gap."""
    event_word = ROLE_WORDS.get(role, (role, role))[1]
    if not _known(row, f"{role}__recency_days"):
        return f"no {event_word} so far"
    silent_days = row[f"{role}__recency_days"]
    usual_gap = row.get("cadence__gap_median", np.nan) if role == "purchase" else np.nan
    gap_text = "" if np.isnan(usual_gap) else f", usual gap {_number(usual_gap)}"
    if silent_days <= (30.0 if np.isnan(usual_gap) else usual_gap):
        return f"last {event_word} {_days(silent_days)} ago{gap_text}"
    return f"no {event_word} for {_days(silent_days)}{gap_text}"


def _stage(row: Mapping[str, float], stage: str | None) -> str:
    periods = row.get("stage__periods_in_stage", np.nan)
    stage_text = f"stage {stage or 'unknown'} by the rules"
    if np.isnan(periods):
        return stage_text
    if periods == 0:
        return f"{stage_text} since this period"
    return f"{stage_text} for {_number(periods)} whole period{'' if periods == 1 else 's'}"


@cache
def _plain(meaning: str) -> str:
    """Replace role names in a meaning by their plain names."""
    for role_name, (plural, singular) in ROLE_WORDS.items():
        meaning = re.sub(rf"\b{role_name} events?\b(?<=events)", plural, meaning)
        meaning = re.sub(rf"\b{role_name} event\b", singular, meaning)
        meaning = re.sub(rf"\bamount of {role_name}\b", f"amount of {plural}", meaning)
    return meaning


def _singular(meaning: str) -> str:
    """Singular of a meaning, for a count of one: 1 purchase, 1 day with a purchase."""
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
