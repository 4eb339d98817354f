"""The metrics that stages may name: their words, units and definitions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from features.arrays import Array
from features.metrics import stage_metrics
from features.metrics.metric_inputs import Inputs, Period
from features.metrics.stage_metrics import Figure
from features.plugins import refuse_taken

Compute = Callable[[Inputs, Period, Array], list[Figure]]


@dataclass(frozen=True)
class Metric:
    """A metric that stages may name.

    Attributes
    ----------
    key
        Its name in files.
    names
        What taxonomies call it, lower case.
    unit
        share (0 to 1), points, money, count or days.
    compute
        Figures of a period, given whom to look at (one value a customer); its docstring is the
        definition.
    when
        Whom it looks at in a stage: those in it when the period starts or ends; ``site``: it
        knows no stages.
    """

    key: str
    names: tuple[str, ...]
    unit: str
    compute: Compute
    when: str = "start"

    @property
    def meaning(self) -> str:
        """The definition in a sentence; what `n` counts comes last."""
        return " ".join((self.compute.__doc__ or "").split())


METRICS: tuple[Metric, ...] = (
    Metric("site_traffic", ("site traffic",), "count", stage_metrics.site_traffic, "site"),
    Metric("bounce_rate", ("bounce rate",), "share", stage_metrics.bounce_rate, "site"),
    Metric(
        "cost_per_subscriber",
        ("cost per subscriber", "cost per newsletter subscriber", "cost per sign-up"),
        "money",
        stage_metrics.cost_per_subscriber,
        "site",
    ),
    Metric("site_engagement", ("site engagement",), "share", stage_metrics.engagement),
    Metric(
        "lead_conversion_rate",
        ("lead conversion rate", "lead conversion"),
        "share",
        stage_metrics.lead_conversion,
        "site",
    ),
    Metric("lead_quality", ("lead quality",), "share", stage_metrics.lead_quality, "site"),
    Metric(
        "sales_conversion_rate",
        ("sales conversion rate", "sales conversion"),
        "share",
        stage_metrics.sales_conversion,
    ),
    Metric(
        "nps",
        ("nps", "net promoter score", "net promoter score (nps)"),
        "points",
        stage_metrics.nps,
    ),
    Metric("csat", ("csat", "customer satisfaction"), "share", stage_metrics.csat),
    Metric(
        "retention_rate",
        ("retention rate", "customer retention rate"),
        "share",
        stage_metrics.retention,
    ),
    Metric("churn_rate", ("churn rate", "customer churn rate"), "share", stage_metrics.churn),
    Metric(
        "historic_clv",
        ("customer lifetime value", "clv"),
        "money",
        stage_metrics.historic_clv,
        "end",
    ),
    Metric(
        "predicted_clv",
        ("customer lifetime value", "clv"),
        "money",
        stage_metrics.predicted_clv,
        "end",
    ),
    Metric(
        "repeat_rate", ("repeat rate", "repeat purchase rate"), "share", stage_metrics.repeat_rate
    ),
    Metric("reactivation_rate", ("reactivation rate",), "share", stage_metrics.reactivation),
    Metric(
        "cost_of_reactivation",
        ("cost of a reactivation",),
        "money",
        stage_metrics.reactivation_cost,
    ),
    Metric(
        "referrals_per_customer",
        ("referrals per loyal customer", "referrals per customer"),
        "count",
        stage_metrics.referrals,
    ),
    Metric(
        "days_to_first_order",
        ("days from lead to first order",),
        "days",
        stage_metrics.days_to_first_order,
        "site",
    ),
    Metric(
        "repeat_orders", ("repeat orders within 60 days",), "share", stage_metrics.repeat_orders
    ),
    Metric(
        "leads_moving_on",
        ("share of leads that reach conversion in 30 days",),
        "share",
        stage_metrics.leads_move_on,
    ),
    Metric("moving_on", ("share that moves on in 30 days",), "share", stage_metrics.moves_on),
    Metric("woken_up", ("share woken up",), "share", stage_metrics.woken_up),
    Metric(
        "seen_again", ("share of visitors seen a second time",), "share", stage_metrics.seen_again
    ),
    Metric(
        "call_list_conversion",
        ("share of the call list that buys",),
        "share",
        stage_metrics.call_list,
        "site",
    ),
)


def all_metrics() -> tuple[Metric, ...]:
    """The metrics of this package, then those of plug-ins by name.

    Raises
    ------
    UserError
        If a plug-in is no `Metric`, or has a key or a word of another metric.
    """
    metrics = list(METRICS)
    for plugin in refuse_taken("metrics", {metric.key for metric in METRICS}):
        metric = plugin.content
        if not isinstance(metric, Metric) or metric.key != plugin.name:
            raise plugin.error(repr(metric), f"a `Metric` with the key {plugin.name!r}")
        words = {word for other in metrics for word in other.names}
        if taken := words.intersection(metric.names):
            raise plugin.error(
                f"the name {min(taken)!r}, which another metric has", "names of its own"
            )
        metrics.append(metric)
    return tuple(metrics)


def named(name: str) -> list[Metric]:
    """The metrics that a taxonomy means by a name; none where it is unknown."""
    return [metric for metric in all_metrics() if name.strip().lower() in metric.names]
