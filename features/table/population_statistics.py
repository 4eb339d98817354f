"""Statistics of all customers at a snapshot that features and facts of one customer need.

A scoring run stores it with its scoring context, so that a customer can later be built alone, from
their own events, and come out exactly as in the run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from features.history.preference_smoothing import (
    USUAL_WEIGHT,
    ChoiceSums,
    Choosing,
    Population,
    added,
    population,
    recoded,
)
from features.table.families.feature import FeatureSpec, View
from features.table.preferred_channel import rates, response_rates, response_sums


@dataclass(frozen=True)
class Everybody:
    """Population facts of one snapshot, JSON-able; no customer can be told from them.

    Attributes
    ----------
    roles
        Roles that the data hold: they decide which feature columns there are.
    likings
        By kind of choice (bought, viewed), then by attribute: ``weight`` and ``shares`` by value
        (see `features.history.preference_smoothing.Population`).
    responses
        Share of messages answered, by channel (see
        `features.table.preferred_channel.preferred_channel`).
    """

    roles: tuple[str, ...]
    likings: Mapping[str, Mapping[str, Any]]
    responses: Mapping[str, float]

    @classmethod
    def of(cls, view: View, spec: FeatureSpec) -> Everybody:
        """Facts of all customers of a view."""
        made = {kind: view.chosen(kind) for kind in ("bought", "viewed")}
        likings = {kind: _by_name(each) for kind, each in made.items() if each is not None}
        return cls(spec.roles, likings, response_rates(view))

    @classmethod
    def from_sums(cls, roles: tuple[str, ...], sums: Iterable[Mapping[str, Any]]) -> Everybody:
        """Facts of all customers from the `sums` of shards of them, in any order."""
        choices: dict[str, ChoiceSums] = {}
        sends: dict[str, float] = {}
        answers: dict[str, float] = {}
        for each in sums:
            for kind, found in each["choices"].items():
                theirs = ChoiceSums(**found)
                choices[kind] = choices[kind].plus(theirs) if kind in choices else theirs
            sends, answers = added(sends, each["sends"]), added(answers, each["answers"])
        likings = {kind: _named(*found.population()) for kind, found in choices.items()}
        return cls(roles, likings, rates(sends, answers))

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Everybody:
        """Read back what `as_json` gave."""
        return cls(tuple(content["roles"]), content["likings"], content["responses"])

    def as_json(self) -> dict[str, Any]:
        """JSON-able form; numbers come back to the last bit."""
        return {
            "roles": list(self.roles),
            "likings": {kind: dict(each) for kind, each in self.likings.items()},
            "responses": dict(self.responses),
        }

    def liking(self, kind: str, choosing: Choosing) -> tuple[Choosing, Population]:
        """Some customers' choices in codes that also name what only others chose, and the shares.

        Codes keep the order of the names, so that ties fall as among everybody.
        """
        known_shares = self.likings.get(kind, {})
        values = {value for each in known_shares.values() for value in each["shares"]}
        names = np.array(sorted(values | set(choosing.names.tolist())), dtype=str)
        attributes = np.array(
            sorted(set(known_shares) | set(choosing.attributes.tolist())), dtype=str
        )
        shares = np.zeros((len(attributes), len(names)))
        weight = np.full(len(attributes), USUAL_WEIGHT)
        for row, attribute in enumerate(attributes.tolist()):
            if attribute in known_shares:
                attribute_shares = known_shares[attribute]["shares"]
                columns = np.searchsorted(names, np.array(list(attribute_shares), dtype=str))
                shares[row, columns] = list(attribute_shares.values())
                weight[row] = known_shares[attribute]["weight"]
        return recoded(choosing, names, attributes), Population(shares, weight)


def sums(view: View) -> dict[str, Any]:
    """Sums behind the statistics of all customers: JSON-able, additive over shards of customers."""
    choices_by_kind = {kind: view.chosen(kind) for kind in ("bought", "viewed")}
    choices = {
        kind: vars(ChoiceSums.of(each))
        for kind, each in choices_by_kind.items()
        if each is not None
    }
    sends, answers = response_sums(view)
    return {"choices": choices, "sends": sends, "answers": answers}


def _by_name(choosing: Choosing) -> dict[str, Any]:
    return _named(choosing.attributes.tolist(), choosing.names.tolist(), population(choosing))


def _named(
    attributes: list[str], names: list[str], population_shares: Population
) -> dict[str, Any]:
    return {
        attribute: {
            "weight": float(population_shares.weight[row]),
            "shares": {
                names[at]: float(population_shares.shares[row, at])
                for at in np.flatnonzero(population_shares.shares[row])
            },
        }
        for row, attribute in enumerate(attributes)
    }
