"""Reasons of a lead score: the lead's own actions that raise it, as sentences for a call list."""

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

_MOST_REASONS = 3
_RECENT_DAYS = 30
# Roles of events that the lead did not initiate, or that are no sign of interest.
_PASSIVE_ROLES = (*LIFELESS_ROLES, "complaint", "survey_nps", "survey_csat")
_COUNTED = re.compile(r"^(?P<role>\w+)__(?:count|days)_(?P<days>\d+)d$")
_RECENT = re.compile(r"^(?P<role>\w+)__recency_days$")


@dataclass(frozen=True)
class LeadEvents:
    """Events of the listed leads known before a snapshot.

    Attributes
    ----------
    rows
        customer_id, event_type, day, count; one row a lead, event type and day.
    at
        Day number of the snapshot.
    role_types
        Role -> event types.
    """

    rows: pd.DataFrame
    at: int
    role_types: Mapping[str, Sequence[str]]

    def within(self, customer: str, role: str, days: int) -> dict[str, int]:
        """Events of a role in the last `days` days by event type, the most frequent first."""
        rows = self._of(customer, role)
        counts = rows[rows["day"] >= self.at - days].groupby("event_type")["count"].sum()
        sorted_counts = sorted(counts.items(), key=lambda item: (-int(item[1]), str(item[0])))
        return {str(event_type): int(count) for event_type, count in sorted_counts if count > 0}

    def last(self, customer: str, role: str) -> tuple[str, int] | None:
        """Event type of a role's last event, and days since it; None if there is none."""
        rows = self._of(customer, role).sort_values(["day", "event_type"])
        if rows.empty:
            return None
        return str(rows["event_type"].iloc[-1]), self.at - int(rows["day"].iloc[-1])

    def _of(self, customer: str, role: str) -> pd.DataFrame:
        customer_rows = self._by_customer.get(customer, self.rows.iloc[:0])
        return customer_rows[customer_rows["event_type"].isin(list(self.role_types.get(role, ())))]

    @cached_property
    def _by_customer(self) -> dict[str, pd.DataFrame]:
        return {str(customer): group for customer, group in self.rows.groupby("customer_id")}


def contributions(part: Part, leads: pd.DataFrame) -> pd.DataFrame:
    """Additions of each feature to the log-odds of a first purchase, against an average lead.

    Parameters
    ----------
    part
        The CLV part.
    leads
        Feature frame of leads.

    Returns
    -------
    One row a lead, one column a feature of the part; no columns if all leads get the same score.
    """
    return lead_additions(part, leads)


def lead_reasons(
    part: Part, leads: pd.DataFrame, usual: pd.DataFrame, events: LeadEvents
) -> list[list[str]]:
    """At most three sentences a lead about the actions that raise its probability, strongest first.

    Additions are summed over all features of a role, since windows of one role overlap; the
    sentence names the window or day with the largest addition.

    Parameters
    ----------
    part
        CLV part that scored the leads.
    leads
        Feature frame of the leads to explain.
    usual
        Feature frame of all leads of the snapshot, for the medians.
    events
        Events of the listed leads.

    Returns
    -------
    One list a lead; empty if no action raises its probability.
    """
    additions = contributions(part, leads)
    if additions.empty:
        return [[] for _ in range(len(leads))]
    columns = [name for name in additions.columns if _COUNTED.match(name) or _RECENT.match(name)]
    medians = usual[columns].median()
    roles = pd.Series([name.split("__")[0] for name in additions.columns], index=additions.columns)
    by_role = additions.T.groupby(roles).sum().T
    return [
        _sentences(
            leads.loc[row, columns],
            additions.loc[row, columns],
            by_role.loc[row],
            medians,
            (str(leads.loc[row, "customer_id"]), events),
        )
        for row in leads.index
    ]


def _sentences(
    values: pd.Series,
    additions: pd.Series,
    by_role: pd.Series,
    usual: pd.Series,
    customer_events: tuple[str, LeadEvents],
) -> list[str]:
    sentences: list[str] = []
    raising = by_role[by_role > 0].drop(list(_PASSIVE_ROLES), errors="ignore")
    for role in raising.sort_values(ascending=False, kind="stable").index:
        role_additions = additions[
            [column for column in additions.index if column.startswith(f"{role}__")]
        ]
        for column in (
            role_additions[role_additions > 0].sort_values(ascending=False, kind="stable").index
        ):
            sentence = _sentence(
                str(column), float(values[column]), float(usual[column]), customer_events
            )
            if sentence:
                sentences.append(sentence)
                break
        if len(sentences) == _MOST_REASONS:
            break
    return sentences


def _sentence(
    column: str, value: float, usual: float, customer_events: tuple[str, LeadEvents]
) -> str | None:
    """Sentence about one feature; None if its value is not better than the median lead's."""
    customer, events = customer_events
    if recent := _RECENT.match(column):
        last_event = events.last(customer, recent["role"])
        # A long silence may raise the score too, but it is no reason to call.
        if last_event is None or not value < (usual if np.isfinite(usual) else np.inf):
            return None
        recent_count = events.within(customer, recent["role"], _RECENT_DAYS).get(last_event[0], 0)
        count_text = (
            f" ({recent_count} in the last {_RECENT_DAYS} days)" if recent_count > 1 else ""
        )
        return f"{_plain(last_event[0])} {_ago(last_event[1])}{count_text}"
    counted = _COUNTED.match(column)
    if counted is None or not value > (usual if np.isfinite(usual) else 0.0):
        return None
    window_days = int(counted["days"])
    counts_by_type = events.within(customer, counted["role"], window_days)
    listed = ", ".join(
        f"{count} x {_plain(event_type)}" for event_type, count in counts_by_type.items()
    )
    return f"{listed} in the last {window_days} days" if listed else None


def _plain(event_type: str) -> str:
    return event_type.replace("_", " ")


def _ago(days: int) -> str:
    return "yesterday" if days <= 1 else f"{days} days ago"


def rank_leads(scores: pd.DataFrame, *, bands: Sequence[str] = ()) -> pd.DataFrame:
    """Leads of scored rows, sorted by probability (descending), CLV (descending) and id."""
    leads = scores[scores["p_first_purchase"].notna()]
    if bands:
        leads = leads[leads["lead_band"].isin(list(bands))]
    order = ["p_first_purchase", "clv", "customer_id"]
    return leads.sort_values(order, ascending=[False, False, True]).reset_index(drop=True)
