"""The first screen: headline numbers that follow the filter, and sentences on what stands out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from features.lifecycle.taxonomy import Stage
from flows.report.figure import CellKind, cell_text, date_text
from flows.report.report_data import ReportData
from flows.report.spend_totals import interval_text
from models.explaining.segments import SEGMENT_NAMES


@dataclass(frozen=True)
class Headline:
    """A headline number: a sum over stages and segments, or a quotient of two sums.

    Attributes
    ----------
    key, label, kind
        Identifier, label, and format.
    numerator, denominator
        Columns of `headline_sums` whose sums are divided; no denominator: the sum itself.
    hint
        Explanation below the number.
    """

    key: str
    label: str
    kind: CellKind
    numerator: str
    denominator: str = ""
    hint: str = ""

    def value(self, cells: pd.DataFrame) -> float | None:
        """Return the number over some stages and segments; None if the denominator is 0."""
        numerator = float(cells[self.numerator].sum())
        if not self.denominator:
            return numerator
        denominator = float(cells[self.denominator].sum())
        return numerator / denominator if denominator else None


def headline_sums(scores: pd.DataFrame, expected: pd.DataFrame) -> pd.DataFrame:
    """Sum the parts of the headline numbers by stage and segment.

    Returns
    -------
    DataFrame
        stage, segment, n, clv, spent (so far), eligible (customers with a churn risk), leavers
        (expected), orders (expected), movers (expected within the month).
    """
    churn_risk = scores["p_churn"].astype(float)
    by_customer = pd.DataFrame(
        {
            "stage": scores["stage"].astype(str),
            "segment": scores["segment"].astype(str),
            "n": 1,
            "clv": scores["clv"].astype(float),
            "spent": scores["historic_clv"].astype(float),
            "eligible": churn_risk.notna().astype(int),
            "leavers": churn_risk.fillna(0.0),
            "orders": scores["expected_orders"].astype(float)
            if "expected_orders" in scores
            else np.nan,
        }
    )
    group_sums = by_customer.groupby(["stage", "segment"]).sum().reset_index()
    movers = expected.groupby(["stage", "segment"])["expected"].sum().rename("movers").reset_index()
    return group_sums.merge(movers, on=["stage", "segment"], how="left").fillna({"movers": 0.0})


def headlines(report: ReportData) -> list[Headline]:
    """Return the headline numbers of a run."""
    scores = report.scores
    churn_days = _horizon(scores, "churn_horizon_days")
    value_days = _horizon(scores, "clv_horizon_days")
    move_days = report.expected_days
    return [
        Headline("customers", "Customers", "int", "n", hint="all customers with a score"),
        Headline(
            "clv", f"Expected spend, {value_days} days", "money", "clv",
            hint=_total_hint(report),
        ),
        Headline(
            "mean", "Expected spend per customer", "money", "clv", "n",
            hint=f"average over {value_days} days",
        ),
        Headline(
            "risk", f"Churn risk, {churn_days} days", "percent", "leavers", "eligible",
            hint=f"average chance of {report.churn.event}, {report.churn.population}",
        ),
        Headline(
            "leavers", f"Expected leavers, {churn_days} days", "int", "leavers",
            hint=report.churn.at_risk,
        ),
        Headline(
            "movers", f"Expected stage changes, {move_days} days", "int", "movers",
            hint="customers expected to change stage",
        ),
    ]  # fmt: skip


def _total_hint(report: ReportData) -> str:
    whole = report.totals[report.totals["by"] == "all"].iloc[0]
    if np.isnan(whole["low"]):
        return "sum over all customers"
    interval = interval_text(whole["low"], whole["high"], report.currency)
    return f"80 % interval for all customers: {interval}"


def _horizon(scores: pd.DataFrame, column: str) -> int:
    return int(scores[column].iloc[0]) if len(scores) else 0


def takeaways(report: ReportData) -> list[str]:
    """Return up to six sentences on what stands out, with numbers and what to do."""
    sentences = [_growth_sentence(report.sizes, report.stages), _at_risk_sentence(report)]
    sentences += [_silence_sentence(report), _leads_sentence(report)]
    sentences += [_campaigns_sentence(report), _trust_sentence(report)]
    return [sentence for sentence in sentences if sentence]


def _growth_sentence(sizes: pd.DataFrame, stages: Sequence[Stage]) -> str:
    snapshots = list(dict.fromkeys(sizes["at"]))
    if len(snapshots) < 2:
        return ""
    before, current = (
        sizes[sizes["at"] == date].set_index("stage")["n"] for date in snapshots[-2:]
    )
    change = (current - before).astype(int)
    highest = max(stages, key=lambda stage: stage.rank).name
    silent = [stage.name for stage in stages if stage.silent is not None]
    changes = [f"{highest} went from {before[highest]:,} to {current[highest]:,} customers"]
    changes += [
        f"{stage_name} from {before[stage_name]:,} to {current[stage_name]:,}"
        for stage_name in silent[:1]
    ]
    improved = change[highest] > 0 and all(change[stage_name] <= 0 for stage_name in silent)
    declined = change[highest] < 0 and any(change[stage_name] > 0 for stage_name in silent)
    verdict = "the picture is mixed"
    if improved or declined:
        verdict = f"the customer base is getting {'stronger' if improved else 'weaker'}"
    return f"Since {date_text(snapshots[-2])}, {' and '.join(changes)}: {verdict}."


def _at_risk_sentence(report: ReportData) -> str:
    at_risk = report.scores[report.scores["segment"] == SEGMENT_NAMES[0]]
    if at_risk.empty:
        return ""
    active = report.scores[report.scores["p_churn"].notna()]
    share = at_risk["clv"].sum() / max(float(active["clv"].sum()), 1e-9)
    present = report.audience[report.audience["change"] != "removed"]
    contacted = set(present.loc[present["arm"] == "treatment", "customer_id"])
    reached = int(at_risk["customer_id"].isin(contacted).sum())
    at_stake = cell_text(at_risk["clv"].sum(), "money", report.currency)
    is_this = (report.totals["by"] == "segment") & (report.totals["name"] == SEGMENT_NAMES[0])
    total = report.totals[is_this].iloc[0]
    if not np.isnan(total["low"]):
        interval = interval_text(total["low"], total["high"], report.currency)
        at_stake += f" (80 % interval: {interval})"
    return (
        f"{len(at_risk):,} customers have a high expected spend and an above-average risk of "
        f"leaving (segment {SEGMENT_NAMES[0]}). Their expected spend is {at_stake}, {share:.0%} of "
        f"the total of all {report.churn.population}. The campaigns of this run contact "
        f"{reached:,} of them."
    )


def _silence_sentence(report: ReportData) -> str:
    expected = report.expected_moves
    silent = {stage.name for stage in report.stages if stage.silent is not None}
    if expected.empty or not silent:
        return ""
    was_silent, gets_silent = expected["stage"].isin(silent), expected["to_stage"].isin(silent)
    leaving = expected.loc[~was_silent & gets_silent, "expected"].sum()
    returning = expected.loc[was_silent & ~gets_silent, "expected"].sum()
    silent_stages = " or ".join(sorted(silent))
    return (
        f"Within {report.expected_days} days about {leaving:,.0f} customers are expected to become "
        f"{silent_stages}, and {returning:,.0f} to become active again."
    )


def _leads_sentence(report: ReportData) -> str:
    scores = report.scores
    if "lead_band" not in scores or not (scores["lead_band"] == "A").any():
        return ""
    band_a = scores[scores["lead_band"] == "A"]
    return (
        f"{len(band_a):,} leads are in band A, the best one. Their average chance of a first "
        f"purchase within {_horizon(scores, 'clv_horizon_days')} days is "
        f"{band_a['p_first_purchase'].mean():.0%}: call them first (stagecast leads)."
    )


def _campaigns_sentence(report: ReportData) -> str:
    campaigns = report.plan
    if campaigns.empty:
        return ""
    waiting = int((campaigns["held"].fillna("").astype(str) != "").sum())
    sentence = (
        f"{len(campaigns):,} campaigns plan {int(campaigns['treatment'].sum()):,} contacts and "
        f"hold out {int(campaigns['control'].sum()):,}; a customer can be in several campaigns."
    )
    if campaigns["plan_only"].any():
        return f"{sentence} No consent is recorded in these data, so these are plans only."
    if waiting == 1:
        return f"{sentence} 1 export waits for a person to confirm it."
    if waiting:
        return f"{sentence} {waiting:,} exports wait for a person to confirm them."
    return sentence


def _trust_sentence(report: ReportData) -> str:
    if not report.figures:
        return ""
    count = len(report.model_warnings)
    if not count:
        return "The tests of the models raised no warning."
    return (
        f"{count:,} warning{'s' * (count > 1)} about the models: read them under Trust before "
        "you use amounts for budgets. The ranking of customers is affected least."
    )


def quality_rows(report: ReportData) -> list[dict[str, Any]]:
    """Return one row per source: rows read, set aside and left out, with reasons."""
    return [
        {
            "source": source.source,
            "rows": source.rows,
            "aside": sum(source.quarantined.values()),
            "reasons": ", ".join(
                f"{reason} ({rows:,})" for reason, rows in source.quarantined.items()
            ),
            "ignored": sum(source.ignored.values()),
            "ignored_reasons": ", ".join(
                f"{why} ({rows:,})" for why, rows in source.ignored.items()
            ),
        }
        for source in report.sources
    ]
