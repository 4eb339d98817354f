"""Feature families: each is a function from a spec to catalogued features."""

from features.families.btyd import btyd
from features.families.cadence import cadence
from features.families.engagement import engagement
from features.families.monetary import monetary
from features.families.preference import preference
from features.families.recency import recency
from features.families.response import response
from features.families.tenure import tenure

FAMILIES = (engagement, recency, monetary, cadence, tenure, response, preference, btyd)

__all__ = ["FAMILIES"]
