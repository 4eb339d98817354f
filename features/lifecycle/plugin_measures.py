"""Measures of other packages: numbers of a window of events that a rule may compare."""

from __future__ import annotations

import numpy as np

from features.arrays import Array
from features.history.windows import Window
from features.lifecycle.rule_language import COMPARISONS, MEASURES
from features.plugins import Plugin, refuse_taken

# Keys of a comparison, beside the measures.
_KEYS = ("window", "where", "per", "all", "any", "not", "latest_of", "stage")


def plugin_measures() -> dict[str, Plugin]:
    """Measures of plug-ins by name; the content of each is a function from a `Window` to numbers.

    Raises
    ------
    UserError
        As `features.plugins.refuse_taken`.
    """
    taken = {*MEASURES, *COMPARISONS, *_KEYS}
    return {plugin.name: plugin for plugin in refuse_taken("measures", taken)}


def plugin_values(kind: str, window: Window) -> Array:
    """Value of a plug-in's measure for every customer of a window; NaN where it is missing.

    Raises
    ------
    UserError
        If the plug-in fails, or does not return one number a customer; it names the package.
    """
    plugin = plugin_measures()[kind]
    try:
        values = np.asarray(plugin.content(window), dtype=np.float64)
    except Exception as error:  # whatever another package raises
        raise plugin.error(
            f"{type(error).__name__}: {error}", "a measure that works on every window"
        ) from error
    if values.shape != window.count.shape:
        raise plugin.error(
            f"values of the shape {values.shape}", f"one number a customer: {window.count.shape}"
        )
    return values
