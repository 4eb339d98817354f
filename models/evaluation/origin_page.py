"""The back-test on one page: means over origins with intervals, groups, warnings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from features.storage.markdown import markdown_text
from models.evaluation.backtest_gates import gates
from models.evaluation.means_over_origins import CalibrationChoice, Mean
from models.evaluation.task_metrics import DESCRIPTIVE

SHOWN = {
    "stage": ("log_loss", "brier", "macro_f1"),
    "transition": ("log_loss", "integrated_brier", "top1_movers", "median_time_mae"),
    "churn": ("auc", "log_loss", "ece", "lift_10"),
    "clv": ("mae", "rmse", "bias_pct", "spearman", "gini", "top10", "coverage", "width_ratio"),
    "lead": ("auc", "lift_10", "log_loss", "ece"),
}
GROUPS = {
    "stage": ("log_loss", "brier"),
    "transition": ("log_loss", "top1_movers"),
    "churn": ("auc", "log_loss", "bias_pct"),
    "clv": ("rmse", "bias_pct", "gini", "coverage"),
}


def page(
    name: str,
    means: Sequence[Mean],
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
    for model, metrics in SHOWN.items():
        lines += _model(model, metrics, means)
    lines += _groups(means)
    held = [gate.told for gate in gates(one.as_dict() for one in means)]
    lines += ["## Generic gates", "", *(f"- {sentence}" for sentence in held), ""] if held else []
    told = [*(f"- {markdown_text(each)}" for each in warnings)]
    told += [f"- left out: {markdown_text(each)}" for each in skipped]
    lines += ["## Warnings", "", *(told or ["None."]), ""]
    if calibration is not None:
        lines += ["## Calibration", "", f"{calibration.told}.", ""]
    return "\n".join(lines)


def _model(model: str, metrics: Sequence[str], means: Sequence[Mean]) -> list[str]:
    mine = [one for one in means if one.model == model and one.subset == "all"]
    found = {(one.method, one.metric): one for one in mine}
    shown = [metric for metric in metrics if ("champion", metric) in found]
    if not shown:
        return []
    methods = list(dict.fromkeys(one.method for one in mine if one.metric in shown))
    origins = max(one.origins for one in mine)
    return [
        f"## {model}, {mine[0].horizon_days} days, {origins} origin{'s' if origins > 1 else ''}",
        "",
        "| method | " + " | ".join(shown) + " |",
        "|---" * (len(shown) + 1) + "|",
        *(
            f"| {method} | " + " | ".join(_cell(found.get((method, m))) for m in shown) + " |"
            for method in methods
        ),
        "",
    ]


def _cell(one: Mean | None) -> str:
    if one is None:
        return ""
    text = said(one.value)
    if one.low is not None and one.high is not None:
        text += f" ({said(one.low)} to {said(one.high)})"
    if one.difference is None or one.metric in DESCRIPTIVE:
        return text
    difference = f"{one.difference:+.3g}"
    if one.difference_low is not None and one.difference_high is not None:
        difference += f" ({one.difference_low:+.3g} to {one.difference_high:+.3g})"
        if one.difference_low > 0 or one.difference_high < 0:
            difference = f"**{difference}**"
    return f"{text}<br>{difference}"


def _groups(means: Sequence[Mean]) -> list[str]:
    lines: list[str] = []
    for model, metrics in GROUPS.items():
        mine = [m for m in means if m.model == model and m.method == "champion"]
        found = {(one.subset, one.metric): one for one in mine}
        subsets = list(dict.fromkeys(one.subset for one in mine))
        if len(subsets) < 2:
            continue
        shown = [metric for metric in metrics if ("all", metric) in found]
        lines += [f"### {model}", "", "| group | " + " | ".join(shown) + " |"]
        lines += ["|---" * (len(shown) + 1) + "|"]
        for subset in subsets:
            cells = [_cell(found.get((subset, metric))) for metric in shown]
            lines.append(f"| {markdown_text(subset)} | " + " | ".join(cells) + " |")
        lines.append("")
    return ["## Groups of customers", "", *lines] if lines else []


def said(value: float) -> str:
    """A figure with as many digits as it deserves."""
    if abs(value) < 1:
        return f"{value:.4f}"
    return f"{value:,.2f}" if abs(value) < 100 else f"{value:,.1f}"
