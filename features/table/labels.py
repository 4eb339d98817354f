"""Labels: what came after a snapshot. The only module that may look at or after it.

Every label is read as it stood at its maturity: events in its reach that were known by
``label end + settle_days``.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pandas as pd

from features.arrays import Array
from features.config.tasks import ChurnTask, StageTask
from features.contracts import MONEY_ROLES, ROLES
from features.history.day_rows import FAR_PAST, Edge, Subject
from features.history.history import History
from features.history.windows import Window
from features.lifecycle.crm_stage_history import UNSTAGED, StageRecords
from features.lifecycle.rule_evaluation import Facts
from features.lifecycle.rule_language import Compare
from features.lifecycle.stage_engine import decide, stage_at
from features.lifecycle.taxonomy import Taxonomy
from features.table.contract_churn import cancels, churn_population
from features.table.customer_profile import existing, keys, snapshot_stamp
from features.table.families.feature import View


def _after(history: History, role: str, at: int, days: int) -> Window | None:
    rows = history.roles.get(role)
    return None if rows is None else Window(rows, at, at + days)


def _frame(history: History, positions: Array, at: int, end: int) -> pd.DataFrame:
    frame = keys(history, positions, at)
    frame["label_end_at"] = np.full(len(frame), snapshot_stamp(end).to_datetime64())
    return frame


def churn_labels(
    history: History, at: int, *, task: ChurnTask, settle_days: int, activity_days: int | None
) -> pd.DataFrame:
    """No purchase in ``[t, t + h)``, for those who bought within the activity window.

    Where churn is by cancel events: a voluntary one in ``[t, t + h)``, for those who are under a
    contract as well.

    Returns
    -------
    DataFrame
        customer_id, snapshot_at, label_end_at, no_purchase (0 or 1; by cancel events: cancelled);
        one row an eligible customer.
    """
    label_end = at + task.horizon_days
    positions = existing(history, at)
    eligible = churn_population(View(history.known_before(at), at, 0), task, activity_days)
    positions = positions[eligible[positions]]
    frame = _frame(history, positions, at, label_end)
    matured = history.known_before(label_end + settle_days)
    if task.by == "cancel":
        churned = cancels(matured, task, at)
    else:
        window = _after(matured, "purchase", at, task.horizon_days)
        churned = np.ones(len(history.customers)) if window is None else window.count == 0
    frame["no_purchase"] = churned[positions].astype(np.float64)
    return frame


def clv_labels(
    history: History,
    at: int,
    *,
    horizon_days: int,
    settle_days: int,
    refunds: str,
    minor_units: int,
) -> pd.DataFrame:
    """Net spend and order days in ``[t, t + h)`` of everyone who exists.

    Returns
    -------
    DataFrame
        customer_id, snapshot_at, label_end_at, spend (major units; floor 0 a customer and
        horizon), orders (days with an order).
    """
    label_end = at + horizon_days
    positions = existing(history, at)
    matured = history.known_before(label_end + settle_days)
    spend = np.zeros(len(history.customers), dtype=np.int64)
    orders = np.zeros(len(history.customers), dtype=np.int64)
    for role in MONEY_ROLES if refunds == "net" else ("purchase",):
        window = _after(matured, role, at, horizon_days)
        if window is not None:
            spend = spend + window.value
            orders = window.days if role == "purchase" else orders
    frame = _frame(history, positions, at, label_end)
    frame["spend"] = np.maximum(spend[positions], 0) / 10.0**minor_units
    frame["orders"] = orders[positions].astype(np.float64)
    return frame


@dataclass(frozen=True)
class CentredFacts(Facts):
    """Facts whose finite windows lie around the reference date instead of before it.

    A window of w days becomes ``[t - floor(w/2), t + ceil(w/2))``; lifetime measures stay before
    t. A limit on ``days_since_last`` is a window too: within n days means an event in n days.
    """

    def bounds(self, window: int | None) -> tuple[Array | int, Array | int]:
        """First day within and first day after a window around the reference date."""
        if window is None:
            return FAR_PAST + 1, self.at
        return self.at - window // 2, self.at + (window + 1) // 2

    def end(self, subject: Subject, end_day: Array | int) -> Edge | None:
        """None: windows around a date do not end on one day."""
        return None

    def compare(self, compare: Compare) -> Array:
        """As the rule says, with recency read from the window around the date."""
        if compare.measure.kind != "days_since_last":
            return super().compare(compare)
        # "at most n days ago" is a window of n days, "fewer than n" one of n - 1.
        days = int(compare.constant) - (compare.sign in ("<", ">="))
        window = self.window(compare.measure.subject, max(days, 0))
        in_window = np.zeros(self.customers, dtype=bool) if window is None else window.count > 0
        if compare.sign in ("<", "<="):
            return in_window
        lifetime_window = self.window(compare.measure.subject, None)
        has_event = (
            np.zeros(self.customers, dtype=bool)
            if lifetime_window is None
            else lifetime_window.count > 0
        )
        return has_event & ~in_window


def _silence(taxonomy: Taxonomy, history: History, at: int, *, days: int) -> dict[int, Array]:
    """By silent stage: whether the customer, who once did what the stage asks, shows no life."""
    shows_life = np.zeros(len(history.customers), dtype=bool)
    for role in taxonomy.life_roles:
        window = _after(history, role, at, days)
        if window is not None:
            shows_life |= window.count > 0
    silence_by_stage = {}
    for code in taxonomy.silent_codes:
        rows = history.roles.get(str(taxonomy.stages[code].silent))
        acted_before = (
            Window(rows, FAR_PAST + 1, at).count > 0 if rows is not None else ~shows_life & False
        )
        silence_by_stage[code] = acted_before & ~shows_life
    return silence_by_stage


def stage_reach(taxonomy: Taxonomy, task: StageTask, roles: Collection[str] = ROLES) -> int:
    """Days after the snapshot that the stage truth looks at, or waits for what is late.

    A rule on a role without events (not in `roles`) makes it no longer.
    """
    if task.truth == "history":
        return 0
    if task.truth == "late":
        return task.late_days
    if task.truth == "naive":
        return task.confirm_days
    return max([task.confirm_days, *((w + 1) // 2 for w in taxonomy.windows(roles))])


def stage_labels(
    history: History,
    at: int,
    *,
    taxonomy: Taxonomy,
    task: StageTask,
    settle_days: int,
    roles: Collection[str] = ROLES,
) -> pd.DataFrame:
    """The stage a customer truly is in at t, told with hindsight.

    ``centred``: the rules on windows around t, silent if and only if without life in
    ``[t, t + confirm_days)``. ``naive``: the rule stage, except that who shows no life in those
    days was already silent. ``late``: the rule stage at t from all events before it that are
    known by the label's maturity, `late_days` and `settle_days` later.

    Returns
    -------
    DataFrame
        customer_id, snapshot_at, label_end_at, truth_code; everyone who exists.
    """
    label_end = at + stage_reach(taxonomy, task, roles)
    positions = existing(history, at)
    matured = history.known_before(label_end + settle_days)
    if task.truth == "late":
        code = decide(taxonomy, Facts(matured, at, at))
    else:
        code = _with_hindsight(history, matured, taxonomy, at, task, label_end)
    frame = _frame(history, positions, at, label_end)
    frame["truth_code"] = code[positions].astype(np.float64)
    return frame


def _with_hindsight(
    history: History, known: History, taxonomy: Taxonomy, at: int, task: StageTask, label_end: int
) -> Array:
    silence_by_stage = _silence(taxonomy, known, at, days=task.confirm_days)
    if task.truth == "centred":
        return decide(taxonomy, CentredFacts(known, at, label_end), stage_truths=silence_by_stage)
    code = stage_at(taxonomy, history, at)
    for number in reversed(taxonomy.silent_codes):
        code = np.where(silence_by_stage[number], number, code)
    return code


def recorded_labels(
    history: History, records: StageRecords, at: int, *, settle_days: int
) -> pd.DataFrame:
    """The stage that the CRM's record in force at t says, known before t + settle_days.

    Returns
    -------
    DataFrame
        customer_id, snapshot_at, label_end_at, truth_code; one row an existing customer with a
        record. Others are unstaged and have no label.
    """
    code = records.stages(at, known_before=at + settle_days)
    positions = existing(history, at)
    positions = positions[code[positions] != UNSTAGED]
    frame = _frame(history, positions, at, at)
    frame["truth_code"] = code[positions].astype(np.float64)
    return frame


def transition_labels(
    history: History,
    at: int,
    *,
    taxonomy: Taxonomy,
    periods: int,
    period_days: int,
) -> pd.DataFrame:
    """First change of rule stage on the grid ``t + k x period``, k = 1..K.

    Returns
    -------
    DataFrame
        customer_id, snapshot_at, label_end_at, next_code (-1: no change), period (1..K; 0: no
        change); everyone who exists.
    """
    positions = existing(history, at)
    code_now = stage_at(taxonomy, history, at)
    next_code, period = np.full(len(code_now), -1), np.zeros(len(code_now), dtype=np.int64)
    for number in range(1, periods + 1):
        later_code = stage_at(taxonomy, history, at + number * period_days)
        moved = (period == 0) & (later_code != code_now)
        next_code[moved], period[moved] = later_code[moved], number
    frame = _frame(history, positions, at, at + periods * period_days)
    frame["next_code"] = next_code[positions].astype(np.float64)
    frame["period"] = period[positions].astype(np.float64)
    return frame
