"""Figures of the evaluation, each drawn from the numbers that its data twin returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from features.arrays import Array
from models.metrics import metrics
from models.plots.figure_style import COLOURS, INK, MAP, blank, percent
from models.plots.stage_flow import flow_data, flow_figure

_NORMAL_95 = 1.959964

# ------------------------------------------------------------------------------------- reliability


def reliability_data(y: Any, p: Any, *, bins: int = metrics.CALIBRATION_BINS) -> pd.DataFrame:
    """Predicted against observed in bins of equal count.

    Parameters
    ----------
    y, p
        Outcome (0 or 1) and probability, one a row.
    bins
        Number of bins.

    Returns
    -------
    DataFrame
        One row a bin: predicted (mean probability), observed (share), low and high (95 % Wilson
        interval of the share), n (rows).
    """
    predicted, observed, n = metrics.reliability_bins(y, p, bins=bins)
    z2 = _NORMAL_95**2
    centre = (observed + z2 / (2 * n)) / (1 + z2 / n)
    half = _NORMAL_95 * np.sqrt(observed * (1 - observed) / n + z2 / (4 * n**2)) / (1 + z2 / n)
    columns = {"predicted": predicted, "observed": observed}
    columns |= {"low": np.maximum(centre - half, 0.0), "high": np.minimum(centre + half, 1.0)}
    return pd.DataFrame({**columns, "n": n})


def reliability(
    y: Any, p: Any, *, bins: int = metrics.CALIBRATION_BINS, title: str = "Reliability"
) -> Figure:
    """Draw `reliability_data`: on the diagonal, a probability means what it says."""
    data = reliability_data(y, p, bins=bins)
    figure, axes = blank(5.2, 5.0, title)
    end = float(max(data["high"].max(), data["predicted"].max())) * 1.05
    axes.plot([0, end], [0, end], color=INK, lw=1, ls="--", label="perfectly calibrated")
    low, high = data["observed"] - data["low"], data["high"] - data["observed"]
    axes.errorbar(
        data["predicted"],
        data["observed"],
        yerr=np.maximum([low, high], 0.0),
        fmt="o-",
        color=COLOURS[0],
        ms=5,
        lw=1.2,
        elinewidth=1,
        capsize=2,
        label="observed, with 95 % interval",
    )
    axes.set(xlim=(0, end), ylim=(0, end), xlabel="predicted probability", ylabel="observed share")
    percent(axes)
    axes.set_aspect("equal")
    n = f"{int(data['n'].sum()):,} customers in {len(data)} bins of equal count"
    axes.annotate(n, (0.98, 0.03), xycoords="axes fraction", ha="right", color=INK, fontsize=8)
    axes.legend(frameon=False, loc="upper left")
    return figure


# ------------------------------------------------------------------------------------------- gains


def gains_data(y: Any, scores: Any, *, points: int = 100) -> pd.DataFrame:
    """Share of all outcomes (or of all spend) among the customers ranked highest.

    Parameters
    ----------
    y
        Outcome 0 or 1, or an amount of at least 0, one a row.
    scores
        Scores, one a row; or several methods' scores by name, the one to stress first.
    points
        Number of steps of the curve.

    Returns
    -------
    DataFrame
        One row a method and step: method, contacted (share of customers, 0 to 1), captured (share
        of the total of `y`) and lift (captured / contacted; null at 0).
    """
    y = np.asarray(y, dtype=np.float64)
    methods = scores if isinstance(scores, Mapping) else {"score": scores}
    cuts = np.unique(np.linspace(0, len(y), min(points, len(y)) + 1).round().astype(int))
    frames = []
    for method, score in methods.items():
        order = np.argsort(-np.asarray(score, dtype=np.float64), kind="stable")
        captured = np.concatenate([[0.0], np.cumsum(y[order])])[cuts] / max(y.sum(), 1e-300)
        contacted = cuts / len(y)
        lift = np.divide(captured, contacted, out=np.full(len(cuts), np.nan), where=contacted > 0)
        columns = {"method": method, "contacted": contacted, "captured": captured, "lift": lift}
        frames.append(pd.DataFrame(columns))
    return pd.concat(frames, ignore_index=True)


def gains(y: Any, scores: Any, *, title: str = "Gains", outcome: str = "outcomes") -> Figure:
    """Draw `gains_data`: the steeper at the left, the better the ranking."""
    data = gains_data(y, scores)
    figure, axes = blank(6.0, 4.8, title)
    axes.plot([0, 1], [0, 1], color=INK, lw=1, ls="--", label="at random")
    styles = ("-", "-.", ":", (0, (6, 2)), (0, (3, 1, 1, 1, 1, 1)))
    for at, (method, rows) in enumerate(data.groupby("method", sort=False)):
        axes.plot(
            rows["contacted"],
            rows["captured"],
            color=COLOURS[at % len(COLOURS)],
            ls=styles[at % len(styles)],
            lw=2.2 if at == 0 else 1.4,
            label=str(method),
        )
    axes.set(xlim=(0, 1), ylim=(0, 1.01))
    axes.set(xlabel="customers, highest scores first", ylabel=f"share of {outcome} captured")
    percent(axes)
    axes.legend(frameon=False, loc="lower right")
    return figure


# ------------------------------------------------------------------------------------- CLV deciles


def clv_deciles_data(spend: Any, clv: Any, low: Any, high: Any) -> pd.DataFrame:
    """Predicted and actual spend by decile of the prediction.

    Parameters
    ----------
    spend, clv, low, high
        Actual spend, its prediction and the ends of its interval, one a customer (money).

    Returns
    -------
    DataFrame
        One row a decile: decile (1: the highest predictions), predicted, actual, low and high
        (means a customer), coverage (share of customers within their own interval) and n.
    """
    columns = {"actual": spend, "predicted": clv, "low": low, "high": high}
    rows = pd.DataFrame({name: np.asarray(x, dtype=np.float64) for name, x in columns.items()})
    order = np.argsort(-rows["predicted"].to_numpy(), kind="stable")
    rank = np.empty(len(rows), dtype=np.int64)
    rank[order] = np.arange(len(rows))
    rows["decile"] = 1 + rank * 10 // max(len(rows), 1)
    rows["coverage"] = rows["actual"].between(rows["low"], rows["high"]).astype(np.float64)
    grouped = rows.groupby("decile")
    means = grouped[["predicted", "actual", "low", "high", "coverage"]].mean()
    return means.assign(n=grouped.size()).reset_index()


def clv_deciles(
    spend: Any, clv: Any, low: Any, high: Any, *, title: str = "CLV by decile", currency: str = ""
) -> Figure:
    """Draw `clv_deciles_data`: bars are what came, dots what was expected with its interval."""
    data = clv_deciles_data(spend, clv, low, high)
    figure, axes = blank(7.0, 4.6, title)
    at = data["decile"].to_numpy()
    axes.bar(at, data["actual"], width=0.72, color=COLOURS[4], label="actual spend")
    below, above = data["predicted"] - data["low"], data["high"] - data["predicted"]
    axes.errorbar(
        at,
        data["predicted"],
        yerr=np.maximum([below, above], 0.0),
        fmt="D",
        color=COLOURS[5],
        ms=5,
        elinewidth=1.2,
        capsize=3,
        label="predicted, with the mean interval of a customer",
    )
    axes.set_xticks(at)
    unit = f", {currency}" if currency else ""
    axes.set(xlabel="decile of predicted CLV (1: highest)", ylabel=f"mean spend a customer{unit}")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, loc="upper right")
    return figure


# ---------------------------------------------------------------------- confusion and transitions


def confusion_data(truth: Any, predicted: Any, names: Sequence[str]) -> pd.DataFrame:
    """Counts of true against predicted stage.

    Parameters
    ----------
    truth, predicted
        Stage codes, one a customer.
    names
        Stage names by code.

    Returns
    -------
    DataFrame
        One row a pair: truth, predicted, n, share (of the customers with that truth; null where
        there are none).
    """
    counts = np.zeros((len(names), len(names)))
    np.add.at(counts, (np.asarray(truth, dtype=int), np.asarray(predicted, dtype=int)), 1)
    return _pairs(counts, names, names, ("truth", "predicted"))


def confusion(
    truth: Any,
    predicted: Any,
    names: Sequence[str],
    *,
    title: str = "Stage: truth and prediction",
) -> Figure:
    """Draw `confusion_data`: every row is a true stage, and its shares sum to 100 %."""
    data = confusion_data(truth, predicted, names)
    figure, axes = blank(6.0, 5.0, title)
    _heat(axes, data, "truth", "predicted")
    axes.set(xlabel="predicted stage", ylabel="true stage")
    return figure


def transition_matrix_data(before: Any, after: Any, names: Sequence[str]) -> pd.DataFrame:
    """Counts of moves between stages, staying among them.

    Parameters
    ----------
    before, after
        Stage codes at the start and after the horizon (or of the first move), one a customer.
    names
        Stage names by code.

    Returns
    -------
    DataFrame
        One row a pair: from, to, n, share (of the customers at the start in that stage; null
        where there are none).
    """
    return confusion_data(before, after, names).rename(columns={"truth": "from", "predicted": "to"})


def transition_matrix(
    before: Any, after: Any, names: Sequence[str], *, title: str = "Stage transitions"
) -> Figure:
    """Draw `transition_matrix_data`: on the diagonal are those who stayed."""
    data = transition_matrix_data(before, after, names)
    figure, axes = blank(6.0, 5.0, title)
    _heat(axes, data, "from", "to")
    axes.set(xlabel="stage moved to", ylabel="stage at the start")
    return figure


def _pairs(
    counts: Array, rows: Sequence[str], columns: Sequence[str], labels: tuple[str, str]
) -> pd.DataFrame:
    total = counts.sum(axis=1, keepdims=True)
    share = np.divide(counts, total, out=np.full(counts.shape, np.nan), where=total > 0)
    return pd.DataFrame(
        {
            labels[0]: np.repeat(np.asarray(rows, dtype=object), len(columns)),
            labels[1]: np.tile(np.asarray(columns, dtype=object), len(rows)),
            "n": counts.ravel(),
            "share": share.ravel(),
        }
    )


def _heat(axes: Axes, data: pd.DataFrame, row: str, column: str) -> None:
    rows, columns = list(data[row].unique()), list(data[column].unique())
    shape = (len(rows), len(columns))
    share, n = data["share"].to_numpy().reshape(shape), data["n"].to_numpy().reshape(shape)
    axes.imshow(np.nan_to_num(share), cmap=MAP, vmin=0, vmax=1, aspect="auto")
    for (i, j), value in np.ndenumerate(share):
        text = "–" if np.isnan(value) else f"{value:.0%}\n{n[i, j]:,.0f}"
        colour = "white" if value > 0.55 else INK
        axes.text(j, i, text, ha="center", va="center", color=colour, fontsize=9)
    axes.set_xticks(range(len(columns)), columns, rotation=30, ha="right")
    axes.set_yticks(range(len(rows)), rows)
    axes.tick_params(length=0)
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)


# -------------------------------------------------------------------------------------- stage flow


def stage_flow_data(before: Any, after: Any, names: Sequence[str]) -> pd.DataFrame:
    """Numbers of `stage_flow`, as `models.plots.stage_flow.flow_data` gives them for two dates."""
    codes = {"before": before, "after": after}
    stage = np.asarray(names, dtype=object)
    paths = [
        pd.DataFrame(
            {
                "customer_id": np.arange(len(code)),
                "snapshot_at": label,
                "stage": stage[np.asarray(code, dtype=int)],
            }
        )
        for label, code in codes.items()
    ]
    return flow_data(pd.concat(paths, ignore_index=True))


def stage_flow(
    before: Any, after: Any, names: Sequence[str], *, title: str = "Stage flow"
) -> Figure:
    """Draw who went from which stage to which between two dates, as ribbons."""
    return flow_figure(stage_flow_data(before, after, names), names, title=title)
