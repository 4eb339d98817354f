"""Which metrics of each model are shown where, and in which direction a metric is better."""

from __future__ import annotations

from dataclasses import dataclass

# Descriptive figures: higher is neither better nor worse.
DESCRIPTIVE = frozenset(
    {
        "coverage",
        *(f"coverage_fifth_{number}" for number in range(1, 6)),
        "below_interval",
        "above_interval",
        "width_ratio",
        "rate",
        "actual_rate",
        "known_rate",
        "known_rate_least",
        "known_rate_most",
    }
)
# The loss that decides between methods, by model.
DECIDING_METRIC = {
    "stage": "log_loss",
    "transition": "log_loss",
    "churn": "log_loss",
    "clv": "rmse",
    "lead": "log_loss",
}
HIGHER_IS_BETTER = frozenset(
    {"auc", "lift_10", "spearman", "gini", "top10", "top1_movers", "macro_f1"}
)


@dataclass(frozen=True)
class ShownMetrics:
    """Metrics of one model, by place.

    Attributes
    ----------
    headline
        Beside the simplest baseline: console, report, Prefect.
    backtest
        On the page and in the plots of a back-test.
    groups
        By group of customers, on the page of a back-test.
    card
        On the scorer's card; the models' own cards hold all of them.
    bounds
        Beside the bounds that a simulation's truth gives.
    """

    headline: tuple[str, ...]
    backtest: tuple[str, ...]
    groups: tuple[str, ...]
    card: tuple[str, ...]
    bounds: tuple[str, ...]


# By model: every task, and the leads of CLV.
SHOWN_METRICS = {
    "stage": ShownMetrics(
        headline=("log_loss", "brier"),
        backtest=("log_loss", "brier", "macro_f1"),
        groups=("log_loss", "brier"),
        card=("log_loss", "brier"),
        bounds=("log_loss", "macro_f1"),
    ),
    "transition": ShownMetrics(
        headline=("log_loss", "integrated_brier", "top1_movers"),
        backtest=("log_loss", "integrated_brier", "top1_movers", "median_time_mae"),
        groups=("log_loss", "top1_movers"),
        card=("log_loss", "integrated_brier"),
        bounds=("log_loss", "integrated_brier"),
    ),
    "churn": ShownMetrics(
        headline=("auc", "log_loss", "ece"),
        backtest=("auc", "log_loss", "ece", "lift_10"),
        groups=("auc", "log_loss", "bias_pct"),
        card=("auc", "log_loss", "ece"),
        bounds=("auc", "log_loss"),
    ),
    "clv": ShownMetrics(
        headline=("mae", "rmse", "bias_pct", "gini", "coverage"),
        backtest=(
            *("mae", "rmse", "tweedie", "bias_pct", "spearman"),
            *("gini", "top10", "coverage", "width_ratio"),
        ),
        groups=("rmse", "bias_pct", "gini", "coverage"),
        card=("mae", "bias_pct", "spearman", "coverage"),
        bounds=("gini", "rmse", "bias_pct"),
    ),
    "lead": ShownMetrics(
        headline=("auc", "lift_10", "log_loss", "ece"),
        backtest=("auc", "lift_10", "log_loss", "ece"),
        groups=(),
        card=("auc", "log_loss"),
        bounds=("auc", "lift_10", "log_loss"),
    ),
}
