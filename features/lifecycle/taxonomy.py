"""What a taxonomy is once it has been read: stages, sub-stages, flags, and what they ask for."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, cast

from features.contracts import ROLES
from features.history.day_rows import Subject
from features.lifecycle.reachability import possible
from features.lifecycle.rule_language import Rule, leaves, subjects_of, window_of


@dataclass(frozen=True)
class Named:
    """A sub-stage of a stage, or a flag beside the stages: a name and a rule (None: default)."""

    name: str
    rule: Rule | None
    description: str = ""


@dataclass(frozen=True)
class Advice:
    """What people do in a stage: strategies, channels, metrics, and metrics of our own."""

    strategies: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    our_metrics: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stage:
    """One stage of a taxonomy.

    Attributes
    ----------
    name
        Its name, unique in the taxonomy.
    rank
        Height in the life cycle; a move to a lower rank is downward.
    rule
        Entry rule; None for the default.
    silent
        Role that makes silence mean this stage (``lapsed``: purchase); None for the others.
    description
        A sentence for people.
    sub_stages
        In order; the first whose rule holds is the customer's, and there may be none.
    advice
        For people.
    """

    name: str
    rank: int
    rule: Rule | None
    silent: str | None
    description: str
    sub_stages: tuple[Named, ...] = ()
    advice: Advice = field(default_factory=Advice)


@dataclass(frozen=True)
class Taxonomy:
    """Ordered stages; every customer has exactly one of them at every date.

    Attributes
    ----------
    name, description
        For people.
    stages
        In the order of the file.
    life_roles
        Roles whose events are a sign of life.
    buying_stage
        The stage that a first purchase leads to.
    pick
        ``first``: the first stage that matches; ``furthest``: the matching stage of highest rank.
    parameters
        Values of the parameters that the rules were filled in with.
    flags
        Beside the stages: any number of them holds.
    """

    name: str
    description: str
    stages: tuple[Stage, ...]
    life_roles: tuple[str, ...]
    buying_stage: str
    pick: Literal["first", "furthest"]
    parameters: Mapping[str, float]
    flags: tuple[Named, ...] = ()

    @property
    def names(self) -> list[str]:
        """Stage names by code."""
        return [stage.name for stage in self.stages]

    def code(self, name: str) -> int:
        """Position of a stage."""
        return self.names.index(name)

    @property
    def order(self) -> list[int]:
        """Codes in the order in which stages are tried; the default comes last."""
        codes = list(range(len(self.stages)))
        if self.pick == "furthest":
            codes.sort(key=lambda i: -self.stages[i].rank)
        return sorted(codes, key=lambda i: self.stages[i].rule is None)

    @property
    def silent_codes(self) -> list[int]:
        """Codes of the stages that silence leads to."""
        return [i for i, stage in enumerate(self.stages) if stage.silent is not None]

    def windows(self, roles: Collection[str] = ROLES) -> list[int]:
        """All finite windows of the rules, days; recency limits count as windows.

        Those of conditions on a role without data (not in `roles`) are left out: nothing in them
        can change.
        """
        absent = set(ROLES) - set(roles)
        window_days: list[int] = []
        for stage in self.stages:
            if stage.rule is not None and stage.silent is None:
                window_days += [
                    window_of(leaf) or 0
                    for leaf in leaves(stage.rule)
                    if not {subject.name for subject in subjects_of(leaf)} & absent
                ]
        return sorted({w for w in window_days if w > 0})

    def stage_subjects(self) -> list[Subject]:
        """Subjects that the rules of stages ask for, each once."""
        return _once(s for stage in self.stages for s in _subjects(stage.rule))

    def subjects(self) -> list[Subject]:
        """Subjects that any rule asks for, each once."""
        named = [*self.flags, *(sub for stage in self.stages for sub in stage.sub_stages)]
        return _once([*self.stage_subjects(), *(s for n in named for s in _subjects(n.rule))])

    def roles(self) -> set[str]:
        """Roles that any rule asks for."""
        return {subject.name for subject in self.subjects() if subject.name in ROLES}

    def not_observable(self, event_names: Collection[str]) -> list[str]:
        """One warning about all stages, sub-stages and flags that ask for what the data lack.

        Parameters
        ----------
        event_names
            Names of the roles and event types that have events.
        """
        lacking: set[str] = set()
        impossible: list[str] = []
        reduced: list[str] = []
        for kind, entry in self._entries():
            missing = {s.name for s in _subjects(entry.rule)} - set(event_names)
            if missing:
                lacking |= missing
                can_hold = possible(cast(Rule, entry.rule), missing)
                (reduced if can_hold else impossible).append(f"{kind} {entry.name}")
        if not lacking:
            return []
        effects = [f"not observable: {', '.join(impossible)}"] if impossible else []
        if reduced:
            effects.append(f"decided without the parts that need them: {', '.join(reduced)}")
        return [f"no events of {', '.join(sorted(lacking))} ({'; '.join(effects)})"]

    def _entries(self) -> Iterable[tuple[str, Stage | Named]]:
        for stage in self.stages:
            yield "stage", stage
            yield from (("sub-stage", sub) for sub in stage.sub_stages)
        yield from (("flag", flag) for flag in self.flags)


def _subjects(rule: Rule | None) -> list[Subject]:
    return [] if rule is None else list(subjects_of(rule))


def _once(subjects: Iterable[Subject]) -> list[Subject]:
    return list(dict.fromkeys(subjects))
