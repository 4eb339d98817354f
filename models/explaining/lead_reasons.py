"""Reasons of a lead score: which of the lead's own signs raise it, in words of a call list."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from features.contracts import LIFELESS_ROLES
from models.explaining.reasons import lead_additions
from models.scorer.part import Part

MOST_REASONS = 3
OFTEN_DAYS = 30
# Done to the lead or asked of them, and no sign of their own will.
SILENT_ROLES = (*LIFELESS_ROLES, "complaint", "survey_nps", "survey_csat")
_COUNTED = re.compile(r"^(?P<role>\w+)__(?:count|days)_(?P<days>\d+)d$")
_RECENT = re.compile(r"^(?P<role>\w+)__recency_days$")


@dataclass(frozen=True)
class Events:
    """What listed leads did: one row a lead, event type and day, known before the snapshot."""

    rows: pd.DataFrame
    at: int
    role_types: Mapping[str, Sequence[str]]

    def within(self, customer: str, role: str, days: int) -> dict[str, int]:
        """Events of a role in the last `days` days by event type, the most frequent first."""
        rows = self._of(customer, role)
        counts = rows[rows["day"] >= self.at - days].groupby("event_type")["count"].sum()
        found = sorted(counts.items(), key=lambda each: (-int(each[1]), str(each[0])))
        return {str(kind): int(n) for kind, n in found if n > 0}

    def last(self, customer: str, role: str) -> tuple[str, int] | None:
        """Event type of a role's last event and how many days ago; None where there is none."""
        rows = self._of(customer, role).sort_values(["day", "event_type"])
        if rows.empty:
            return None
        return str(rows["event_type"].iloc[-1]), self.at - int(rows["day"].iloc[-1])

    def _of(self, customer: str, role: str) -> pd.DataFrame:
        mine = self._by_customer.get(customer, self.rows.iloc[:0])
        return mine[mine["event_type"].isin(list(self.role_types.get(role, ())))]

    @cached_property
    def _by_customer(self) -> dict[str, pd.DataFrame]:
        return {str(name): group for name, group in self.rows.groupby("customer_id")}


def contributions(part: Part, leads: pd.DataFrame) -> pd.DataFrame:
    """What each feature adds to the log-odds of a first purchase, against a usual lead.

    Parameters
    ----------
    part
        The CLV part.
    leads
        Feature frame of leads.

    Returns
    -------
    One row a lead, one column a feature the part reads; no columns where it tells no leads apart.
    """
    return lead_additions(part, leads)


def reasons(
    part: Part, leads: pd.DataFrame, usual: pd.DataFrame, events: Events
) -> list[list[str]]:
    """Sentences for each lead on what raises its chance, the strongest first; at most three.

    Contributions are added up over all features of a role, since windows of one role tell nearly
    the same; the sentence names the window or the day that adds most of it.

    Parameters
    ----------
    part
        The CLV part that scored them.
    leads
        Feature frame of the leads to explain.
    usual
        Feature frame of all leads of the snapshot, for what is usual.
    events
        What the listed leads did.

    Returns
    -------
    One list a lead; empty where nothing it did raises its chance.
    """
    told = contributions(part, leads)
    if told.empty:
        return [[] for _ in range(len(leads))]
    speaking = [name for name in told.columns if _COUNTED.match(name) or _RECENT.match(name)]
    middle = usual[speaking].median()
    roles = pd.Series([name.split("__")[0] for name in told.columns], index=told.columns)
    by_role = told.T.groupby(roles).sum().T
    return [
        _sentences(
            leads.loc[row, speaking],
            told.loc[row, speaking],
            by_role.loc[row],
            middle,
            (str(leads.loc[row, "customer_id"]), events),
        )
        for row in leads.index
    ]


def _sentences(
    values: pd.Series,
    told: pd.Series,
    by_role: pd.Series,
    usual: pd.Series,
    who: tuple[str, Events],
) -> list[str]:
    found: list[str] = []
    raising = by_role[by_role > 0].drop(list(SILENT_ROLES), errors="ignore")
    for role in raising.sort_values(ascending=False, kind="stable").index:
        mine = told[[name for name in told.index if name.startswith(f"{role}__")]]
        for name in mine[mine > 0].sort_values(ascending=False, kind="stable").index:
            sentence = _sentence(str(name), float(values[name]), float(usual[name]), who)
            if sentence:
                found.append(sentence)
                break
        if len(found) == MOST_REASONS:
            break
    return found


def _sentence(name: str, value: float, usual: float, who: tuple[str, Events]) -> str | None:
    """A sentence on one feature; None where its value is nothing that speaks for the lead."""
    customer, events = who
    if recent := _RECENT.match(name):
        last = events.last(customer, recent["role"])
        # A long silence may count too, but nobody calls for that.
        if last is None or not value < (usual if np.isfinite(usual) else np.inf):
            return None
        often = events.within(customer, recent["role"], OFTEN_DAYS).get(last[0], 0)
        more = f" ({often} in the last {OFTEN_DAYS} days)" if often > 1 else ""
        return f"{_plain(last[0])} {_ago(last[1])}{more}"
    counted = _COUNTED.match(name)
    if counted is None or not value > (usual if np.isfinite(usual) else 0.0):
        return None
    days = int(counted["days"])
    kinds = events.within(customer, counted["role"], days)
    listed = ", ".join(f"{n} x {_plain(kind)}" for kind, n in kinds.items())
    return f"{listed} in the last {days} days" if listed else None


def _plain(kind: str) -> str:
    return kind.replace("_", " ")


def _ago(days: int) -> str:
    return "yesterday" if days <= 1 else f"{days} days ago"


def ranked(scores: pd.DataFrame, *, bands: Sequence[str] = ()) -> pd.DataFrame:
    """Leads of scored rows, the likeliest to buy first, then the most valuable, then by id."""
    leads = scores[scores["p_first_purchase"].notna()]
    if bands:
        leads = leads[leads["lead_band"].isin(list(bands))]
    order = ["p_first_purchase", "clv", "customer_id"]
    return leads.sort_values(order, ascending=[False, False, True]).reset_index(drop=True)
