"""What must be reached on the two public data sets, and at the stretch; the protocol of each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

TENS = tuple(f"2017-{day}" for day in
             ("09-02", "09-12", "09-22", "10-02", "10-12", "10-22", "11-01"))  # fmt: skip
TENS_LATER = (*TENS, "2017-11-11", "2017-11-21", "2017-12-01")
OCTOBER, NEW_YEAR = ("2017-10-01",), ("1998-01-01",)
CLV_DATES = ("2017-09-02", "2017-10-01", "2017-11-01")
CLV_CDNOW = ("1997-11-02", "1997-12-02", "1998-01-01")
MAIN = {"stage": "frequency_table", "transition": "timer_table", "churn": "rfm", "clv": "btyd"}


@dataclass(frozen=True)
class Bar:
    """One figure asked for.

    Attributes
    ----------
    model, horizon_days, dates, metric
        The figure, in the mean of its dates (of biases: of their sizes).
    sign, must, stretch
        ``<=``, ``>=``, or ``in`` (must and stretch are the two ends of a range).
    variant
        The stage's other truths.
    every
        All dates must hold, not their mean.
    """

    model: str
    horizon_days: int | None
    dates: tuple[str, ...]
    metric: str
    sign: str
    must: float
    stretch: float | None = None
    variant: str = ""
    every: bool = False

    @property
    def what(self) -> str:
        horizon = "" if self.horizon_days is None else f" {self.horizon_days} d"
        variant = f" ({self.variant})" if self.variant else ""
        many = "every of" if self.every else "mean of"
        when = self.dates[0] if len(self.dates) == 1 else f"{many} {len(self.dates)} dates"
        return f"{self.model}{horizon}{variant}, {when}"

    def holds(self, value: float, bar: float) -> bool:
        return value >= bar if self.sign == ">=" else value <= bar

    def mark(self, value: float) -> str:
        if self.sign == "in":
            return "must" if self.must <= value <= (self.stretch or 1.0) else "**missed**"
        if self.stretch is not None and self.holds(value, self.stretch):
            return "stretch"
        return "must" if self.holds(value, self.must) else "**missed**"


@dataclass(frozen=True)
class Measured:
    """A figure with its interval (of one date) and the baseline beside it."""

    value: float
    low: float | None
    high: float | None
    baseline: str


def measured(bar: Bar, records: Iterable[dict[str, Any]]) -> Measured | None:
    """The figure of a bar; None where a date of its protocol has not been run."""
    ours: dict[str, dict[str, Any]] = {}
    theirs: dict[str, float] = {}
    for one in records:
        same = (one["model"], one["metric"], one["subset"], one["variant"]) == (
            bar.model, bar.metric, "all", bar.variant,
        )  # fmt: skip
        if not same or one["value"] is None or one["snapshot_at"] not in bar.dates:
            continue
        if bar.horizon_days is not None and one["horizon_days"] != bar.horizon_days:
            continue
        if one["method"] == "champion":
            ours[one["snapshot_at"]] = one
        elif one["method"] == MAIN[bar.model]:
            theirs[one["snapshot_at"]] = one["value"]
    if set(ours) != set(bar.dates):
        return None
    size = abs if bar.metric == "bias_pct" else float
    values = [size(one["value"]) for one in ours.values()]
    value = sum(values) / len(values)
    if bar.every:  # the worst of them
        value = min(values) if min(values) < bar.must else max(values)
    only = next(iter(ours.values())) if len(ours) == 1 else {}
    baseline = ""
    if set(theirs) == set(bar.dates):
        mean = sum(size(one) for one in theirs.values()) / len(theirs)
        baseline = f"{mean:.4g} ({MAIN[bar.model]})"
    ends = (None, None) if bar.metric == "bias_pct" else (only.get("low"), only.get("high"))
    return Measured(value, *ends, baseline)


def _clv(horizon: int, dates: tuple[str, ...], bars: dict[str, tuple[Any, ...]]) -> list[Bar]:
    return [Bar("clv", horizon, dates, metric, *bar) for metric, bar in bars.items()]


BARS: dict[str, list[Bar]] = {
    "completejourney": [
        Bar("stage", None, OCTOBER, "log_loss", "<=", 0.52, 0.50),
        Bar("stage", None, OCTOBER, "log_loss", "<=", 0.205, 0.197, "naive"),
        Bar("stage", None, OCTOBER, "log_loss", "<=", 0.20, 0.19, "late"),
        Bar("transition", 84, OCTOBER, "log_loss", "<=", 0.655, 0.636),
        Bar("transition", 84, OCTOBER, "integrated_brier", "<=", 0.340, 0.327),
        Bar("transition", 84, OCTOBER, "top1_movers", ">=", 0.870, 0.882),
        Bar("transition", 84, OCTOBER, "median_time_mae", "<=", 2.2, 2.1),
        Bar("churn", 60, TENS, "auc", ">=", 0.866, 0.873),
        Bar("churn", 60, TENS, "ece", "<=", 0.018, 0.012),
        Bar("churn", 60, OCTOBER, "auc", ">=", 0.840, 0.855),
        Bar("churn", 60, OCTOBER, "log_loss", "<=", 0.170, 0.164),
        Bar("churn", 60, OCTOBER, "ece", "<=", 0.018, 0.012),
        Bar("churn", 30, TENS_LATER, "auc", ">=", 0.857, 0.864),
        Bar("churn", 30, TENS_LATER, "log_loss", "<=", 0.274, 0.270),
        Bar("churn", 30, TENS_LATER, "ece", "<=", 0.022, 0.018),
        *_clv(60, OCTOBER, {
            "mae": ("<=", 124.0, 121.0), "rmse": ("<=", 185.0, 179.0),
            "bias_pct": ("<=", 5.0, 2.0), "spearman": (">=", 0.808, 0.813),
            "gini": (">=", 0.847, 0.852), "top10": (">=", 0.69, 0.71),
            "decile_error": ("<=", 0.10), "width_ratio": ("<=", 1.15),
        }),
        Bar("clv", 60, CLV_DATES, "bias_pct", "<=", 5.0),
        Bar("clv", 60, CLV_DATES, "coverage", "in", 0.75, 0.86),
        Bar("clv", 60, CLV_DATES, "coverage", "in", 0.70, 0.90, every=True),
        *_clv(90, OCTOBER, {
            "mae": ("<=", 178.0, 173.5), "rmse": ("<=", 270.0, 262.0),
            "bias_pct": ("<=", 5.0, 3.0), "spearman": (">=", 0.818, 0.826),
            "gini": (">=", 0.857, 0.865), "top10": (">=", 0.70, 0.73),
            "decile_error": ("<=", 0.10), "width_ratio": ("<=", 1.15),
        }),
    ],
    "cdnow": [
        Bar("stage", None, NEW_YEAR, "log_loss", "<=", 0.40, 0.39),
        Bar("transition", 84, NEW_YEAR, "log_loss", "<=", 0.318, 0.310),
        Bar("transition", 84, NEW_YEAR, "integrated_brier", "<=", 0.096, 0.093),
        Bar("transition", 84, NEW_YEAR, "top1_movers", ">=", 0.930, 0.938),
        Bar("transition", 84, NEW_YEAR, "median_time_mae", "<=", 1.52, 1.45),
        Bar("churn", 90, NEW_YEAR, "auc", ">=", 0.805, 0.809),
        Bar("churn", 90, NEW_YEAR, "log_loss", "<=", 0.348, 0.343),
        Bar("churn", 90, NEW_YEAR, "ece", "<=", 0.025, 0.015),
        *_clv(90, NEW_YEAR, {
            "mae": ("<=", 13.4, 12.9), "rmse": ("<=", 35.3, 34.5),
            "bias_pct": ("<=", 10.0, 4.0), "spearman": (">=", 0.388, 0.393),
            "gini": (">=", 0.733, 0.740), "top10": (">=", 0.455, 0.468),
            "decile_error": ("<=", 0.15), "width_ratio": ("<=", 1.8),
        }),
        Bar("clv", 90, CLV_CDNOW, "bias_pct", "<=", 10.0),
        Bar("clv", 90, CLV_CDNOW, "coverage", "in", 0.75, 0.86),
        Bar("clv", 90, CLV_CDNOW, "coverage", "in", 0.70, 0.90, every=True),
    ],
}  # fmt: skip
