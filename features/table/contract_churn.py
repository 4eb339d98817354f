"""Contracts: who is under one, and who cancels it. Churn without contracts is silence."""

from __future__ import annotations

from features.arrays import Array
from features.config.tasks import ChurnTask
from features.history.day_rows import FAR_PAST, Subject
from features.history.history import History
from features.history.windows import Window
from features.table.customer_profile import bought_within
from features.table.families.feature import View


def involuntary_subjects(task: ChurnTask) -> list[Subject]:
    """What labels ask for beside whole roles: each involuntary type of cancel event."""
    return [Subject(name) for name in task.involuntary]


def under_contract(view: View) -> Array:
    """Whether each customer bought, and has not cancelled since: on the day of it or later."""
    last_purchase, last_cancel = view.last("purchase", 0).last_day, view.last("cancel", 0).last_day
    return (last_purchase > FAR_PAST) & ~((last_cancel > FAR_PAST) & (last_cancel >= last_purchase))


def churn_population(view: View, task: ChurnTask, activity_days: int | None) -> Array:
    """Whether churn risk applies to each customer of a view."""
    bought = bought_within(view, activity_days)
    return bought & under_contract(view) if task.by == "cancel" else bought


def cancels(matured: History, task: ChurnTask, at: int) -> Array:
    """Whether each customer cancels of their own will within the horizon.

    A day with both a voluntary and an involuntary cancel event counts as voluntary.

    Parameters
    ----------
    matured
        The history as it stood when the label matured.
    task
        Horizon, and the types of cancel events that are involuntary.
    at
        Day number of the snapshot.
    """
    end = at + task.horizon_days
    # A role without events is absent from the history: nobody cancelled yet.
    rows = matured.roles.get("cancel")
    if rows is None:
        return matured.exists_from < 0
    count = Window(rows, at, end).count
    for subject in involuntary_subjects(task):
        involuntary = matured.rows(subject)
        if involuntary is not None:
            count = count - Window(involuntary, at, end).count
    return count > 0
