"""Warnings about back-test figures: forecasts that were far off at a test date, with the cause."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from models.evaluation.slices import BY_OUTCOME
from models.metrics.shown_metrics import DECIDING_METRIC

_MOST_BIAS = 15.0  # percent of the total
_MOST_DRIFT = 15.0  # percent between the rate of the known labels and the actual rate
_COVERAGE = (0.70, 0.90)  # of the 80 % interval at one date
_MEAN_COVERAGE = (0.75, 0.86)  # over dates
_SUSPECT_AUC = 0.995  # AUC
_MIN_SLICE = 50  # customers of a group below which its figures are too uncertain
_SLICE_BIAS = 25.0  # percent, with an interval entirely beyond _MOST_BIAS
_BETTER = 0.01  # relative; by which a simple method must be better
_SLICE_LOSS = 0.02  # relative to the baseline's loss, with an interval above zero
# The baseline that each model must beat in every group, and the loss that is compared.
_BASELINES_TO_BEAT = {
    "stage": ("frequency_table", "log_loss"),
    "transition": ("timer_table", "log_loss"),
    "churn": ("rfm", "log_loss"),
    "clv": ("btyd", "rmse"),
}
_FORECASTS = {"churn": "leavers", "clv": "spend"}
_SHARE_WORDS = {"churn": "left", "transition": "changed stage"}

_Key = tuple[str, str]  # method, metric
_Record = Mapping[str, Any]


def backtest_warnings(records: Iterable[_Record]) -> list[str]:
    """Warnings about totals, intervals, base rates and groups of customers that were far off.

    Parameters
    ----------
    records
        Figures as in ``backtest.json``.

    Returns
    -------
    One sentence a warning with figures and likely cause: by date, then about means over dates,
    then by group. Empty if no limit is exceeded.
    """
    whole: dict[tuple[str, str], dict[_Key, _Record]] = defaultdict(dict)
    groups: dict[tuple[str, str], dict[str, dict[_Key, _Record]]] = defaultdict(dict)
    for record in records:
        if record["value"] is None:
            continue
        date, model, method_metric = str(record["snapshot_at"]), str(record["model"]), _key(record)
        if record["subset"] == "all":
            whole[date, model][method_metric] = record
        elif record["subset"] not in BY_OUTCOME:
            groups[model, str(record["subset"])].setdefault(date, {})[method_metric] = record
    sentences = []
    for (date, model), figures in sorted(whole.items()):
        sentences += _at_date(date, model, figures)
    sentences += _mean_coverage(whole)
    for (model, subset), dates in sorted(groups.items()):
        sentences += _group_total(model, subset, dates, whole) + _group_loss(model, subset, dates)
    return sentences


def training_warnings(training: Mapping[str, Any]) -> list[str]:
    """Warnings of a training: what its fits refused as implausible, and test figures far off.

    Parameters
    ----------
    training
        Content of ``training.json``; those of earlier versions hold no ``alarms``.
    """
    return [*training.get("alarms", ()), *backtest_warnings(training["figures"])]


def _key(record: _Record) -> _Key:
    return str(record["method"]), str(record["metric"])


def _value(figures: Mapping[_Key, _Record], method: str, metric: str) -> float | None:
    record = figures.get((method, metric))
    return None if record is None else float(record["value"])


def _at_date(date: str, model: str, figures: Mapping[_Key, _Record]) -> list[str]:
    drift_warnings = _drift(date, model, figures)
    sentences = [*drift_warnings, *_better_baseline(date, model, figures)]
    if model == "clv":
        return [*_total(date, figures), *_interval(date, figures), *sentences]
    if model == "churn":
        rate_warnings = _rate(date, figures, drifted=bool(drift_warnings))
        return [*_too_good(date, figures), *rate_warnings, *sentences]
    return sentences


def _too_good(date: str, figures: Mapping[_Key, _Record]) -> list[str]:
    auc = _value(figures, "champion", "auc")
    if auc is None or auc < _SUSPECT_AUC or figures["champion", "auc"]["n"] < _MIN_SLICE:
        return []
    return [
        f"churn at {date}: an AUC of {auc:.3f} is too good to be true: look for a feature that "
        "contains the outcome"
    ]


def _total(date: str, figures: Mapping[_Key, _Record]) -> list[str]:
    bias = _value(figures, "champion", "bias_pct") or 0.0
    btyd_bias = _value(figures, "btyd", "bias_pct") or 0.0
    if abs(bias) <= _MOST_BIAS:
        return []
    if btyd_bias * bias > 0 and abs(btyd_bias) > _MOST_BIAS / 2:
        less_or_more = "less" if bias > 0 else "more"
        reason = (
            f"BTYD, which assumes a constant purchase rate, is {_off(btyd_bias)} it too: customers "
            f"bought {less_or_more} than before (season or trend), "
            "which the labels known on that day do not show"
        )
    else:
        reason = (
            f"BTYD alone is {_off(btyd_bias)} it: the correction learned from earlier dates did "
            "not apply at this one"
        )
    return [f"clv at {date}: expected spend was {_off(bias)} the actual total; {reason}"]


def _off(bias: float) -> str:
    """Bias in words, such as "18 % below"."""
    return f"{abs(bias):.0f} % {'above' if bias > 0 else 'below'}"


def _interval(date: str, figures: Mapping[_Key, _Record]) -> list[str]:
    covered_share = _value(figures, "champion", "coverage")
    if covered_share is None:
        return []
    if _COVERAGE[0] <= covered_share and _top_fifth(figures, covered_share) <= _COVERAGE[1]:
        return []
    reason = "spend drifted since the labels it was fitted on"
    if covered_share >= _COVERAGE[0]:
        reason = "it is too wide"
    return [
        f"clv at {date}: the 80 % interval contains {covered_share:.0%} of the customers; {reason}"
    ]


def _top_fifth(figures: Mapping[_Key, _Record], covered_share: float) -> float:
    """Coverage of the top fifth by predicted value, or of all where it is not recorded.

    Where most customers spend nothing, an interval that ends at 0 holds more than 80 % of all: only
    the larger buyers tell whether it is too wide.
    """
    share = _value(figures, "champion", "coverage_fifth_5")
    return covered_share if share is None else share


def _mean_coverage(whole: Mapping[tuple[str, str], Mapping[_Key, _Record]]) -> list[str]:
    shares, top_shares = [], []
    for (_, model), figures in whole.items():
        if model == "clv" and (share := _value(figures, "champion", "coverage")) is not None:
            shares.append(share)
            top_shares.append(_top_fifth(figures, share))
    if len(shares) < 2 or (
        sum(shares) / len(shares) >= _MEAN_COVERAGE[0]
        and sum(top_shares) / len(top_shares) <= _MEAN_COVERAGE[1]
    ):
        return []
    return [
        f"clv: the 80 % interval contains {sum(shares) / len(shares):.0%} of the customers in the "
        f"mean of {len(shares)} dates; expected are "
        f"{_MEAN_COVERAGE[0]:.0%} to {_MEAN_COVERAGE[1]:.0%}"
    ]


def _rate(date: str, figures: Mapping[_Key, _Record], *, drifted: bool) -> list[str]:
    bias = _value(figures, "champion", "bias_pct") or 0.0
    if abs(bias) <= _MOST_BIAS:
        return []
    known_rate = _value(figures, "champion", "known_rate")
    reason = "the base rate moved since the labels known on that day (season or trend)"
    if known_rate is not None and not drifted:
        reason = "the labels known on that day had about the actual rate"
    return [
        f"churn at {date}: expected leavers were {_off(bias)} the actual number; {reason}. "
        "The ranking of customers is not affected"
    ]


def _drift(date: str, model: str, figures: Mapping[_Key, _Record]) -> list[str]:
    """Warn if the actual rate differs from that of the matured labels, beyond chance."""
    names = ("actual_rate", "known_rate", "known_rate_least", "known_rate_most", "rate")
    figure_values = [_value(figures, "champion", name) for name in names]
    if any(value is None for value in figure_values):
        return []
    actual_rate, known_rate, least_rate, highest_rate, model_rate = (
        float(value or 0.0) for value in figure_values
    )
    low, high = (figures["champion", "actual_rate"].get(end) for end in ("low", "high"))
    by_chance = low is not None and high is not None and low <= known_rate <= high
    if known_rate <= 0 or by_chance or abs(100 * (actual_rate / known_rate - 1)) <= _MOST_DRIFT:
        return []

    def rate_words(rate: float) -> str:
        return f"{rate:,.2f}" if model == "clv" else f"{rate:.1%}"

    actual_words = f"spend a customer was {rate_words(actual_rate)}"
    if model != "clv":
        actual_words = f"{rate_words(actual_rate)} {_SHARE_WORDS[model]}"
    return [
        f"{model} at {date}: the base rate drifts: {actual_words}; the latest labels known on that "
        f"day gave {rate_words(known_rate)} (all labels {rate_words(least_rate)} to "
        f"{rate_words(highest_rate)}), the model {rate_words(model_rate)}"
    ]


def _group_total(
    model: str,
    subset: str,
    dates: Mapping[str, Mapping[_Key, _Record]],
    whole: Mapping[tuple[str, str], Mapping[_Key, _Record]],
) -> list[str]:
    """Warn if a group's total was far off, beyond chance and more than the overall total."""
    if model not in _FORECASTS:
        return []
    date_texts = []
    for date, figures in sorted(dates.items()):
        record = figures.get(("champion", "bias_pct"))
        if record is None or record["n"] < _MIN_SLICE or abs(record["value"]) <= _SLICE_BIAS:
            continue
        low, high = record.get("low"), record.get("high")
        is_significant = (
            low is not None and high is not None and (low > _MOST_BIAS or high < -_MOST_BIAS)
        )
        overall = _value(whole.get((date, model), {}), "champion", "bias_pct") or 0.0
        if is_significant and abs(record["value"] - overall) > _MOST_BIAS:
            date_texts.append(f"{record['value']:+.0f} % at {date} ({record['n']:,} customers)")
    if not date_texts:
        return []
    return [
        f"{model}, {subset}: expected {_FORECASTS[model]} were far off, {', '.join(date_texts)}"
    ]


