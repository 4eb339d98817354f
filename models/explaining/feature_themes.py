"""Reasons in words: the theme a feature column belongs to, and a sentence with the row's values.

Sentences come from the catalogue's meanings, so that a new feature can be a reason without more
words; only what marketers ask for first (silence against one's own rhythm) has its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache

import numpy as np

from features.contracts import ROLES

# What a role's events are to a marketer: several of them, and one.
WORDS = {
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
# Patterns of columns, in order, and the theme they tell of.
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
def theme(column: str) -> str:
    """What a column tells of: columns of one theme are one reason."""
    for pattern, name in _THEMES:
        found = re.match(pattern, column)
        if found is not None:
            return found.expand(name)
    return column.split("__")[0]


def sensitive_theme(name: str, sensitive: tuple[str, ...]) -> bool:
    """Whether a theme tells of an attribute that the config calls sensitive."""
    return any(name == f"preference_{attribute}" for attribute in sensitive)


def said(
    name: str,
    column: str,
    row: Mapping[str, float],
    meanings: Mapping[str, tuple[str, str]],
    *,
    stage: str | None = None,
) -> str:
    """A sentence on a theme of one customer, with values.

    Parameters
    ----------
    name
        The theme.
    column
        Its column that weighs most.
    row
        The customer's features.
    meanings
        Unit and meaning of every column, from the catalogue.
    stage
        Name of the rule stage.
    """
    if name == "stage":
        return _stage(row, stage)
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
    return f"{meaning}: {_number(value, digits)}{' times' if unit == 'ratio' else ''}"


def _silence(role: str, row: Mapping[str, float]) -> str:
    """How long ago, against the customer's own usual gap where purchases have one."""
    one = WORDS.get(role, (role, role))[1]
    if not _known(row, f"{role}__recency_days"):
        return f"no {one} so far"
    days = row[f"{role}__recency_days"]
    usual = row.get("cadence__gap_median", np.nan) if role == "purchase" else np.nan
    than = "" if np.isnan(usual) else f", usual gap {_number(usual)}"
    if days <= (30.0 if np.isnan(usual) else usual):
        return f"last {one} {_days(days)} ago{than}"
    return f"no {one} for {_days(days)}{than}"


def _stage(row: Mapping[str, float], stage: str | None) -> str:
    periods = row.get("stage__periods_in_stage", np.nan)
    named = f"stage {stage or 'unknown'} by the rules"
    if np.isnan(periods):
        return named
    if periods == 0:
        return f"{named} since this period"
    return f"{named} for {_number(periods)} whole period{'' if periods == 1 else 's'}"


@cache
def _plain(meaning: str) -> str:
    """A meaning with roles in a marketer's words."""
    for role, (many, one) in WORDS.items():
        meaning = re.sub(rf"\b{role} events?\b(?<=events)", many, meaning)
        meaning = re.sub(rf"\b{role} event\b", one, meaning)
        meaning = re.sub(rf"\bamount of {role}\b", f"amount of {many}", meaning)
    return meaning


def _singular(meaning: str) -> str:
    """Of a count of one: 1 purchase, 1 day with a purchase."""
    for many, one in (("days with", "day with"), *WORDS.values()):
        if meaning.startswith(f"{many} "):
            return one + meaning.removeprefix(many)
    return meaning


def _known(row: Mapping[str, float], column: str) -> bool:
    return column in row and bool(np.isfinite(row[column]))


def _number(value: float, digits: int = 0) -> str:
    rounded = round(float(value), digits)
    return f"{rounded:,.{digits}f}" if rounded % 1 else f"{rounded:,.0f}"


def _days(value: float) -> str:
    return "1 day" if value == 1 else f"{_number(value)} days"
