"""A metric of the life cycle, for taxonomies that name it and for `stagecast metrics`."""

from __future__ import annotations

from features.arrays import Array
from features.metrics.metric_catalog import Metric
from features.metrics.metric_inputs import Inputs, Period
from features.metrics.stage_metrics import Figure, missing, shown


def _weekend_buyers(inputs: Inputs, period: Period, members: Array) -> list[Figure]:
    """Of those who ordered in the period: on a Saturday or Sunday; n: customers who ordered."""
    if not inputs.has("purchase"):
        return [missing("events of the role purchase")]
    ordered = members & (inputs.days("purchase", period.start, period.end) > 0)
    weekend_days = sum(
        inputs.days("purchase", day, day + 1)
        for day in range(period.start, period.end)
        if (day + 3) % 7 >= 5
    )
    buyers = int(ordered.sum())
    return [shown(float((ordered & (weekend_days > 0)).sum()) / max(buyers, 1), buyers)]


WEEKEND_BUYERS = Metric("weekend_buyers", ("weekend buyers",), "share", _weekend_buyers, "site")
