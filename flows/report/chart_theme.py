"""How the report's charts look: colours of stages and segments, fonts, axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt

from features.lifecycle.taxonomy import Stage
from models.explaining.segments import SEGMENT_NAMES

# Told apart by colour-blind readers, and on white as on near-black paper.
LADDER = ("#7A5BB5", "#2F7FC1", "#1E9A8A", "#C48A12", "#D0653F", "#B5508A", "#5F8F3E", "#4C6FA8")
SILENT = "#878E99"
DORMANT = "#B0A79B"
NEW = "#C9CED6"
SEGMENT_COLOURS = ("#D0653F", "#1E9A8A", "#2F7FC1", "#C48A12", "#878E99", "#B5508A")
ACCENT, SECOND, REFERENCE = "#2F7FC1", "#D0653F", "#878E99"
INK = "currentColor"  # follows the page, in the dark and on paper


def stage_colours(stages: Sequence[Stage]) -> dict[str, str]:
    """A colour a stage: the higher its rank the earlier in the ladder; silence is grey."""
    loud = [s for s in stages if s.silent is None and s.name != "dormant"]
    climbing = sorted(loud, key=lambda s: -s.rank)
    colours = {s.name: LADDER[at % len(LADDER)] for at, s in enumerate(climbing)}
    for stage in stages:
        colours.setdefault(stage.name, DORMANT if stage.name == "dormant" else SILENT)
    return colours


def by_rank(stages: Sequence[Stage]) -> list[str]:
    """Stage names, the highest rank first."""
    return [s.name for s in sorted(stages, key=lambda s: (-s.rank, s.name))]


def segment_colours() -> dict[str, str]:
    """A colour a segment."""
    return dict(zip(SEGMENT_NAMES, SEGMENT_COLOURS, strict=True))


def numbers_axis(**more: Any) -> alt.Axis:
    """An axis of counts or amounts: whole numbers as people write them, millions in short."""
    told = "abs(datum.value) < 1e6 ? format(datum.value, ',') : format(datum.value, '.3~s')"
    return alt.Axis(labelExpr=told, **more)


def config() -> dict[str, Any]:
    """Vega-Lite config of every chart; the page's style sheet colours texts and lines."""
    return {
        "background": None,
        "font": "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', sans-serif",
        "view": {"stroke": None},
        "aria": False,  # the page describes every chart in a sentence, and repeats it as a table
        "axis": {
            "labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal",
            "domain": False, "ticks": False, "labelPadding": 6, "titlePadding": 10,
            "labelColor": INK, "titleColor": INK, "gridColor": INK, "gridOpacity": 0.12,
            "labelSeparation": 6,
        },
        "axisBand": {"grid": False},
        "legend": {
            "labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal",
            "labelColor": INK, "titleColor": INK, "orient": "top", "symbolType": "circle",
        },
        "text": {"fontSize": 12, "color": INK},
        "bar": {"cornerRadiusEnd": 2},
    }  # fmt: skip
