"""The first screen: headline numbers that follow the filter, and sentences on what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from features.lifecycle.taxonomy import Stage
from flows.report.figure import Kind, short, shown
from flows.report.report_data import Material
from models.explaining.segments import SEGMENT_NAMES


@dataclass(frozen=True)
class Headline:
    """A headline number: a sum over the cells, or a quotient of two sums.

    Attributes
    ----------
    key, label, kind
        Name, words, and how it is shown.
    top, bottom
        Columns of `cells` whose sums are divided; no bottom: the sum itself.
    hint
        A sentence below the number.
    """

    key: str
    label: str
    kind: Kind
    top: str
    bottom: str = ""
    hint: str = ""

    def value(self, cells: pd.DataFrame) -> float | None:
        """The number over some cells; null where there is nothing to divide by."""
        top = float(cells[self.top].sum())
        if not self.bottom:
            return top
        whole = float(cells[self.bottom].sum())
        return top / whole if whole else None


def cells(scores: pd.DataFrame, expected: pd.DataFrame) -> pd.DataFrame:
    """What headline numbers are sums of, by stage and segment.

    Returns
    -------
    DataFrame
        stage, segment, n, clv, spent (so far), eligible (for a churn risk), leavers (expected),
        orders (expected), movers (expected within the month).
    """
    p = scores["p_churn"].astype(float)
    told = pd.DataFrame(
        {
            "stage": scores["stage"].astype(str),
            "segment": scores["segment"].astype(str),
            "n": 1,
            "clv": scores["clv"].astype(float),
            "spent": scores["historic_clv"].astype(float),
            "eligible": p.notna().astype(int),
            "leavers": p.fillna(0.0),
            "orders": scores["expected_orders"].astype(float)
            if "expected_orders" in scores
            else np.nan,
        }
    )
    sums = told.groupby(["stage", "segment"]).sum().reset_index()
    moved = expected.groupby(["stage", "segment"])["expected"].sum().rename("movers").reset_index()
    return sums.merge(moved, on=["stage", "segment"], how="left").fillna({"movers": 0.0})


def headlines(material: Material) -> list[Headline]:
    """The headline numbers of a run."""
    scores = material.scores
    churn, value = _horizon(scores, "churn_horizon_days"), _horizon(scores, "clv_horizon_days")
    month = material.expected_days
    return [
        Headline("customers", "Customers", "int", "n", hint="everyone known of, scored"),
        Headline("clv", f"Expected spend, {value} days", "money", "clv", hint="the sum of all CLV"),
        Headline(
            "mean", "Expected spend a customer", "money", "clv", "n", hint=f"mean over {value} days"
        ),
        Headline(
            "risk", f"Churn risk, {churn} days", "percent", "leavers", "eligible",
            hint=f"mean chance of {material.churn.chance}, of {material.churn.of}",
        ),
        Headline(
            "leavers", "Expected leavers", "int", "leavers",
            hint=material.churn.likely,
        ),
        Headline(
            "movers", f"Expected movers, {month} days", "int", "movers", hint="to another stage"
        ),
    ]  # fmt: skip


def _horizon(scores: pd.DataFrame, column: str) -> int:
    return int(scores[column].iloc[0]) if len(scores) else 0


def takeaways(material: Material) -> list[str]:
    """Three to six sentences on what stands out, each with its numbers and what to do."""
    found = [_grown(material.sizes, material.stages), _worth_saving(material)]
    found += [_falling(material), _leads(material), _campaigns(material), _trust(material)]
    return [sentence for sentence in found if sentence]


def _grown(sizes: pd.DataFrame, stages: Sequence[Stage]) -> str:
    dates = list(dict.fromkeys(sizes["at"]))
    if len(dates) < 2:
        return ""
    before, now = (sizes[sizes["at"] == date].set_index("stage")["n"] for date in dates[-2:])
    change = (now - before).astype(int)
    top = max(stages, key=lambda s: s.rank).name
    silent = [s.name for s in stages if s.silent is not None]
    parts = [f"{top} went from {before[top]:,} to {now[top]:,}"]
    parts += [f"{name} from {before[name]:,} to {now[name]:,}" for name in silent[:1]]
    better = change[top] > 0 and all(change[name] <= 0 for name in silent)
    worse = change[top] < 0 and any(change[name] > 0 for name in silent)
    verdict = "the base gets stronger" if better else "the base gets weaker" if worse else "mixed"
    return f"Since {short(dates[-2])}, {' and '.join(parts)}: {verdict}."


def _worth_saving(material: Material) -> str:
    mine = material.scores[material.scores["segment"] == SEGMENT_NAMES[0]]
    if mine.empty:
        return ""
    active = material.scores[material.scores["p_churn"].notna()]
    share = mine["clv"].sum() / max(float(active["clv"].sum()), 1e-9)
    there = material.audience[material.audience["change"] != "removed"]
    treated = set(there.loc[there["arm"] == "treatment", "customer_id"])
    reached = int(mine["customer_id"].isin(treated).sum())
    money = shown(mine["clv"].sum(), "money", material.currency)
    return (
        f"{len(mine):,} customers are worth much and likelier than most to leave (segment "
        f"{SEGMENT_NAMES[0]}): {money} of expected spend, {share:.0%} of that of all "
        f"{material.churn.of}. "
        f"The campaigns of this run address {reached:,} of them."
    )


def _falling(material: Material) -> str:
    rows = material.expected
    silent = {s.name for s in material.stages if s.silent is not None}
    if rows.empty or not silent:
        return ""
    before, after = rows["stage"].isin(silent), rows["to_stage"].isin(silent)
    falls = rows.loc[~before & after, "expected"].sum()
    returns = rows.loc[before & ~after, "expected"].sum()
    names = " or ".join(sorted(silent))
    return (
        f"Within {material.expected_days} days about {falls:,.0f} customers are expected to fall "
        f"to {names}, and {returns:,.0f} to come back."
    )


def _leads(material: Material) -> str:
    scores = material.scores
    if "lead_band" not in scores or not (scores["lead_band"] == "A").any():
        return ""
    best = scores[scores["lead_band"] == "A"]
    return (
        f"{len(best):,} leads are in band A, with a {best['p_first_purchase'].mean():.0%} mean "
        "chance of a first purchase: call them first (stagecast leads)."
    )


def _campaigns(material: Material) -> str:
    plan = material.plan
    if plan.empty:
        return ""
    held = plan["held"].fillna("").astype(str) != ""
    said = (
        f"{len(plan):,} campaigns would address {int(plan['treatment'].sum()):,} customers and "
        f"hold out {int(plan['control'].sum()):,}"
    )
    if plan["plan_only"].any():
        return said + "; no consent is recorded in these data, so they are plans only."
    if held.any():
        return said + f"; {int(held.sum()):,} exports wait for somebody to confirm them."
    return said + "."


def _trust(material: Material) -> str:
    if not material.figures:
        return ""
    count = len(material.worries)
    if not count:
        return "No warning was raised about the models on the dates they were tested at."
    return (
        f"{count:,} warning{'s' * (count > 1)} about the models: read them under Trust before "
        "using amounts for budgets; the order of customers is what they touch least."
    )


def quality_rows(material: Material) -> list[dict[str, Any]]:
    """One row a source: rows read, set aside with reasons, and left out on purpose."""
    return [
        {
            "source": count.source,
            "rows": count.rows,
            "aside": sum(count.quarantined.values()),
            "reasons": ", ".join(f"{reason} ({n:,})" for reason, n in count.quarantined.items()),
            "ignored": sum(count.ignored.values()),
            "ignored_reasons": ", ".join(f"{why} ({n:,})" for why, n in count.ignored.items()),
        }
        for count in material.sources
    ]
