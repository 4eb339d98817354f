"""What campaigns need to know of a taxonomy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from features.lifecycle.taxonomy_parser import Taxonomy

StageKind = Literal["silent_buyers", "active", "all"]


@dataclass(frozen=True)
class StageSet:
    """What campaigns need to know of a taxonomy.

    Attributes
    ----------
    name
        The taxonomy's name; playbooks list their stages under it, or under ``other``.
    stages
        All its stages.
    parameters
        Its parameters by name, such as ``L``; rules may refer to them.
    silent
        Stage -> role whose silence leads to it (``lapsed``: purchase).
    ranks
        Stage -> its rank in the life cycle; a move to a lower one is a step down.
    """

    name: str
    stages: tuple[str, ...]
    parameters: Mapping[str, float] = field(default_factory=dict)
    silent: Mapping[str, str] = field(default_factory=dict)
    ranks: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, taxonomy: Taxonomy) -> StageSet:
        """The same of a full taxonomy."""
        return cls(
            taxonomy.name,
            tuple(taxonomy.names),
            taxonomy.parameters,
            {stage.name: stage.silent for stage in taxonomy.stages if stage.silent is not None},
            {stage.name: stage.rank for stage in taxonomy.stages},
        )

    def kind(self, kind: StageKind) -> tuple[str, ...]:
        """Stages of a kind: ``all``, ``silent_buyers`` or ``active`` (no silence leads there)."""
        if kind == "all":
            return self.stages
        if kind == "active":
            return tuple(stage for stage in self.stages if stage not in self.silent)
        return tuple(stage for stage in self.stages if self.silent.get(stage) == "purchase")
