"""Warnings about measured figures: where a forecast was far off at a test date, and why."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from models.evaluation.slices import BY_OUTCOME

MOST_BIAS = 15.0  # percent of the total
MOST_DRIFT = 15.0  # percent between the rate that labels told and the rate that came
COVERAGE = (0.70, 0.90)  # of the 80 % interval at one date
MEAN_COVERAGE = (0.75, 0.86)  # over dates
TOO_GOOD = 0.995  # AUC
MIN_SLICE = 50  # customers of a group under which its figures say little
SLICE_BIAS = 25.0  # percent, and surely beyond MOST_BIAS
SLICE_LOSS = 0.02  # relative to the baseline's loss, and surely worse
# What each model has to beat, and the loss by which.
TO_BEAT = {
    "stage": ("frequency_table", "log_loss"),
    "transition": ("timer_table", "log_loss"),
    "churn": ("rfm", "log_loss"),
    "clv": ("btyd", "rmse"),
}
FORECASTS = {"churn": "leavers", "clv": "spend"}
SHARES = {"churn": "left", "transition": "changed stage"}

Key = tuple[str, str]  # method, metric
Record = Mapping[str, Any]


def concerns(records: Iterable[Record]) -> list[str]:
    """Sentences about totals, intervals, base rates and groups of customers that were far off.

    Parameters
    ----------
    records
        Figures as they stand in ``backtest.json``.

    Returns
    -------
    One sentence a finding with the figures and the likeliest cause, by date, then about means over
    dates, then by group; empty where all is well.
    """
    whole: dict[tuple[str, str], dict[Key, Record]] = defaultdict(dict)
    groups: dict[tuple[str, str], dict[str, dict[Key, Record]]] = defaultdict(dict)
    for one in records:
        if one["value"] is None:
            continue
        date, model, key = str(one["snapshot_at"]), str(one["model"]), _key(one)
        if one["subset"] == "all":
            whole[date, model][key] = one
        elif one["subset"] not in BY_OUTCOME:
            groups[model, str(one["subset"])].setdefault(date, {})[key] = one
    told = []
    for (date, model), figures in sorted(whole.items()):
        told += _at_date(date, model, figures)
    told += _mean_coverage(whole)
    for (model, subset), dates in sorted(groups.items()):
        told += _group_total(model, subset, dates, whole) + _group_loss(model, subset, dates)
    return told


def _key(record: Record) -> Key:
    return str(record["method"]), str(record["metric"])


def _value(figures: Mapping[Key, Record], method: str, metric: str) -> float | None:
    found = figures.get((method, metric))
    return None if found is None else float(found["value"])


def _at_date(date: str, model: str, figures: Mapping[Key, Record]) -> list[str]:
    moved = _drift(date, model, figures)
    told = [*moved, *_group_loss(model, "all", {date: figures})]
    if model == "clv":
        return [*_total(date, figures), *_interval(date, figures), *told]
    if model == "churn":
        rate = _rate(date, figures, drifted=bool(moved))
        return [*_too_good(date, figures), *rate, *told]
    return told


def _too_good(date: str, figures: Mapping[Key, Record]) -> list[str]:
    auc = _value(figures, "champion", "auc")
    if auc is None or auc < TOO_GOOD or figures["champion", "auc"]["n"] < MIN_SLICE:
        return []
    return [
        f"churn at {date}: an AUC of {auc:.3f} is too good to be true: look for a feature that "
        "knows the outcome"
    ]


def _total(date: str, figures: Mapping[Key, Record]) -> list[str]:
    bias = _value(figures, "champion", "bias_pct") or 0.0
    plain = _value(figures, "btyd", "bias_pct") or 0.0
    if abs(bias) <= MOST_BIAS:
        return []
    if plain * bias > 0 and abs(plain) > MOST_BIAS / 2:
        moved = "less" if bias > 0 else "more"
        why = (
            f"BTYD, which assumes that buyers keep their pace, is {_off(plain)} it too: they "
            f"bought {moved} than before (season or trend), which no label known on that day shows"
        )
    else:
        why = (
            f"BTYD alone is {_off(plain)} it: the correction learned from earlier dates did "
            "not hold at this one"
        )
    return [f"clv at {date}: expected spend was {_off(bias)} the actual total; {why}"]


def _off(bias: float) -> str:
    """A bias in words: 18 % below."""
    return f"{abs(bias):.0f} % {'above' if bias > 0 else 'below'}"


def _interval(date: str, figures: Mapping[Key, Record]) -> list[str]:
    share = _value(figures, "champion", "coverage")
    if share is None or COVERAGE[0] <= share <= COVERAGE[1]:
        return []
    why = "spend drifted since the labels it was fitted on"
    if share > COVERAGE[1]:
        why = "it is wider than need be"
    return [f"clv at {date}: the 80 % interval held {share:.0%} of the customers; {why}"]


def _mean_coverage(whole: Mapping[tuple[str, str], Mapping[Key, Record]]) -> list[str]:
    shares = [
        share
        for (_, model), figures in whole.items()
        if model == "clv" and (share := _value(figures, "champion", "coverage")) is not None
    ]
    if len(shares) < 2 or MEAN_COVERAGE[0] <= sum(shares) / len(shares) <= MEAN_COVERAGE[1]:
        return []
    return [
        f"clv: the 80 % interval held {sum(shares) / len(shares):.0%} of the customers in the mean "
        f"of {len(shares)} dates; {MEAN_COVERAGE[0]:.0%} to {MEAN_COVERAGE[1]:.0%} is in order"
    ]


def _rate(date: str, figures: Mapping[Key, Record], *, drifted: bool) -> list[str]:
    bias = _value(figures, "champion", "bias_pct") or 0.0
    if abs(bias) <= MOST_BIAS:
        return []
    known = _value(figures, "champion", "known_rate")
    why = "the base rate moved since the labels known on that day (season or trend)"
    if known is not None and not drifted:
        why = "the labels known on that day had about the rate that came"
    return [
        f"churn at {date}: expected leavers were {_off(bias)} the actual number; {why}. "
        "The order of customers is not touched by this"
    ]


def _drift(date: str, model: str, figures: Mapping[Key, Record]) -> list[str]:
    """Where the rate that came is not the one that matured labels told, beyond chance."""
    names = ("actual_rate", "known_rate", "known_rate_least", "known_rate_most", "rate")
    found = [_value(figures, "champion", name) for name in names]
    if any(value is None for value in found):
        return []
    actual, known, least, most, said = (float(value or 0.0) for value in found)
    low, high = (figures["champion", "actual_rate"].get(end) for end in ("low", "high"))
    by_chance = low is not None and high is not None and low <= known <= high
    if known <= 0 or by_chance or abs(100 * (actual / known - 1)) <= MOST_DRIFT:
        return []

    def words(rate: float) -> str:
        return f"{rate:,.2f}" if model == "clv" else f"{rate:.1%}"

    happened = f"spend a head was {words(actual)}"
    if model != "clv":
        happened = f"{words(actual)} {SHARES[model]}"
    return [
        f"{model} at {date}: the base rate drifts: {happened}, the latest labels known on that day "
        f"said {words(known)} (all of them {words(least)} to {words(most)}), the model "
        f"{words(said)}"
    ]


def _group_total(
    model: str,
    subset: str,
    dates: Mapping[str, Mapping[Key, Record]],
    whole: Mapping[tuple[str, str], Mapping[Key, Record]],
) -> list[str]:
    """Warn if the total of a group is far off, significantly, and more than that of all."""
    if model not in FORECASTS:
        return []
    off = []
    for date, figures in sorted(dates.items()):
        one = figures.get(("champion", "bias_pct"))
        if one is None or one["n"] < MIN_SLICE or abs(one["value"]) <= SLICE_BIAS:
            continue
        low, high = one.get("low"), one.get("high")
        sure = low is not None and high is not None and (low > MOST_BIAS or high < -MOST_BIAS)
        overall = _value(whole.get((date, model), {}), "champion", "bias_pct") or 0.0
        if sure and abs(one["value"] - overall) > MOST_BIAS:
            off.append(f"{one['value']:+.0f} % at {date} ({one['n']:,} customers)")
    if not off:
        return []
    return [f"{model}, {subset}: expected {FORECASTS[model]} were far off, {', '.join(off)}"]


def _group_loss(model: str, subset: str, dates: Mapping[str, Mapping[Key, Record]]) -> list[str]:
    """Where the served recipe surely loses to what it has to beat among a group."""
    if model not in TO_BEAT:
        return []
    method, metric = TO_BEAT[model]
    lost = []
    for date, figures in sorted(dates.items()):
        one, own = figures.get((method, metric)), figures.get(("champion", metric))
        if one is None or own is None or one["n"] < MIN_SLICE:
            continue
        surely = one.get("difference_low") is not None and one["difference_low"] > 0
        if surely and own["value"] > (1 + SLICE_LOSS) * one["value"]:
            lost.append(f"{own['value']:.3g} against {one['value']:.3g} at {date}")
    if not lost:
        return []
    return [f"{model}, {subset}: {metric} is worse than {method}'s there, {', '.join(lost)}"]