def _better_baseline(date: str, model: str, figures: Mapping[_Key, _Record]) -> list[str]:
    """Warn if a simple method is better by more than a percent, and not by chance if that is known.

    Chance is known where customers were drawn again (the back-test), not at a training's gate.
    """
    metric = DECIDING_METRIC[model]
    champion = figures.get(("champion", metric))
    rivals = {
        method: record
        for (method, name), record in figures.items()
        if name == metric and method != "champion"
    }
    if champion is None or not rivals or champion.get("n", _MIN_SLICE) < _MIN_SLICE:
        return []
    method, best = min(rivals.items(), key=lambda rival: float(rival[1]["value"]))
    lowest = best.get("difference_low")
    if champion["value"] <= (1 + _BETTER) * best["value"] or (lowest is not None and lowest <= 0):
        return []
    return [
        f"{model} at {date}: a simple method was better than the served model: {metric} "
        f"{best['value']:.4g} by {method}, {champion['value']:.4g} by the model"
    ]


def _group_loss(model: str, subset: str, dates: Mapping[str, Mapping[_Key, _Record]]) -> list[str]:
    """Warn if the served recipe is worse than its baseline in a group, beyond chance."""
    if model not in _BASELINES_TO_BEAT:
        return []
    method, metric = _BASELINES_TO_BEAT[model]
    date_texts = []
    for date, figures in sorted(dates.items()):
        baseline, champion = figures.get((method, metric)), figures.get(("champion", metric))
        if baseline is None or champion is None or baseline["n"] < _MIN_SLICE:
            continue
        is_significant = (
            baseline.get("difference_low") is not None and baseline["difference_low"] > 0
        )
        if is_significant and champion["value"] > (1 + _SLICE_LOSS) * baseline["value"]:
            date_texts.append(f"{champion['value']:.3g} against {baseline['value']:.3g} at {date}")
    if not date_texts:
        return []
    return [f"{model}, {subset}: {metric} is worse than {method}'s there, {', '.join(date_texts)}"]
