"""Templates of the pages, their style, and charts as drawings: nothing needs a script."""

from __future__ import annotations

import importlib.resources
import threading
from functools import cache
from typing import Any

import vl_convert
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from flows.report.chart_script import VEGA_LITE
from flows.report.chart_theme import chart_config
from flows.report.figure import cell_text

_drawing = threading.Lock()  # the converter is one engine a process


def render(template: str, **content: Any) -> str:
    """A page as HTML; every value is escaped."""
    return _environment().get_template(template).render(**content)


@cache
def style_sheet() -> str:
    """The report's style sheet and what the pages add."""
    parts = (("flows.report", "page.css"), ("flows.pages", "pages.css"))
    return "\n".join(
        (importlib.resources.files(package) / name).read_text(encoding="utf-8")
        for package, name in parts
    )


def drawing(chart: Any, *, width: int, height: int) -> Markup:
    """A chart as SVG in the colours of the page.

    Parameters
    ----------
    chart
        An Altair chart with its data.
    width, height
        Of the plot without axes, pixels; the drawing shrinks with the page.
    """
    specification = chart.properties(width=width, height=height).to_dict()
    # The browser's letters may be wider than those that the converter measures with.
    specification["padding"] = {"left": 28, "right": 12, "top": 5, "bottom": 5}
    specification["config"] = chart_config()
    with _drawing:
        svg = vl_convert.vegalite_to_svg(specification, vl_version=VEGA_LITE)
    # The converter escapes what stands in the data. The page says in words what the drawing shows.
    return Markup(svg.replace("<svg ", '<svg aria-hidden="true" ', 1))


@cache
def _environment() -> Environment:
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        loader=PackageLoader("flows.pages"),
    )  # fmt: skip
    environment.filters["cell"] = cell_text
    environment.filters["plain"] = lambda text: str(text).replace("_", " ")
    return environment
