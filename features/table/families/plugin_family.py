"""Families of other packages: their columns are checked, and their errors name the package."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from features.arrays import Array
from features.contracts import ROLES
from features.plugins import Plugin, refuse_taken
from features.table.families.feature import Feature, FeatureSpec, View

# Prefixes of columns that are built beside the families.
_OTHER_PREFIXES = ("stage", "late")


@dataclass(frozen=True)
class PluginFamily:
    """A family of another package.

    Attributes
    ----------
    plugin
        Its content is a function from a spec to features, as the families of this package are.
    """

    plugin: Plugin

    @property
    def __name__(self) -> str:
        """Name of the family, which is the prefix of its columns."""
        return self.plugin.name

    def __call__(self, spec: FeatureSpec) -> list[Feature]:
        """Features of the family, each of which checks its values.

        Raises
        ------
        UserError
            If the function fails, or a feature is none or has another prefix.
        """
        prefix = f"{self.plugin.name}__"
        try:
            family_features = list(self.plugin.content(spec))
        except Exception as error:  # whatever another package raises
            raise self._failure(error) from error
        for feature in family_features:
            if not isinstance(feature, Feature) or not feature.name.startswith(prefix):
                shown = getattr(feature, "name", repr(feature))
                raise self.plugin.error(f"the column {shown}", f"features named {prefix}...")
        return [replace(each, of=self._checked(each.of, each.name)) for each in family_features]

    def _checked(self, compute: Callable[[View], Array], name: str) -> Callable[[View], Array]:
        def checked(view: View) -> Array:
            try:
                values = np.asarray(compute(view), dtype=np.float64)
            except Exception as error:  # whatever another package raises
                raise self._failure(error) from error
            if values.shape != (view.customers,):
                raise self.plugin.error(
                    f"{name} with the shape {values.shape}",
                    f"one number a customer: ({view.customers},)",
                )
            return values

        return checked

    def _failure(self, error: Exception) -> Exception:
        return self.plugin.error(
            f"{type(error).__name__}: {error}", "a family that works on every data set"
        )


@cache  # the same objects each time, so that catalogues are kept
def plugin_families(built_in: tuple[str, ...]) -> tuple[PluginFamily, ...]:
    """Families of plug-ins by name; none has a name or a prefix of a family of this package.

    Raises
    ------
    UserError
        As `features.plugins.refuse_taken`.
    """
    taken = {*built_in, *ROLES, *_OTHER_PREFIXES}
    return tuple(PluginFamily(plugin) for plugin in refuse_taken("families", taken))
