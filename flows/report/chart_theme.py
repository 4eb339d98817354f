"""Appearance of the report's charts: colours of stages and segments, fonts, axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt

from features.lifecycle.taxonomy import Stage
from models.explaining.segments import NAMES

# Distinct for colour-blind readers, on white and on near-black backgrounds.
_STAGE_PALETTE = (
    "#7A5BB5",
    "#2F7FC1",
    "#1E9A8A",
    "#C48A12",
    "#D0653F",
    "#B5508A",
    "#5F8F3E",
    "#4C6FA8",
)
_SILENT = "#878E99"
_DORMANT = "#B0A79B"
NEWCOMER_COLOUR = "#C9CED6"
_SEGMENT_PALETTE = ("#D0653F", "#1E9A8A", "#2F7FC1", "#C48A12", "#878E99", "#B5508A")
ACCENT, SECOND, REFERENCE = "#2F7FC1", "#D0653F", "#878E99"
INK = "currentColor"  # the text colour of the page: light, dark or print


def stage_colours(stages: Sequence[Stage]) -> dict[str, str]:
    """Map stages to colours: active stages by rank along the palette, silent ones in grey."""
    active = [
        candidate
        for candidate in stages
        if candidate.silent is None and candidate.name != "dormant"
    ]
    climbing = sorted(active, key=lambda s: -s.rank)
    colours = {
        candidate.name: _STAGE_PALETTE[position % len(_STAGE_PALETTE)]
        for position, candidate in enumerate(climbing)
    }
    for stage in stages:
        colours.setdefault(stage.name, _DORMANT if stage.name == "dormant" else _SILENT)
    return colours


def stages_by_rank(stages: Sequence[Stage]) -> list[str]:
    """Return the stage names, the highest rank first."""
    return [stage.name for stage in sorted(stages, key=lambda s: (-s.rank, s.name))]


def segment_colours() -> dict[str, str]:
    """Map segments to colours."""
    return dict(zip(NAMES, _SEGMENT_PALETTE, strict=True))


def numbers_axis(**options: Any) -> alt.Axis:
    """Return an axis of counts or amounts: 12,000 in full, millions abbreviated."""
    expression = "abs(datum.value) < 1e6 ? format(datum.value, ',') : format(datum.value, '.3~s')"
    return alt.Axis(labelExpr=expression, **options)


def chart_config() -> dict[str, Any]:
    """Return the Vega-Lite config of every chart; the page's style sheet sets the text colour."""
    return {
        "background": None,
        "font": "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', sans-serif",
        "view": {"stroke": None},
        "aria": False,  # the page has a description and a table for every chart
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
