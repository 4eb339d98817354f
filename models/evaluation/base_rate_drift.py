"""Base rates: the actual rate at a test date, and the rates of the labels known on that day.

Calibration and totals are learned from matured labels. If the rate changes between them and the
test date (season, trend), every model is biased, even one that ranks well. `base_rate_figures`
reports both rates, and `models.evaluation.warnings` compares them.
"""

from __future__ import annotations

from features.calendar import day_date
from features.config.config import Config
from features.contracts import SNAPSHOT
from models.evaluation.customer_bootstrap import metric_draws
from models.evaluation.evaluate import (
    CHAMPION_METHOD,
    Draws,
    LabelledTestSet,
    MetricFigure,
    interval_ends,
)
from models.fitting.training_set import TrainingSet
from models.metrics import metrics
from models.tasks.all_tasks import TASKS


def base_rate_figures(
    data: TrainingSet,
    test: LabelledTestSet,
    *,
    horizon_days: int,
    config: Config,
    draws: Draws | None = None,
) -> list[MetricFigure]:
    """Actual rate at a test date, and rates of the training snapshots matured by then.

    Parameters
    ----------
    data, test
        Training data and test set.
    horizon_days
        Horizon of the label in days.
    config
        Decides who is tested (`models.tasks.task.Task.tested_rows`): the rate of the training
        snapshots is computed on such customers too.
    draws
        For the interval of the actual rate.

    Returns
    -------
    Figures of the champion on ``all``: ``actual_rate`` (share of leavers or movers, or spend a
    customer), ``known_rate`` (of the latest matured snapshot), ``known_rate_least`` and
    ``known_rate_most`` (over all training snapshots). Empty for the stage task, which has no
    single rate.
    """
    task = TASKS[test.task]
    actual_outcome = task.outcome(test.rows)
    matured = task.tested_rows(data.frame, config)
    known_outcome = task.outcome(matured)
    if actual_outcome is None or known_outcome is None or not len(matured) or not len(test.rows):
        return []
    rates = known_outcome.groupby(matured[SNAPSHOT]).mean()
    actual = actual_outcome.to_numpy()
    actual_draws = None
    if draws is not None:
        actual_draws = metric_draws(metrics.mean, draws.counts(test.rows["customer_id"]), actual)
    low, high = interval_ends(actual_draws)
    figure_key = (test.task, CHAMPION_METHOD, str(day_date(test.at)), horizon_days, "all")
    row_count = len(test.rows)
    known_rates = {
        "known_rate": float(rates.iloc[-1]),
        "known_rate_least": float(rates.min()),
        "known_rate_most": float(rates.max()),
    }
    actual_figure = MetricFigure(
        *figure_key, "actual_rate", float(actual.mean()), row_count, low, high, sample=actual_draws
    )
    return [
        actual_figure,
        *(MetricFigure(*figure_key, name, value, row_count) for name, value in known_rates.items()),
    ]
