"""Feature families: each is a function from a spec to catalogued features.

Begin with `feature.py`, which says what a feature is and what it may see. A new family is a module
here and one more entry of `FAMILIES`, or a plug-in of another package (`plugin_family.py`).
Families read the history through `View` and import nothing of the table.
"""

from collections.abc import Callable, Iterable
from functools import lru_cache

from features.table.families.btyd import btyd
from features.table.families.cadence import cadence
from features.table.families.contract import contract
from features.table.families.engagement import engagement
from features.table.families.feature import Feature, FeatureSpec
from features.table.families.monetary import monetary
from features.table.families.plugin_family import plugin_families
from features.table.families.preference import preference
from features.table.families.recency import recency
from features.table.families.response import response
from features.table.families.tenure import tenure

Family = Callable[[FeatureSpec], Iterable[Feature]]
FAMILIES = (engagement, recency, monetary, cadence, tenure, response, preference, btyd, contract)


def catalogue(spec: FeatureSpec) -> tuple[Feature, ...]:
    """Every windowed feature of a spec, family by family, in a stable order."""
    return _catalogue(all_families(), spec)


def all_families() -> tuple[Family, ...]:
    """The families of this package, then those of plug-ins by name."""
    return (*FAMILIES, *plugin_families(tuple(family.__name__ for family in FAMILIES)))


@lru_cache(maxsize=8)  # building it takes longer than all features of one customer
def _catalogue(families: tuple[Family, ...], spec: FeatureSpec) -> tuple[Feature, ...]:
    return tuple(feature for family in families for feature in family(spec))


__all__ = ["FAMILIES", "all_families", "catalogue"]
