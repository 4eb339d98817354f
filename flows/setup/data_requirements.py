"""What the data suffice for: the least that each prediction needs, beside what is there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from features.calendar import day_date
from features.history.history import History
from features.sources.read_report import ReadReport
from features.table.prediction_targets import TaskName
from features.table.snapshot_builder import Builder
from features.table.training_snapshots import MIN_HISTORY_DAYS

# Rules of thumb under which a figure is named thin: a rate of a few per cent cannot be told from
# its double on fewer, and boosted trees then do no better than the simple baselines.
MANY_CUSTOMERS, MANY_REPEATERS, MANY_OUTCOMES, YEAR = 1_000, 300, 100, 365
_STATE_WORDS: dict[TaskName, str] = {
    "stage": "current stage",
    "transition": "next transition",
    "churn": "churn risk",
    "clv": "lifetime value",
}


@dataclass(frozen=True)
class _Requirement:
    """One requirement of one prediction.

    Attributes
    ----------
    prediction, what
        Whose requirement, and of what.
    least, usual
        Below `least` it cannot be made; below `usual` it is thin.
    found
        What the data have.
    """

    prediction: str
    what: str
    least: int
    usual: int
    found: int

    @property
    def verdict(self) -> str:
        """``ready``, ``thin`` or ``missing``."""
        if self.found < self.least:
            return "missing"
        return "thin" if self.found < self.usual else "ready"


@dataclass(frozen=True)
class Readiness:
    """The report.

    Attributes
    ----------
    facts
        What there is, in words: (what, how much).
    needs
        Requirement by requirement.
    """

    facts: tuple[tuple[str, str], ...]
    needs: tuple[_Requirement, ...]

    @property
    def missing(self) -> list[_Requirement]:
        """What stops a run."""
        return [need for need in self.needs if need.verdict == "missing" and need.least > 0]


def readiness(builder: Builder, reports: Iterable[ReadReport]) -> Readiness:
    """Minimum data per prediction, and what a data set has of it."""
    history, span = builder.history, builder.span
    days = span.last_snapshot - span.first
    purchase_days = _purchase_days(history)
    buyers, repeaters = int((purchase_days > 0).sum()), int((purchase_days > 1).sum())
    customers = len(history.customers)
    facts = [
        ("customers", f"{customers:,}"),
        ("buyers", f"{buyers:,}"),
        ("repeat buyers", f"{repeaters:,} ({repeaters / max(buyers, 1):.0%} of buyers)"),
        ("history", f"{day_date(span.first)} to {day_date(span.through)}: {days} days"),
        ("events", ", ".join(f"{r} {n:,}" for r, n in _events(history).items())),
        *(_read(report) for report in reports),
    ]
    needs = [*_shared(buyers, repeaters)]
    for task, word in _STATE_WORDS.items():
        reach = builder.horizon(task) + builder.config.settle_days
        least = MIN_HISTORY_DAYS + 2 * reach
        needs.append(_Requirement(word, "days of history", least, max(YEAR, least), days))
    needs += _outcomes(builder)
    paid = _Requirement(
        _STATE_WORDS["clv"], "purchase days with an amount", 0, MANY_REPEATERS, _paid(history)
    )
    needs.append(paid)
    leads = customers - buyers
    needs.append(_Requirement("first purchase of leads", "leads who never bought", 0, 100, leads))
    return Readiness(tuple(facts), tuple(needs))


def _shared(buyers: int, repeaters: int) -> list[_Requirement]:
    return [
        _Requirement("all", "buyers", 2, MANY_CUSTOMERS, buyers),
        _Requirement("all", "repeat buyers", 1, MANY_REPEATERS, repeaters),
    ]


def _outcomes(builder: Builder) -> list[_Requirement]:
    """Of the customers at the date of the test: how many came back, and how many did not."""
    at = builder.gate("churn")
    if at <= builder.span.first:
        return []
    silent = builder.labels("churn", at)["no_purchase"].to_numpy()
    churn = _STATE_WORDS["churn"]
    return [
        _Requirement(
            churn, "who bought again by the test", 1, MANY_OUTCOMES, int((silent == 0).sum())
        ),
        _Requirement(
            churn, "who stayed away by the test", 1, MANY_OUTCOMES, int((silent == 1).sum())
        ),
    ]


def _purchase_days(history: History) -> np.ndarray:
    rows = history.roles.get("purchase")
    if rows is None:
        return np.zeros(len(history.customers), dtype=np.int64)
    return np.bincount(rows.settled.customer, minlength=len(history.customers))


def _paid(history: History) -> int:
    rows = history.roles.get("purchase")
    return 0 if rows is None else int((rows.settled.facts["value"] != 0).sum())


def _events(history: History) -> dict[str, int]:
    return {role: int(rows.count.sum()) for role, rows in history.roles.items() if len(rows.day)}


def _read(report: ReadReport) -> tuple[str, str]:
    told = {**report.quarantined, **report.ignored}
    aside = ", ".join(f"{n:,} {reason}" for reason, n in told.items())
    return (report.source, f"{report.rows:,} rows" + (f"; {aside}" if aside else ""))
