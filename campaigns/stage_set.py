"""Stages of a taxonomy, as campaigns address them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from features.lifecycle.taxonomy_parser import Taxonomy

StageKind = Literal["silent_buyers", "active", "all"]


@dataclass(frozen=True)
class StageSet:
    """Stages and parameters of a taxonomy, for campaigns.

    Attributes
    ----------
    name
        Name of the taxonomy; playbooks list stages under it, or under ``other``.
    stages
        All stages.
    parameters
        Parameters by name, such as ``L``, for use in rules.
    silent
        Stage -> role without events in that stage (``lapsed``: purchase).
    ranks
        Stage -> rank in the life cycle; a move to a lower rank is a step down.
    """

    name: str
    stages: tuple[str, ...]
    parameters: Mapping[str, float] = field(default_factory=dict)
    silent: Mapping[str, str] = field(default_factory=dict)
    ranks: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, taxonomy: Taxonomy) -> StageSet:
        """Stage set of a taxonomy."""
        return cls(
            taxonomy.name,
            tuple(taxonomy.names),
            taxonomy.parameters,
            {stage.name: stage.silent for stage in taxonomy.stages if stage.silent is not None},
            {stage.name: stage.rank for stage in taxonomy.stages},
        )

    def kind(self, kind: StageKind) -> tuple[str, ...]:
        """Stages of a kind: ``all``, ``silent_buyers`` or ``active`` (not by inactivity)."""
        if kind == "all":
            return self.stages
        if kind == "active":
            return tuple(stage for stage in self.stages if stage not in self.silent)
        return tuple(stage for stage in self.stages if self.silent.get(stage) == "purchase")
