"""The back-test on one page: means over origins with intervals, groups, warnings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from features.storage.markdown import markdown_text
from models.evaluation.backtest_gates import evaluate_gates
from models.evaluation.means_over_origins import CalibrationChoice, OriginMean
from models.metrics.shown_metrics import DESCRIPTIVE, SHOWN_METRICS


def backtest_page(
    name: str,
    means: Sequence[OriginMean],
    *,
    warnings: Iterable[str],
    skipped: Iterable[str],
    calibration: CalibrationChoice | None,
) -> str:
    """Markdown page of a back-test.

    Parameters
    ----------
    name
        Of the data set.
    means
        From `models.evaluation.means_over_origins.means`.
    warnings, skipped
        Sentences: what was far off; what could not be tested.
    calibration
        What the rule says of churn; None where churn was not tested.
    """
    lines = [
        f"# {markdown_text(name)}: back-test",
        "",
        "Every model was trained as of each origin on labels that had matured by then, and tested",
        "on what came after. Behind a value stands its 95 % interval when customers are drawn",
        "again; a baseline's second line is the served recipe minus the baseline on the same drawn",
        "customers, **bold** where the interval leaves out zero. Biases are means of their sizes.",
        "",
    ]
    for model, shown in SHOWN_METRICS.items():
        lines += _model(model, shown.backtest, means)
    lines += _groups(means)
    held = [gate.sentence for gate in evaluate_gates(one.as_dict() for one in means)]
    lines += ["## Generic gates", "", *(f"- {sentence}" for sentence in held), ""] if held else []
    told = [*(f"- {markdown_text(each)}" for each in warnings)]
    told += [f"- left out: {markdown_text(each)}" for each in skipped]
    lines += ["## Warnings", "", *(told or ["None."]), ""]
    if calibration is not None:
        lines += ["## Calibration", "", f"{calibration.sentence}.", ""]
    return "\n".join(lines)


def _model(model: str, metrics: Sequence[str], means: Sequence[OriginMean]) -> list[str]:
    model_means = [
        origin_mean
        for origin_mean in means
        if origin_mean.model == model and origin_mean.subset == "all"
    ]
    mean_of = {(origin_mean.method, origin_mean.metric): origin_mean for origin_mean in model_means}
    shown = [metric for metric in metrics if ("champion", metric) in mean_of]
    if not shown:
        return []
    methods = list(
        dict.fromkeys(
            origin_mean.method for origin_mean in model_means if origin_mean.metric in shown
        )
    )
    origins = max(origin_mean.origins for origin_mean in model_means)
    return [
        f"## {model}, {model_means[0].horizon_days} days, "
        f"{origins} origin{'s' if origins > 1 else ''}",
        "",
        "| method | " + " | ".join(shown) + " |",
        "|---" * (len(shown) + 1) + "|",
        *(
            f"| {method} | " + " | ".join(_cell(mean_of.get((method, m))) for m in shown) + " |"
            for method in methods
        ),
        "",
    ]


def _cell(origin_mean: OriginMean | None) -> str:
    if origin_mean is None:
        return ""
    text = _format_figure(origin_mean.value)
    if origin_mean.low is not None and origin_mean.high is not None:
        text += f" ({_format_figure(origin_mean.low)} to {_format_figure(origin_mean.high)})"
    if origin_mean.difference is None or origin_mean.metric in DESCRIPTIVE:
        return text
    difference = f"{origin_mean.difference:+.3g}"
    if origin_mean.difference_low is not None and origin_mean.difference_high is not None:
        difference += f" ({origin_mean.difference_low:+.3g} to {origin_mean.difference_high:+.3g})"
        if origin_mean.difference_low > 0 or origin_mean.difference_high < 0:
            difference = f"**{difference}**"
    return f"{text}<br>{difference}"


def _groups(means: Sequence[OriginMean]) -> list[str]:
    lines: list[str] = []
    for model, shown_metrics in SHOWN_METRICS.items():
        model_means = [m for m in means if m.model == model and m.method == "champion"]
        mean_of = {
            (origin_mean.subset, origin_mean.metric): origin_mean for origin_mean in model_means
        }
        subsets = list(dict.fromkeys(origin_mean.subset for origin_mean in model_means))
        if len(subsets) < 2 or not shown_metrics.groups:
            continue
        shown = [metric for metric in shown_metrics.groups if ("all", metric) in mean_of]
        lines += [f"### {model}", "", "| group | " + " | ".join(shown) + " |"]
        lines += ["|---" * (len(shown) + 1) + "|"]
        for subset in subsets:
            cells = [_cell(mean_of.get((subset, metric))) for metric in shown]
            lines.append(f"| {markdown_text(subset)} | " + " | ".join(cells) + " |")
        lines.append("")
    return ["## Groups of customers", "", *lines] if lines else []


def _format_figure(value: float) -> str:
    """A figure with as many digits as it deserves."""
    if abs(value) < 1:
        return f"{value:.4f}"
    return f"{value:,.2f}" if abs(value) < 100 else f"{value:,.1f}"
