"""Style of all figures: colours, axes and formats."""

from __future__ import annotations

from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

# Colours of Okabe and Ito, which colour-blind readers can distinguish.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#999999")
TEXT_COLOUR = "#333333"
COLOUR_MAP = "Blues"  # the value is shown by lightness alone
# Names of event types, stages and columns are drawn as they are: two `$` would make a formula of
# what stands between them, and one that cannot be read would end the run.
rcParams["text.parse_math"] = False


def blank_figure(width: float, height: float, title: str) -> tuple[Figure, Axes]:
    """Return a figure with one set of axes, made without pyplot and its global state."""
    figure = Figure(figsize=(width, height), dpi=120, layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, loc="left", color=TEXT_COLOUR, fontsize=12, fontweight="bold")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(visible=True, color="#E5E5E5", lw=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=TEXT_COLOUR, labelsize=9)
    return figure, axes


def show_percent(axes: Axes) -> None:
    """Label both axes, which run from 0 to 1, in percent."""
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1.0, decimals=0))
